"""A worker of a cluster: reads the images of a unit, runs them, and returns whole shards.

This module does not import Ray, which only transports units and answers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import secrets
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

import headstart
from headstart.data.packed import read_part
from headstart.data.parts import Part, Sample
from headstart.errors import InputError
from headstart.features.engines import Engine
from headstart.features.passes import Network, Rows, by_need, shards
from headstart.features.shards import encode
from headstart.home import cache_folder

if TYPE_CHECKING:
    import pyarrow as pa

# Rows of a shard, as in the local engine.
SHARD_ROWS = 512
# Bytes of packed images per batch; two batches are held, since the next is read ahead.
_LOT_BYTES = 256 << 20

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sent once to every worker."""

    network: Network  # with the workers' device
    n_images: int  # in all, which decides the engine
    has_own_cache: bool  # of converted networks, as workers on other machines have
    # by resolution, the SHA-256 of packed images with stored features, 32 bytes each, sorted
    known: Mapping[int, NDArray[np.bytes_]] = field(default_factory=dict)
    version: str = headstart.__version__


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A unit of work: indexed images with their missing resolutions, or a part of a packed source."""

    sizes: tuple[int, ...] = ()
    digests: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    part: str = ""

    def to_json(self) -> str:
        """The unit as a line of JSON."""
        return json.dumps(dataclasses.asdict(self))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A shard, or with ``size_px`` 0 the progress of the unit."""

    worker: str  # machine, process and a token, which changes after a restart
    is_replacement: bool = False  # whether that worker replaces a lost one
    engine: str = ""
    size_px: int = 0
    payload: bytes = b""  # of the shard
    n_rows: int = 0  # in the payload
    n_known: int = 0  # images with stored features, counting each resolution
    n_passes: int = 0  # finished since the last answer: computed, not needed, or impossible
    n_units: int = 0  # 1 if the unit is finished
    # digest, or name if there are no bytes, to reason
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def to_columns(self) -> dict[str, list[Any]]:
        """One row of a table."""
        facts = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        payload = facts.pop("payload")
        return {"facts": [json.dumps(facts)], "payload": [payload]}

    @classmethod
    def from_table(cls, table: pa.Table) -> Iterator[Answer]:
        """Read the result of `to_columns`."""
        for row in table.to_pylist():
            yield cls(payload=row["payload"], **json.loads(row["facts"]))


class Worker:
    """One process of a cluster with one network; `plan` is a `Plan` or a Ray reference to one."""

    def __init__(self, plan: Any) -> None:
        self.is_replacement = False
        if not isinstance(plan, Plan):
            import ray

            plan = ray.get(plan)
            self.is_replacement = bool(ray.get_runtime_context().was_current_actor_reconstructed)
        self.plan: Plan = plan
        network = plan.network
        if plan.has_own_cache:
            network = dataclasses.replace(network, cache=cache_folder())
        self.network: Network = network
        self.name = f"{platform.node()} {os.getpid()} {secrets.token_hex(4)}"
        self._engines: dict[int, Engine] = {}

    def __call__(self, table: pa.Table) -> Iterator[dict[str, list[Any]]]:
        """Process rows of units into rows of answers. Raises StoreError where a feature is not finite."""
        require_version(self.plan.version)
        for text in table.column("unit").to_pylist():
            unit = Unit(**json.loads(text))
            answers = (
                self._of_part(Part.from_json(unit.part)) if unit.part else self._of_files(unit)
            )
            for answer in answers:
                yield answer.to_columns()

    def _of_files(self, unit: Unit) -> Iterator[Answer]:
        sources = {d: Path(p) for d, p in zip(unit.digests, unit.paths, strict=True)}
        unreadable: dict[str, str] = {}
        yield from self._pass(sources, {s: list(sources) for s in unit.sizes}, unreadable, {})
        n_passes = len(sources) * len(unit.sizes)
        yield self._answer(n_passes=n_passes, unreadable=unreadable, n_units=1)

    def _of_part(self, part: Part) -> Iterator[Answer]:
        for lot in _ahead(_lots(read_part(part))):
            unreadable = {s.name: s.reason for s in lot if s.reason}
            whole = [s for s in lot if not s.reason]
            digests = [hashlib.sha256(s.data).hexdigest() for s in whole]
            sources = dict(zip(digests, (s.data for s in whole), strict=True))
            names = dict(zip(digests, (s.name for s in whole), strict=True))
            missing = {s: self._missing(s, list(sources)) for s in self.network.ready}
            yield from self._pass(sources, missing, unreadable, names)
            n_known = len(sources) * len(missing) - sum(map(len, missing.values()))
            n_passes = len(lot) * len(missing)
            yield self._answer(n_passes=n_passes, unreadable=unreadable, n_known=n_known)
        yield self._answer(n_units=1)

    def _pass(
        self,
        sources: Mapping[str, Path | bytes],
        missing: dict[int, list[str]],
        unreadable: dict[str, str],
        names: Mapping[str, str],
    ) -> Iterator[Answer]:
        """Shards of the images; adds unreadable images to `unreadable`."""
        for sizes, digests in by_need(missing).items():
            work = self.network.work(self._ready(sizes), sources, names)
            for rows in shards(work, digests, SHARD_ROWS):
                unreadable |= rows.unreadable
                for size in sizes if rows.digests else ():
                    yield self._shard(rows, size)

    def _shard(self, rows: Rows, size: int) -> Answer:
        payload = encode(rows.digests, self.network.by_tap(rows, size))
        n_rows, engine = len(rows.digests), self._engines[size].name
        return self._answer(size_px=size, payload=payload, n_rows=n_rows, engine=engine)

    def _answer(self, **facts: Any) -> Answer:
        return Answer(worker=self.name, is_replacement=self.is_replacement, **facts)

    def _ready(self, sizes: Iterable[int]) -> dict[int, Engine]:
        new = [s for s in sizes if s not in self._engines]
        self._engines |= self.network.engines(new, self.plan.n_images)
        return {s: self._engines[s] for s in sizes}

    def _missing(self, size: int, digests: list[str]) -> list[str]:
        known = self.plan.known.get(size)
        if known is None or not len(known):
            return digests
        asked = packed_digests(digests)
        at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        return [d for d, is_there in zip(digests, known[at] == asked, strict=True) if not is_there]


def require_version(asking: str) -> None:
    """Raise InputError where this machine has another version of Headstart than the process that asks."""
    if asking != headstart.__version__:
        raise InputError(
            f"{platform.node()} has Headstart {headstart.__version__}, and the process that asks "
            f"has {asking}: install one version on all machines"
        )


def packed_digests(digests: Iterable[str]) -> NDArray[np.bytes_]:
    """Hexadecimal digests as an array (n,) of 32 bytes each."""
    return np.array([bytes.fromhex(d) for d in digests], dtype="S32")


def _lots(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    """Batches of the size of a shard, or smaller for large images."""
    lot: list[Sample] = []
    n_bytes = 0
    for sample in samples:
        lot.append(sample)
        n_bytes += len(sample.data)
        if len(lot) == SHARD_ROWS or n_bytes >= _LOT_BYTES:
            yield lot
            lot, n_bytes = [], 0
    if lot:
        yield lot


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, each read ahead while the previous one is processed."""
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item
