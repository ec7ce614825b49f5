"""Reading, digesting and decoding the files of a data set on the workers of a Ray cluster.

Gives `headstart.data.index` what :func:`headstart.data.inspection.inspect_all` gives it on this machine.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import headstart
from headstart.data.index import Inspect
from headstart.data.inspection import Facts, Inspected, inspect_all
from headstart.features.raycluster import Cluster, joined
from headstart.features.rayworker import packed_digests, require_version

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.data.factstore import FactStore

# Files of a unit: seconds of work, and half a megabyte of facts.
UNIT_FILES = 512


@dataclass(frozen=True, kw_only=True)
class Known:
    """Sent once to every worker: sorted digests, 32 bytes each, of files that need no decoding."""

    digests: NDArray[np.bytes_] = field(default_factory=lambda: packed_digests([]))
    version: str = headstart.__version__

    def __contains__(self, digest: str) -> bool:
        at = np.searchsorted(self.digests, wanted := packed_digests([digest]))
        return bool((self.digests[at[at < len(self.digests)]] == wanted).any())


class Inspector:
    """A worker: from rows of units, a number and paths, to rows of that number and what was found."""

    def __init__(self, known: Any) -> None:
        if not isinstance(known, Known):
            import ray

            known = ray.get(known)
        self._known: Known = known

    def __call__(self, table: pa.Table) -> Iterator[dict[str, list[Any]]]:
        require_version(self._known.version)
        for text in table.column("unit").to_pylist():
            number, paths = json.loads(text)
            found = inspect_all([Path(p) for p in paths], self._unless_known)
            yield {"number": [number], "found": [json.dumps([_to_json(seen) for seen in found])]}

    def _unless_known(self, digest: str) -> Facts | None:
        """Nothing of a file whose facts the process that asks has."""
        return Facts() if digest in self._known else None


def inspect_on(cluster: Cluster) -> Inspect:
    """What `headstart.data.index` takes as `inspect`, on a cluster whose machines see the files.

    Every machine must have them under the same path.
    """

    def inspect(paths: Sequence[Path], store: FactStore) -> Iterator[Inspected]:
        known = Known(digests=np.sort(packed_digests(store.digests())))
        lots = [paths[i : i + UNIT_FILES] for i in range(0, len(paths), UNIT_FILES)]
        units = [json.dumps([number, [str(p) for p in lot]]) for number, lot in enumerate(lots)]
        waiting: dict[int, str] = {}
        n_done = 0
        with joined(cluster, device="cpu") as workers:
            for table in workers.run(Inspector, known, units) if units else ():
                waiting |= {row["number"]: row["found"] for row in table.to_pylist()}
                while n_done in waiting:
                    for seen in map(_from_json, json.loads(waiting.pop(n_done))):
                        own = store.get(seen.digest) if seen.digest else None
                        yield Inspected(seen.digest, own or seen.facts)
                    n_done += 1

    return inspect


def _to_json(seen: Inspected) -> list[Any]:
    facts = dataclasses.asdict(seen.facts)
    return [seen.digest, facts | {"thumb": seen.facts.thumb.hex()}]


def _from_json(row: list[Any]) -> Inspected:
    digest, facts = row
    return Inspected(digest, Facts(**facts | {"thumb": bytes.fromhex(facts["thumb"])}))
