"""Batches of images through engines by worker threads, shared by all kinds of extraction."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.backbones import Preprocessing
from headstart.backbones.tapped import Pooling
from headstart.errors import DataError
from headstart.features.cores import one_core_workers
from headstart.features.engines import Engine, choose_engine
from headstart.features.pixels import Content, Crop, crops
from headstart.features.torchengine import Launched, TorchEngine

if TYPE_CHECKING:
    from torch import Tensor

    from headstart.backbones import Backbone

# Images that a worker decodes at once for a GPU: few, so that all workers share in the next batch.
PART = 8


@dataclass(frozen=True, kw_only=True)
class Network:
    """A backbone at several resolutions with its execution settings."""

    ready: Mapping[int, Backbone]  # by resolution in pixels
    precision: str
    pooling: Pooling
    mirrored: bool
    device: str
    cache: Path  # folder of converted networks
    n_threads: int | None = None  # cores for a CPU engine; default: all available to the process

    def engines(self, sizes: Sequence[int], n_images: int) -> dict[int, Engine]:
        """An engine for each resolution: see :func:`headstart.features.engines.choose_engine`.

        They take the same batches, so that the largest resolution decides how large those are.
        """
        found: dict[int, Engine] = {}
        for size in sorted(sizes, reverse=True):
            found[size] = choose_engine(
                self.ready[size],
                n_images=n_images,
                precision=self.precision,
                device=self.device,
                pooling=self.pooling,
                cache=self.cache,
                n_threads=self.n_threads,
                max_batch=min((e.batch_size for e in found.values()), default=None),
            )
        return {size: found[size] for size in sizes}

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

    def add(self, other: Rows) -> None:
        """Append images, without their features."""
        self.asked += other.asked
        self.digests += other.digests
        self.unreadable |= other.unreadable


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
    rows, cut = _decode(work, digests)
    rows.features = {size: work.engines[size](np.stack(images)) for size, images in cut.items()}
    return rows


def _decode(work: Work, digests: Sequence[str]) -> tuple[Rows, dict[int, Sequence[Crop]]]:
    """The readable ones of some images, and their crops at each resolution if there are any."""
    rows = Rows(asked=list(digests))
    pixels: list[list[Crop]] = []
    for digest in digests:
        try:
            wanted = digest if work.checks_digests else None
            source, name = work.sources[digest], work.names.get(digest)
            cut = crops(source, work.preprocessings, digest=wanted, name=name)
            pixels.append([crop[:, ::-1] for crop in cut] if work.mirrored else cut)
            rows.digests.append(digest)
        except DataError as error:
            rows.unreadable[digest] = str(error)
    return rows, dict(zip(work.engines, zip(*pixels, strict=True), strict=True)) if pixels else {}


def _hold(work: Work, digests: Sequence[str]) -> tuple[Rows, dict[int, Tensor]]:
    """Decode a part of a batch into memory that its engines upload."""
    rows, cut = _decode(work, digests)
    return rows, {size: _launching(work, size).hold(images) for size, images in cut.items()}


def _launch(
    work: Work, parts: Sequence[Future[tuple[Rows, dict[int, Tensor]]]]
) -> tuple[Rows, dict[int, Launched]]:
    """Start one batch at every resolution as soon as its parts are decoded."""
    rows, held = Rows(), []
    for part in parts:
        own, tensors = part.result()
        rows.add(own)
        held += [tensors] if tensors else []
    sizes = work.engines if held else ()
    return rows, {s: _launching(work, s).launch([tensors[s] for tensors in held]) for s in sizes}


def _launching(work: Work, size: int) -> TorchEngine:
    engine = work.engines[size]
    assert isinstance(engine, TorchEngine)
    return engine


def shards(
    work: Work, ids: Sequence[str], n_rows: int, on_seen: Callable[[int], None] = lambda _: None
) -> Iterator[Rows]:
    """Rows in the order of ``ids``, ``n_rows`` images at a time, from worker threads.

    `on_seen` is called with the number of images so far, after every batch.
    """
    batches: Iterator[list[str]] = (
        list(ids[start : min(start + work.batch_size, first + n_rows)])
        for first in range(0, len(ids), n_rows)
        for start in range(first, min(first + n_rows, len(ids)), work.batch_size)
    )
    waiting: deque[Callable[[], Rows]] = deque()
    with _submitting(work) as (submit, n_ahead):
        for batch in itertools.islice(batches, n_ahead):
            waiting.append(submit(batch))
        parts: list[Rows] = []
        n_seen = 0
        while waiting:
            parts.append(waiting.popleft()())
            n_seen += len(parts[-1].asked)
            on_seen(n_seen)
            for batch in itertools.islice(batches, 1):
                waiting.append(submit(batch))
            if n_seen % n_rows == 0 or n_seen == len(ids):
                yield _joined(parts)
                parts = []


@contextmanager
def _submitting(work: Work) -> Iterator[tuple[Callable[[list[str]], Callable[[], Rows]], int]]:
    """A function that starts a batch and returns one that waits for it; and how many to start ahead.

    On a CPU each worker decodes a batch and runs it. For a GPU the workers decode small parts, and one
    thread starts the batches in order, so that no worker waits for the device.
    """
    with one_core_workers(work.n_workers, "extract") as workers:
        if not all(isinstance(e, TorchEngine) and e.launches for e in work.engines.values()):
            yield lambda batch: workers.submit(compute, work, batch).result, 2 * work.n_workers
            return
        with one_core_workers(1, "launch") as launcher:

            def submit(batch: list[str]) -> Callable[[], Rows]:
                parts = [
                    workers.submit(_hold, work, batch[i : i + PART])
                    for i in range(0, len(batch), PART)
                ]
                started = launcher.submit(_launch, work, parts)
                return lambda: _landed(*started.result())

            # Enough that the workers go on while a shard is written.
            yield submit, 4 + 4 * work.n_workers * PART // work.batch_size


def _landed(rows: Rows, launched: Mapping[int, Launched]) -> Rows:
    """The rows with their features, once they are here."""
    rows.features = {size: batch.result() for size, batch in launched.items()}
    return rows


def _joined(parts: Sequence[Rows]) -> Rows:
    whole = Rows()
    for part in parts:
        whole.add(part)
    filled = [part for part in parts if part.digests]
    for size in filled[0].features if filled else ():
        taps = zip(*(part.features[size] for part in filled), strict=True)
        whole.features[size] = [np.concatenate(tap) for tap in taps]
    return whole
