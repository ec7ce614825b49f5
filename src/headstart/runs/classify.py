"""Images through a run's model, one row of class probabilities each, in the order they came."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.data import Source

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.runs.model import Model

Row = tuple[Source, NDArray[np.float64] | None, str]


def classify(
    model: Model,
    sources: Sequence[Source],
    *,
    backbone: Callable[[], Backbone] | None = None,
    device: str | None = None,
    cache: Path | None = None,
) -> Iterator[Row]:
    """Image, probabilities (K,) and, where it cannot be read, None and the reason instead.

    Parameters
    ----------
    model : Model
        Where it has a partner, each image passes through both.
    sources : sequence of Path or Picture, each once
    backbone : callable, optional
        Gives the model's network, where no converted one is kept; default: it is loaded.
    device : str, optional
    cache : Path, optional
        Default: the cache folder.

    Raises
    ------
    WeightsError
        The weights are gone or changed.
    """
    own = _alone(model, sources, backbone, device, cache)
    if model.partner is None:
        yield from own
        return
    others = _alone(model.partner, sources, None, device, cache)
    for (source, p, reason), (_, q, other_reason) in zip(own, others, strict=True):
        if p is None or q is None:
            yield source, None, reason or other_reason
        else:
            yield source, model.mean(p[None], q[None])[0], ""


def _alone(
    model: Model,
    sources: Sequence[Source],
    backbone: Callable[[], Backbone] | None,
    device: str | None,
    cache: Path | None,
) -> Iterator[Row]:
    """The same by the model's own network and head."""
    from headstart.features import stream_converted, stream_features
    from headstart.features.engines import pick_device

    wanted, batches = model.blocks.pairs, None
    keys = model.feature_keys()
    if keys and (device or pick_device()) == "cpu":
        batches = stream_converted(sources, keys, wanted, cache=cache)
    if batches is None:
        network = (backbone or model.load_backbone)()
        batches = stream_features(
            sources, network, wanted, precision=model.precision, device=device, cache=cache
        )
    for in_order, read, parts, unreadable in batches if sources else ():
        P = model.probabilities(model.join(parts)) if read else np.empty((0, 0))
        rows = dict(zip(read, P, strict=True))
        for source in in_order:
            yield source, rows.get(source), unreadable.get(source, "")
