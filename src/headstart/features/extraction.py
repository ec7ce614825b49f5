"""Feature extraction: one forward pass per image, keeping every tap."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones import Preprocessing, at_size
from headstart.backbones.tapped import POOLINGS, Pooling
from headstart.data import Picture, Source
from headstart.errors import require_choice
from headstart.features.engines import (
    PRECISIONS,
    Engine,
    converted_engine,
    pick_device,
)
from headstart.features.passes import Network, Work, by_need, shards
from headstart.features.pixels import Content
from headstart.features.store import FeatureKey, FeatureStore
from headstart.home import cache_folder
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Record

logger = logging.getLogger(__name__)

# A batch of a stream: requested images, readable images, features (n, d) for each tap, and reasons
# for unreadable images.
Streamed = tuple[list[Source], list[Source], list[NDArray[np.float32]], dict[Source, str]]

# A kill costs at most one shard. A multiple of every engine's batch size, so that a resumed
# extraction forms the same batches.
SHARD_ROWS = 512


@dataclass(kw_only=True)
class Extraction:
    """The result of an extraction.

    Attributes
    ----------
    stores : dict of resolution (pixels) to FeatureStore
    n_forward : int
        Forward passes, counting each resolution.
    n_cached : int
        Images with stored features, counting each resolution.
    unreadable : dict of image digest to reason
        Files that were removed, changed or damaged after indexing.
    seconds : float
    engine : str
    """

    stores: dict[int, FeatureStore]
    n_forward: int = 0
    n_cached: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    engine: str = ""

    @property
    def images_per_s(self) -> float | None:
        """Forward passes per second, including decoding; None if all features were stored."""
        return self.n_forward / self.seconds if self.n_forward else None


def feature_key(
    backbone: Backbone, precision: str, *, pooling: Pooling = "average", mirrored: bool = False
) -> FeatureKey:
    """The feature key of ``backbone`` at its own resolution."""
    return FeatureKey(
        weights=backbone.digest,
        arch=backbone.arch,
        taps=tuple((tap.name, tap.recipe) for tap in backbone.taps),
        preprocessing=backbone.preprocessing.to_dict(),
        precision=precision,
        pooling=pooling,
        view="mirrored" if mirrored else "",
    )


def extract(
    records: Sequence[Record],
    backbone: Backbone,
    *,
    resolutions: Sequence[int] | None = None,
    precision: str = "float32",
    pooling: Pooling = "average",
    mirrored: bool = False,
    device: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Extraction:
    """Extract and store the features of images that have none stored.

    Each file is decoded once for all resolutions. Features of every tap are pooled and stored as
    float16 (:mod:`headstart.features.store`). After a kill, the next call computes what is missing,
    repeating at most one shard, and its result is bit-equal to an uninterrupted one.

    Parameters
    ----------
    records : sequence of Record
        The images; identical files are computed once.
    backbone : Backbone
    resolutions : sequence of int, optional
        Crop sizes in pixels; default: the backbone's own.
    precision : {"float32", "bfloat16"}
    pooling : {"average", "max", "pyramid"}
        As for :func:`headstart.backbones.pool`.
    mirrored : bool, default False
        Extract features of the mirrored images, which are stored separately.
    device : str, optional
        A torch device; default: the best available.
    cache : Path, optional
        Folder of the store; default :func:`headstart.home.cache_folder`.
    progress : Progress

    Returns
    -------
    Extraction

    Raises
    ------
    InputError
        The network cannot take a resolution, or the precision or pooling is unknown.
    OutputError
        The store's disk is full or read-only.
    """
    check_options(precision, pooling)
    root = cache or cache_folder()
    network = at_resolutions(
        backbone,
        resolutions,
        precision=precision,
        pooling=pooling,
        mirrored=mirrored,
        device=pick_device(device),
        cache=root,
    )
    result = Extraction(stores=open_stores(network, root))
    paths = {r.digest: r.path for r in records}
    missing = {s: store.missing(paths) for s, store in result.stores.items()}
    n_waiting = sum(map(len, missing.values()))
    result.n_cached = len(paths) * len(missing) - n_waiting
    if not n_waiting:
        return result

    started = time.perf_counter()
    progress("extract features", 0, n_waiting)
    n_done = 0
    for sizes, digests in by_need(missing).items():
        engines = network.engines(sizes, len(digests))
        result.engine = engines[sizes[0]].name

        def tell(n: int, before: int = n_done, n_sizes: int = len(sizes)) -> None:
            progress("extract features", before + n * n_sizes, n_waiting)

        for rows in shards(network.work(engines, paths), digests, SHARD_ROWS, tell):
            for size in sizes if rows.digests else ():
                result.stores[size].add(rows.digests, network.by_tap(rows, size))
            result.unreadable |= rows.unreadable
            result.n_forward += len(rows.digests) * len(sizes)
        n_done += len(digests) * len(sizes)
    result.seconds = time.perf_counter() - started
    return result


def count_missing(
    records: Sequence[Record], backbone: Backbone, *, cache: Path | None = None
) -> int:
    """Images for which `extract` would compute features at the network's own resolution, in float32."""
    store = FeatureStore(feature_key(backbone, "float32"), cache or cache_folder())
    return len(store.missing(r.digest for r in records))


def check_options(precision: str, pooling: str) -> None:
    """Raise InputError where precision or pooling is unknown."""
    require_choice("precision", precision, PRECISIONS)
    require_choice("pooling", pooling, POOLINGS)


def at_resolutions(backbone: Backbone, resolutions: Sequence[int] | None, **how: Any) -> Network:
    """The network at each resolution, default its own; `how` are the other fields of `Network`."""
    sizes = dict.fromkeys(resolutions or (backbone.preprocessing.size_px,))
    return Network(ready={s: at_size(backbone, s) for s in sizes}, **how)


def open_stores(network: Network, root: Path) -> dict[int, FeatureStore]:
    """Open the store of each resolution."""
    return {
        size: FeatureStore(
            feature_key(at, network.precision, pooling=network.pooling, mirrored=network.mirrored),
            root,
        )
        for size, at in network.ready.items()
    }


def stream_features(
    sources: Sequence[Source],
    backbone: Backbone,
    wanted: Sequence[tuple[str, int]],
    *,
    precision: str = "float32",
    device: str | None = None,
    cache: Path | None = None,
) -> Iterator[Streamed]:
    """Features of images in batches and in order, without storing them.

    Values are rounded to float16 like stored features, so that predictions do not depend on whether
    features were stored.

    Parameters
    ----------
    sources : sequence of Path or Picture, without duplicates
    backbone : Backbone
    wanted : sequence of (tap, resolution in pixels)
    precision, device, cache
        As for :func:`extract`.

    Yields
    ------
    asked : list of Path or Picture
        The images of this batch, in order.
    read : list of Path or Picture
        The readable images, one per row.
    parts : list of float32 arrays (len(read), d)
        One for each of ``wanted``; empty if no image was readable.
    unreadable : dict of Path or Picture to reason
    """
    network = at_resolutions(
        backbone,
        [size for _, size in wanted],
        precision=precision,
        pooling="average",
        mirrored=False,
        device=pick_device(device),
        cache=cache or cache_folder(),
    )
    engines = network.engines(list(network.ready), len(sources))
    preprocessings = [at.preprocessing for at in network.ready.values()]
    yield from _stream(sources, [t.name for t in backbone.taps], wanted, preprocessings, engines)


def stream_converted(
    sources: Sequence[Source],
    keys: Mapping[int, FeatureKey],
    wanted: Sequence[tuple[str, int]],
    *,
    cache: Path | None = None,
) -> Iterator[Streamed] | None:
    """:func:`stream_features` on the CPU with converted networks.

    Weights, timm and torchvision are not loaded.

    Parameters
    ----------
    sources, wanted, cache
        As for :func:`stream_features`.
    keys : mapping of resolution in pixels to FeatureKey
        From :func:`feature_key`.

    Returns
    -------
    iterator, or None if a conversion is missing
    """
    engines: dict[int, Engine] = {}
    preprocessings = []
    for size in dict.fromkeys(s for _, s in wanted):
        key = keys[size]
        preprocessings.append(Preprocessing.from_dict(key.preprocessing))
        engine = converted_engine(key, cache or cache_folder())
        if engine is None:
            return None
        engines[size] = engine
    return _stream(sources, [name for name, _ in key.taps], wanted, preprocessings, engines)


class _Contents(Mapping[str, Content]):
    """What sources hold, read when a worker asks: an image at a URL is fetched then."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources

    def __getitem__(self, key: str) -> Content:
        source = self._sources[key]
        return source if isinstance(source, Path) else source.content

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


def _stream(
    sources: Sequence[Source],
    taps: Sequence[str],
    wanted: Sequence[tuple[str, int]],
    preprocessings: Sequence[Preprocessing],
    engines: dict[int, Engine],
) -> Iterator[Streamed]:
    columns = {tap: i for i, tap in enumerate(taps)}
    by_id = {str(i): source for i, source in enumerate(sources)}
    held = {i: s for i, s in by_id.items() if isinstance(s, Picture)}
    work = Work(
        sources=_Contents(by_id),
        names={i: picture.name for i, picture in held.items()},
        preprocessings=preprocessings,
        engines=engines,
    )
    for rows in shards(work, list(by_id), SHARD_ROWS):
        found = [rows.features[s][columns[t]] for t, s in wanted] if rows.digests else []
        yield (
            [by_id[i] for i in rows.asked],
            [by_id[i] for i in rows.digests],
            [X.astype(np.float16).astype(np.float32) for X in found],
            {by_id[i]: reason for i, reason in rows.unreadable.items()},
        )
