"""Batches of images through engines by worker threads, shared by all kinds of extraction."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.backbones import Preprocessing
from headstart.backbones.tapped import Pooling
from headstart.errors import DataError
from headstart.features.engines import Engine, choose_engine
from headstart.features.pixels import Content, Crop, crops

if TYPE_CHECKING:
    from headstart.backbones import Backbone


@dataclass(frozen=True, kw_only=True)
class Network:
    """A backbone at several resolutions with its execution settings.

    Attributes
    ----------
    ready : dict of resolution in pixels to Backbone
    precision : {"float32", "bfloat16"}
    pooling : {"average", "max", "pyramid"}
    mirrored : bool
    device : str
    cache : Path
        Folder of converted networks.
    n_threads : int, optional
        Cores for a CPU engine; default: all available to the process.
    """

    ready: Mapping[int, Backbone]
    precision: str
    pooling: Pooling
    mirrored: bool
    device: str
    cache: Path
    n_threads: int | None = None

    def engines(self, sizes: Sequence[int], n_images: int) -> dict[int, Engine]:
        """An engine for each resolution: see :func:`headstart.features.engines.choose_engine`."""
        return {
            s: choose_engine(
                self.ready[s],
                n_images=n_images,
                precision=self.precision,
                device=self.device,
                pooling=self.pooling,
                cache=self.cache,
                n_threads=self.n_threads,
            )
            for s in sizes
        }

    def work(
        self,
        engines: Mapping[int, Engine],
        sources: Mapping[str, Content],
        names: Mapping[str, str] | None = None,
    ) -> Work:
        """Work items of images by digest; images given as bytes have names."""
        return Work(
            sources=sources,
            names=names or {},
            preprocessings=[self.ready[s].preprocessing for s in engines],
            engines=engines,
            mirrored=self.mirrored,
            checks_digests=True,
        )

    def by_tap(self, rows: Rows, size: int) -> dict[str, NDArray[np.float32]]:
        """The features of one resolution in the form of the store."""
        names = [tap.name for tap in self.ready[size].taps]
        return dict(zip(names, rows.features[size], strict=True))


@dataclass(frozen=True, kw_only=True)
class Work:
    """The input of a worker; each image has a key, such as its digest."""

    sources: Mapping[str, Content]
    preprocessings: Sequence[Preprocessing]
    engines: Mapping[int, Engine]
    mirrored: bool = False
    checks_digests: bool = False
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def batch_size(self) -> int:
        return min(e.batch_size for e in self.engines.values())

    @property
    def n_workers(self) -> int:
        return max(e.n_workers for e in self.engines.values())


@dataclass(kw_only=True)
class Rows:
    """Features of some images: one array (n, d) per tap and resolution."""

    asked: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    features: dict[int, list[NDArray[np.float32]]] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def by_need(missing: dict[int, list[str]]) -> dict[tuple[int, ...], list[str]]:
    """Group images by missing resolutions, so that each is decoded once."""
    needs: dict[str, list[int]] = {}
    for size, digests in missing.items():
        for digest in digests:
            needs.setdefault(digest, []).append(size)
    groups: dict[tuple[int, ...], list[str]] = {}
    for digest, sizes in needs.items():
        groups.setdefault(tuple(sizes), []).append(digest)
    return groups


def compute(work: Work, digests: Sequence[str]) -> Rows:
    """Decode one batch and run it at every resolution, in a worker thread."""
    rows = Rows(asked=list(digests))
    pixels: list[list[Crop]] = []
    for digest in digests:
        try:
            wanted = digest if work.checks_digests else None
            source, name = work.sources[digest], work.names.get(digest)
            pixels.append(crops(source, work.preprocessings, digest=wanted, name=name))
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


def shards(work: Work, ids: Sequence[str], n_rows: int) -> Iterator[Rows]:
    """Rows in the order of ``ids``, ``n_rows`` images at a time, from worker threads."""
    batches: Iterator[list[str]] = (
        list(ids[start : min(start + work.batch_size, first + n_rows)])
        for first in range(0, len(ids), n_rows)
        for start in range(first, min(first + n_rows, len(ids)), work.batch_size)
    )
    pool = ThreadPoolExecutor(work.n_workers, thread_name_prefix="extract")
    waiting: deque[Future[Rows]] = deque()
    try:
        for batch in itertools.islice(batches, 2 * work.n_workers):
            waiting.append(pool.submit(compute, work, batch))
        parts: list[Rows] = []
        n_seen = 0
        while waiting:
            parts.append(waiting.popleft().result())
            n_seen += len(parts[-1].asked)
            for batch in itertools.islice(batches, 1):
                waiting.append(pool.submit(compute, work, batch))
            if n_seen % n_rows == 0 or n_seen == len(ids):
                yield _joined(parts)
                parts = []
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _joined(parts: Sequence[Rows]) -> Rows:
    """Concatenate batches."""
    whole = Rows()
    for part in parts:
        whole.asked += part.asked
        whole.digests += part.digests
        whole.unreadable |= part.unreadable
    filled = [part for part in parts if part.digests]
    for size in filled[0].features if filled else ():
        taps = zip(*(part.features[size] for part in filled), strict=True)
        whole.features[size] = [np.concatenate(tap) for tap in taps]
    return whole
