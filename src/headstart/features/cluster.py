"""The one pass on many workers, by Ray Data: as :func:`headstart.features.extract`, and into the same store.

The work is cut into units: up to 512 images that are known by digest and path, or a part of a packed
source (:mod:`headstart.data.packed`). Each worker is an actor that holds the network; it reads and
passes the images of a unit by the code of the local engine and sends back whole shards. The process
that asked writes them, as they come, so the store lies on its disk alone and no worker has to reach
it: features are a small part of what a worker reads (6 kB of a photograph's 100 kB and more, with the
embedded network), and a lost worker leaves nothing half-written.
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

# Of parts that do not say how many images they hold: enough that a conversion of the network pays.
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
    """Pass every image that has no stored features yet through the network, on a Ray cluster.

    Features are those of the local engine to the last bit where both use the same one (OpenVINO or
    PyTorch). A worker that is lost is replaced and its unit computed again. Killed at any moment, a
    later call computes what is missing.

    Parameters
    ----------
    images : sequence of Record, or of Part
        Indexed images, whose paths every worker must reach; or parts of a packed source, which a
        later call reads again to know their digests, but does not pass again.
    backbone : Backbone
        Sent to the workers, which need no weights.
    cluster : Cluster
    resolutions, precision, pooling, cache
        As for :func:`headstart.features.extract`.
    device : str, optional
        Of the workers; default ``cuda`` where the cluster has GPUs, one each, else ``cpu``.
    progress : Progress
        Told of passes; of parts, where it is not known how many images they hold.

    Returns
    -------
    Extraction
        What could not be read is named by its digest, or by its name where it has no bytes.

    Raises
    ------
    InputError
        Ray is not installed, the cluster cannot be joined, or an option is wrong.
    DataError
        No image could be read.
    HeadstartError
        A feature is not finite, or some images lost their worker again and again.
    OutputError
        The store's disk is full or read-only.
    """
    check_options(precision, pooling)
    cluster.check()
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
    with joined(cluster, device=device) as crew:
        plan = Plan(
            network=replace(network, device=crew.device, n_threads=crew.n_threads),
            n_images=job.n_images,
            has_own_cache=not crew.is_local,
            known=job.known(),
        )
        job.tell()
        units = [unit.to_json() for unit in job.units(crew.n_workers)]
        for table in crew.run(Worker, plan, units):
            for answer in Answer.from_table(table):
                job.take(answer)
            job.tell()
        job.judge()
    result.seconds = time.perf_counter() - started
    return result


@dataclass
class _Job:
    """What is done so far of an extraction."""

    result: Extraction
    progress: Progress
    n_passes: int = 0
    n_units: int = 0
    replacements: set[str] = field(default_factory=set)

    def take(self, answer: Answer) -> None:
        """Keep what a worker sent."""
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

    def judge(self) -> None:
        """Tell of lost workers; raise where nothing could be read."""
        # Ray gives a lost worker's units to its replacement, so each that mattered answers.
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
    """Of indexed images: what is missing is known before."""

    paths: dict[str, Path] = field(default_factory=dict)
    missing: dict[int, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        stores = self.result.stores
        self.missing = {s: store.missing(self.paths) for s, store in stores.items()}
        self.n_waiting = sum(map(len, self.missing.values()))
        self.result.n_cached = len(self.paths) * len(stores) - self.n_waiting

    @property
    def n_images(self) -> int:
        """That wait, at the resolution that most of them lack."""
        return max(map(len, self.missing.values()))

    def known(self) -> dict[int, NDArray[np.bytes_]]:
        """Nothing that workers must know."""
        return {}

    def units(self, n_workers: int) -> Iterator[Unit]:
        """Shards of images, small enough that every worker gets some."""
        for sizes, digests in by_need(self.missing).items():
            n_each = min(SHARD_ROWS, math.ceil(len(digests) / n_workers))
            for start in range(0, len(digests), n_each):
                some = digests[start : start + n_each]
                paths = tuple(str(self.paths[d]) for d in some)
                yield Unit(sizes=sizes, digests=tuple(some), paths=paths)

    def tell(self) -> None:
        """How far the job is."""
        self.progress("extract features", self.n_passes, self.n_waiting)


@dataclass
class _Parts(_Job):
    """Of packed images: a worker that reads one finds out whether it is missing."""

    parts: list[Part] = field(default_factory=list)

    @property
    def n_images(self) -> int:
        """As the parts say, or many."""
        counts = [part.n_images for part in self.parts]
        return _MANY if min(counts) < 0 else sum(counts)

    def known(self) -> dict[int, NDArray[np.bytes_]]:
        """Digests of what is there, sorted, for each resolution."""
        stores = self.result.stores
        return {s: np.sort(packed_digests(store.digests())) for s, store in stores.items()}

    def units(self, n_workers: int) -> Iterator[Unit]:
        """The parts."""
        return (Unit(part=part.to_json()) for part in self.parts)

    def tell(self) -> None:
        """How far the job is."""
        if self.n_images == _MANY:
            self.progress("extract shards", self.n_units, len(self.parts))
        else:
            n_passes = self.n_images * len(self.result.stores)
            self.progress("extract features", self.n_passes, n_passes)
