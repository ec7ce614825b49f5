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
    from headstart.features.extraction import Streamed
    from headstart.runs.encoder import Encoder
    from headstart.runs.model import Model

Row = tuple[Source, NDArray[np.float64] | None, str]
OnFeatures = Callable[["Model", Sequence[Source], NDArray[np.float32]], None]
"""Given a model's features (n, d) of some sources, before their rows are handed out."""


def classify(
    model: Model,
    sources: Sequence[Source],
    *,
    backbone: Callable[[], Backbone] | None = None,
    device: str | None = None,
    cache: Path | None = None,
    on_features: OnFeatures | None = None,
) -> Iterator[Row]:
    """Image, probabilities (K,) and, where it cannot be read, None and the reason instead.

    Raises WeightsError where the weights are gone or changed.

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
    on_features : callable, optional
    """
    own = _alone(model, sources, backbone, device, cache, on_features)
    if model.partner is None:
        yield from own
        return
    others = _alone(model.partner, sources, None, device, cache, on_features)
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
    on_features: OnFeatures | None,
) -> Iterator[Row]:
    """The same by the model's own networks and head."""
    if not sources:
        return
    first, *others = model.encoders
    streams = [_streamed(first, backbone or first.load, sources, device, cache)]
    streams += [_streamed(e, e.load, sources, device, cache) for e in others]
    for batches in zip(*streams, strict=True):  # of the same images
        in_order, unreadable = batches[0][0], {k: v for b in batches for k, v in b[3].items()}
        read = [source for source in in_order if source not in unreadable]
        parts = [part for batch in batches for part in _rows_of(read, batch)]
        P = np.empty((0, 0))
        if read:
            X = model.join(parts)
            P = model.probabilities(X)
            if on_features is not None:
                on_features(model, read, X)
        rows = dict(zip(read, P, strict=True))
        for source in in_order:
            yield source, rows.get(source), unreadable.get(source, "")


def _rows_of(read: Sequence[Source], batch: Streamed) -> list[NDArray[np.float32]]:
    """The features of those images of a batch that every network could be given."""
    _, own, parts, _ = batch
    if len(read) == len(own):
        return parts
    place = {source: i for i, source in enumerate(own)}
    return [part[[place[source] for source in read]] for part in parts]


def _streamed(
    encoder: Encoder,
    load: Callable[[], Backbone],
    sources: Sequence[Source],
    device: str | None,
    cache: Path | None,
) -> Iterator[Streamed]:
    from headstart.features import stream_converted, stream_features
    from headstart.features.engines import pick_device

    wanted, batches = encoder.blocks.pairs, None
    keys = encoder.feature_keys()
    if keys and pick_device(device) == "cpu":
        batches = stream_converted(sources, keys, wanted, cache=cache)
    if batches is not None:
        return batches
    return stream_features(
        sources, load(), wanted, precision=encoder.precision, device=device, cache=cache
    )
