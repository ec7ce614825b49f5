"""Feature extraction on many workers with Ray Data, into the same store as `extract`.

The work is divided into units: up to 512 indexed images, or a part of a packed source
(:mod:`headstart.data.packed`). Each worker is an actor that holds the network; it reads the images of a
unit, runs them with the code of the local engine and returns whole shards, which the calling process
writes. So only that process needs access to the store, the traffic is small (6 kB of features for a
photograph of 100 kB, with the embedded network), and a lost worker leaves no partial files.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.tapped import Pooling
from headstart.data.parts import Part
from headstart.errors import DataError
from headstart.features.extraction import Extraction, at_resolutions, check_options, open_stores
from headstart.features.passes import by_need
from headstart.features.raycluster import Cluster, joined
from headstart.features.rayworker import SHARD_ROWS, Answer, Plan, Unit, Worker, packed_digests
from headstart.home import cache_folder
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Record

logger = logging.getLogger(__name__)

# Assumed for parts of unknown size: enough that converting the network pays off.
_MANY = 10**6


def extract_on_cluster(
    images: Sequence[Record] | Sequence[Part],
    backbone: Backbone,
    *,
    cluster: Cluster,
    resolutions: Sequence[int] | None = None,
    precision: str = "float32",
    pooling: Pooling = "average",
    device: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Extraction:
    """Extract the features of images that have none stored, on a Ray cluster.

    Features equal those of the local engine bit for bit if both use the same one (OpenVINO or
    PyTorch). A lost worker is replaced and its unit computed again. After a kill, the next call
    computes what is missing.

    Parameters
    ----------
    images : sequence of Record, or of Part
        Indexed images, whose paths every worker must be able to read; or parts of a packed source,
        which later calls read again for their digests, without running the network.
    backbone : Backbone
        Sent to the workers, which need no weight files.
    cluster : Cluster
    resolutions, precision, pooling, cache
        As for :func:`headstart.features.extract`.
    device : str, optional
        Device of the workers: ``cuda`` (one GPU each), ``cpu`` or ``mps``; default ``cuda`` if the cluster
        has GPUs, else ``cpu``.
    progress : Progress
        Reports forward passes, or parts if the number of images is unknown.

    Returns
    -------
    Extraction
        Unreadable images are named by digest, or by name if they have no bytes.

    Raises
    ------
    InputError
        Ray is not installed, the cluster cannot be joined, or an option is wrong.
    DataError
        No image could be read.
    HeadstartError
        A feature is not finite, or the same images lost their worker repeatedly.
    OutputError
        The store's disk is full or read-only.
    """
    check_options(precision, pooling)
    cluster.check(device)
    root = cache or cache_folder()
    network = at_resolutions(
        backbone,
        resolutions,
        precision=precision,
        pooling=pooling,
        mirrored=False,
        device="cpu",
        cache=root,
    )
    result = Extraction(stores=open_stores(network, root))
    job: _Records | _Parts
    if images and isinstance(images[0], Part):
        job = _Parts(result, progress, parts=[i for i in images if isinstance(i, Part)])
    else:
        job = _Records(result, progress, paths={i.digest: i.path for i in images})  # type: ignore[union-attr]
    if not job.n_images:
        return result
    started = time.perf_counter()
    with joined(cluster, device=device) as workers:
        plan = Plan(
            network=replace(network, device=workers.device, n_threads=workers.n_threads),
            n_images=job.n_images,
            has_own_cache=not workers.is_local,
            known=job.known(),
        )
        job.report()
        units = [unit.to_json() for unit in job.units(workers.n_workers)]
        for table in workers.run(Worker, plan, units):
            for answer in Answer.from_table(table):
                job.take(answer)
            job.report()
        job.check()
    result.seconds = time.perf_counter() - started
    return result


@dataclass
class _Job:
    """The state of an extraction."""

    result: Extraction
    progress: Progress
    n_passes: int = 0
    n_units: int = 0
    replacements: set[str] = field(default_factory=set)

    def take(self, answer: Answer) -> None:
        """Store an answer of a worker."""
        if answer.is_replacement:
            self.replacements.add(answer.worker)
        if answer.size_px:
            self.result.stores[answer.size_px].write(answer.payload)
            self.result.n_forward += answer.n_rows
            self.result.engine = answer.engine
        self.result.n_cached += answer.n_known
        self.result.unreadable |= answer.unreadable
        self.n_passes += answer.n_passes
        self.n_units += answer.n_units

    def check(self) -> None:
        """Report lost workers; raise if nothing could be read."""
        # Ray gives the units of a lost worker to its replacement.
        if self.replacements:
            logger.warning(
                "workers lost and replaced: %d; what they had in hand was computed again",
                len(self.replacements),
            )
        if self.result.unreadable and not self.result.n_forward + self.result.n_cached:
            reason = next(iter(self.result.unreadable.values()))
            raise DataError(
                f"none of the images could be read by the workers (first: {reason}): files must lie "
                "under the same path on every machine of the cluster"
            )


@dataclass
class _Records(_Job):
    """Extraction of indexed images, whose missing features are known in advance."""

    paths: dict[str, Path] = field(default_factory=dict)
    missing: dict[int, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        stores = self.result.stores
        self.missing = {s: store.missing(self.paths) for s, store in stores.items()}
        self.n_waiting = sum(map(len, self.missing.values()))
        self.result.n_cached = len(self.paths) * len(stores) - self.n_waiting

    @property
    def n_images(self) -> int:
        """Number of missing images, at the resolution with the most."""
        return max(map(len, self.missing.values()))

    def known(self) -> dict[int, NDArray[np.bytes_]]:
        """Workers need no digests."""
        return {}

    def units(self, n_workers: int) -> Iterator[Unit]:
        """Shards of images, small enough that every worker gets some."""
        for sizes, digests in by_need(self.missing).items():
            n_each = min(SHARD_ROWS, math.ceil(len(digests) / n_workers))
            for start in range(0, len(digests), n_each):
                some = digests[start : start + n_each]
                paths = tuple(str(self.paths[d]) for d in some)
                yield Unit(sizes=sizes, digests=tuple(some), paths=paths)

    def report(self) -> None:
        self.progress("extract features", self.n_passes, self.n_waiting)


@dataclass
class _Parts(_Job):
    """Extraction of packed images: workers find out which are missing."""

    parts: list[Part] = field(default_factory=list)

    @property
    def n_images(self) -> int:
        """The number in the parts, if known."""
        counts = [part.n_images for part in self.parts]
        return _MANY if min(counts) < 0 else sum(counts)

    def known(self) -> dict[int, NDArray[np.bytes_]]:
        """Sorted digests of stored images, for each resolution."""
        stores = self.result.stores
        return {s: np.sort(packed_digests(store.digests())) for s, store in stores.items()}

    def units(self, n_workers: int) -> Iterator[Unit]:
        """The parts."""
        return (Unit(part=part.to_json()) for part in self.parts)

    def report(self) -> None:
        if self.n_images == _MANY:
            self.progress("extract shards", self.n_units, len(self.parts))
        else:
            n_passes = self.n_images * len(self.result.stores)
            self.progress("extract features", self.n_passes, n_passes)
