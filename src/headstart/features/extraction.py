"""One pass: each image goes through the frozen network once, and every tap is kept."""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.backbones import Preprocessing, at_size
from headstart.backbones.tapped import POOLINGS, Pooling
from headstart.errors import DataError, InputError
from headstart.features.engines import (
    PRECISIONS,
    Engine,
    choose_engine,
    converted_engine,
    pick_device,
)
from headstart.features.pixels import Crop, crops
from headstart.features.store import FeatureKey, FeatureStore, cache_folder
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Record

logger = logging.getLogger(__name__)

# Some images of a stream: asked for, read, their features (n, d) for each of those wanted, and why
# the others could not be read.
Streamed = tuple[list[Path], list[Path], list[NDArray[np.float32]], dict[Path, str]]

# A shard is what a kill can cost; a multiple of every engine's batch, so that an extraction that
# was resumed forms the very same batches.
SHARD_ROWS = 512


@dataclass(kw_only=True)
class Extraction:
    """What an extraction did, and where its features lie.

    Attributes
    ----------
    stores : dict of resolution (pixels) to FeatureStore
    n_forward : int
        Images passed through the network, each resolution counted.
    n_cached : int
        Images whose features were there already, likewise.
    unreadable : dict of image digest to reason
        Files that are gone, changed or damaged since they were indexed.
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
        """Forward passes a second, decoding included; None if all was cached."""
        return self.n_forward / self.seconds if self.n_forward else None


def feature_key(
    backbone: Backbone, precision: str, *, pooling: Pooling = "average", mirrored: bool = False
) -> FeatureKey:
    """The key under which features of ``backbone``, at its own resolution, are kept."""
    return FeatureKey(
        weights=backbone.digest,
        arch=backbone.arch,
        taps=tuple((tap.name, tap.module) for tap in backbone.taps),
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
    """Pass every image that has no stored features yet through the network, once.

    Each file is decoded once for all resolutions. Features of every tap are pooled over the map
    and kept as float16 (:mod:`headstart.features.store`). Killed at any moment, a later call
    computes what is missing, at most one shard again, and ends bit-equal to an uninterrupted one.

    Parameters
    ----------
    records : sequence of Record
        The images; the same bytes under two names are computed once.
    backbone : Backbone
    resolutions : sequence of int, optional
        Crop sizes in pixels; default the backbone's own.
    precision : {"float32", "bfloat16"}
    pooling : {"average", "max", "pyramid"}
        Over the map, as :func:`headstart.backbones.pool` does it.
    mirrored : bool, default False
        Whether the network is shown each image left for right. These features are kept beside
        those of the images as they are.
    device : str, optional
        A torch device; default the best one here.
    cache : Path, optional
        The store's folder; default :func:`headstart.features.store.cache_folder`.
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
    if precision not in PRECISIONS:
        raise InputError(
            f"--precision {precision!r} is unknown: choose from {', '.join(PRECISIONS)}"
        )
    if pooling not in POOLINGS:
        raise InputError(f"--pooling {pooling!r} is unknown: choose from {', '.join(POOLINGS)}")
    root = cache or cache_folder()
    device = pick_device(device)
    sizes = tuple(dict.fromkeys(resolutions or (backbone.preprocessing.size_px,)))
    ready = {s: at_size(backbone, s) for s in sizes}
    keys = {s: feature_key(ready[s], precision, pooling=pooling, mirrored=mirrored) for s in sizes}
    stores = {s: FeatureStore(keys[s], root) for s in sizes}
    result = Extraction(stores=stores)
    paths = {r.digest: r.path for r in records}
    missing = {s: stores[s].missing(paths) for s in sizes}
    result.n_cached = len(paths) * len(sizes) - sum(map(len, missing.values()))
    n_waiting = sum(map(len, missing.values()))
    if not n_waiting:
        return result

    started = time.perf_counter()
    progress("extract features", 0, n_waiting)
    for group_sizes, digests in _by_need(missing).items():
        engines = {
            s: choose_engine(
                ready[s],
                n_images=len(digests),
                precision=precision,
                device=device,
                pooling=pooling,
                cache=root,
            )
            for s in group_sizes
        }
        result.engine = engines[group_sizes[0]].name
        work = _Work(
            paths=paths,
            preprocessings=[ready[s].preprocessing for s in group_sizes],
            engines=engines,
            mirrored=mirrored,
            checks_digests=True,
        )
        names = [tap.name for tap in backbone.taps]
        for shard in _shards(work, digests):
            for size in group_sizes if shard.digests else ():
                rows = zip(names, shard.features[size], strict=True)
                stores[size].add(shard.digests, dict(rows))
            result.unreadable |= shard.unreadable
            result.n_forward += len(shard.digests) * len(group_sizes)
            done = result.n_forward + len(result.unreadable) * len(group_sizes)
            progress("extract features", done, n_waiting)
    result.seconds = time.perf_counter() - started
    return result


def stream_features(
    paths: Sequence[Path],
    backbone: Backbone,
    wanted: Sequence[tuple[str, int]],
    *,
    precision: str = "float32",
    device: str | None = None,
    cache: Path | None = None,
) -> Iterator[Streamed]:
    """Features of images that nothing is kept of, some images at a time and in order.

    Values are rounded to float16 and back, as stored features are, so that a prediction does not
    depend on whether an image came from the store.

    Parameters
    ----------
    paths : sequence of Path
    backbone : Backbone
    wanted : sequence of (tap, resolution in pixels)
    precision, device, cache
        As for :func:`extract`.

    Yields
    ------
    asked : list of Path
        The images of this lot, in order.
    read : list of Path
        Those that could be read: the images of the rows.
    parts : list of float32 arrays (len(read), d)
        One for each of ``wanted``; empty if no image could be read.
    unreadable : dict of Path to reason
    """
    ready = {size: at_size(backbone, size) for size in dict.fromkeys(s for _, s in wanted)}
    engines = {
        size: choose_engine(
            at,
            n_images=len(paths),
            precision=precision,
            device=pick_device(device),
            cache=cache or cache_folder(),
        )
        for size, at in ready.items()
    }
    preprocessings = [at.preprocessing for at in ready.values()]
    yield from _stream(paths, [t.name for t in backbone.taps], wanted, preprocessings, engines)


def stream_converted(
    paths: Sequence[Path],
    keys: Mapping[int, FeatureKey],
    wanted: Sequence[tuple[str, int]],
    *,
    cache: Path | None = None,
) -> Iterator[Streamed] | None:
    """:func:`stream_features` on the CPU by networks that were converted before.

    Neither the weights nor timm or torchvision are loaded.

    Parameters
    ----------
    paths, wanted, cache
        As for :func:`stream_features`.
    keys : mapping of resolution in pixels to FeatureKey
        As :func:`feature_key` gave them.

    Returns
    -------
    iterator, or None where a conversion is missing
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
    return _stream(paths, [name for name, _ in key.taps], wanted, preprocessings, engines)


def _stream(
    paths: Sequence[Path],
    taps: Sequence[str],
    wanted: Sequence[tuple[str, int]],
    preprocessings: Sequence[Preprocessing],
    engines: dict[int, Engine],
) -> Iterator[Streamed]:
    columns = {tap: i for i, tap in enumerate(taps)}
    by_id = {str(path): path for path in paths}
    work = _Work(paths=by_id, preprocessings=preprocessings, engines=engines)
    for rows in _shards(work, list(by_id)):
        found = [rows.features[s][columns[t]] for t, s in wanted] if rows.digests else []
        yield (
            [by_id[i] for i in rows.asked],
            [by_id[i] for i in rows.digests],
            [X.astype(np.float16).astype(np.float32) for X in found],
            {by_id[i]: reason for i, reason in rows.unreadable.items()},
        )


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What a worker needs to turn digests into features."""

    paths: dict[str, Path]
    preprocessings: Sequence[Preprocessing]
    engines: dict[int, Engine]
    mirrored: bool = False
    checks_digests: bool = False

    @property
    def batch_size(self) -> int:
        return min(e.batch_size for e in self.engines.values())

    @property
    def n_workers(self) -> int:
        return max(e.n_workers for e in self.engines.values())


@dataclass(kw_only=True)
class _Rows:
    """Features of some images: one array (n, d) a tap, for every resolution."""

    asked: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    features: dict[int, list[NDArray[np.float32]]] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def _by_need(missing: dict[int, list[str]]) -> dict[tuple[int, ...], list[str]]:
    """Group the images by the resolutions they lack, so that each is decoded once."""
    needs: dict[str, list[int]] = {}
    for size, digests in missing.items():
        for digest in digests:
            needs.setdefault(digest, []).append(size)
    groups: dict[tuple[int, ...], list[str]] = {}
    for digest, sizes in needs.items():
        groups.setdefault(tuple(sizes), []).append(digest)
    return groups


def _compute(work: _Work, digests: Sequence[str]) -> _Rows:
    """Decode one batch and run it at every resolution; runs in a worker thread."""
    rows = _Rows(asked=list(digests))
    pixels: list[list[Crop]] = []
    for digest in digests:
        try:
            wanted = digest if work.checks_digests else None
            pixels.append(crops(work.paths[digest], work.preprocessings, digest=wanted))
            rows.digests.append(digest)
        except DataError as error:
            rows.unreadable[digest] = str(error)
    if rows.digests:
        for (size, engine), images in zip(
            work.engines.items(), zip(*pixels, strict=True), strict=True
        ):
            batch = np.stack(images)
            if work.mirrored:
                batch = np.ascontiguousarray(batch[:, :, ::-1])
            rows.features[size] = engine(batch)
    return rows


def _shards(work: _Work, digests: Sequence[str]) -> Iterator[_Rows]:
    """Rows in the order of ``digests``, SHARD_ROWS images at a time, computed by worker threads."""
    batches: Iterator[list[str]] = (
        list(digests[start : min(start + work.batch_size, first + SHARD_ROWS)])
        for first in range(0, len(digests), SHARD_ROWS)
        for start in range(first, min(first + SHARD_ROWS, len(digests)), work.batch_size)
    )
    pool = ThreadPoolExecutor(work.n_workers, thread_name_prefix="extract")
    waiting: deque[Future[_Rows]] = deque()
    try:
        for batch in itertools.islice(batches, 2 * work.n_workers):
            waiting.append(pool.submit(_compute, work, batch))
        parts: list[_Rows] = []
        n_seen = 0
        while waiting:
            parts.append(waiting.popleft().result())
            n_seen += len(parts[-1].asked)
            for batch in itertools.islice(batches, 1):
                waiting.append(pool.submit(_compute, work, batch))
            if n_seen % SHARD_ROWS == 0 or n_seen == len(digests):
                yield _joined(parts)
                parts = []
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _joined(parts: Sequence[_Rows]) -> _Rows:
    """Several batches as one."""
    whole = _Rows()
    for part in parts:
        whole.asked += part.asked
        whole.digests += part.digests
        whole.unreadable |= part.unreadable
    filled = [part for part in parts if part.digests]
    for size in filled[0].features if filled else ():
        taps = zip(*(part.features[size] for part in filled), strict=True)
        whole.features[size] = [np.concatenate(tap) for tap in taps]
    return whole
