"""Images through a run's model, one row of class probabilities each, in the order they came."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.runs.model import Model

Row = tuple[Path, NDArray[np.float64] | None, str]


def classify(
    model: Model,
    paths: Sequence[Path],
    *,
    backbone: Callable[[], Backbone] | None = None,
    device: str | None = None,
    cache: Path | None = None,
) -> Iterator[Row]:
    """Path, probabilities (K,) and, where the file cannot be read, None and the reason instead.

    Parameters
    ----------
    model : Model
        Where it has a partner, each image passes through both.
    paths : sequence of Path
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
    own = _alone(model, paths, backbone, device, cache)
    if model.partner is None:
        yield from own
        return
    others = _alone(model.partner, paths, None, device, cache)
    for (path, p, reason), (_, q, other_reason) in zip(own, others, strict=True):
        if p is None or q is None:
            yield path, None, reason or other_reason
        else:
            yield path, model.mean(p[None], q[None])[0], ""


def _alone(
    model: Model,
    paths: Sequence[Path],
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
        batches = stream_converted(paths, keys, wanted, cache=cache)
    if batches is None:
        network = (backbone or model.load_backbone)()
        batches = stream_features(
            paths, network, wanted, precision=model.precision, device=device, cache=cache
        )
    for in_order, read, parts, unreadable in batches if paths else ():
        P = model.probabilities(model.join(parts)) if read else np.empty((0, 0))
        rows = dict(zip(read, P, strict=True))
        for path in in_order:
            yield path, rows.get(path), unreadable.get(path, "")
