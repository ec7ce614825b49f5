"""Whether a candidate's features are brought into memory or left on the disk."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.sources.blocks import Blocks, JoinedRows, block_rows, rows_in_memory

if TYPE_CHECKING:
    from headstart.features import FeatureStore
    from headstart.features.raycluster import Workers

logger = logging.getLogger(__name__)

# Share of the free memory that the features of one candidate may take.
SHARE = 0.5
CGROUP = Path("/sys/fs/cgroup")
GIB = 2**30


class Reading:
    """Reads the features of candidates, and remembers which were too large to be read whole.

    With workers of a cluster, these make the passes over such features.

    Attributes
    ----------
    in_blocks : dict of str to str
        For each such candidate, in words, why.
    """

    def __init__(self, workers: Workers | None = None) -> None:
        self.in_blocks: dict[str, str] = {}
        self._workers = workers

    def __call__(
        self, stores: Mapping[int, FeatureStore], digests: Sequence[str], blocks: Blocks
    ) -> NDArray[np.float32] | JoinedRows:
        """The features of ``blocks`` (n, d): an array, or rows that stay in the store: see `read`."""
        return self.read(block_rows(stores, digests, blocks), str(blocks))

    def read(self, rows: JoinedRows, name: str) -> NDArray[np.float32] | JoinedRows:
        """Rows of a store as an array, or as they are; `name` is what they are called.

        They stay in the store where the array and what the solver copies of it would take more than
        :data:`SHARE` of the memory that is free. The answers are the same within the solver's
        tolerance.
        """
        from headstart.heads.outofcore import held_bytes

        free = free_bytes()
        needed = held_bytes(*rows.shape)
        if free is None or needed <= SHARE * free:
            return rows_in_memory(rows)
        if name not in self.in_blocks:
            n, d = rows.shape
            self.in_blocks[name] = (
                f"{n:,} images of {d:,} numbers would take {needed / GIB:.1f} GiB, more than "
                f"{SHARE:.0%} of the {free / GIB:.1f} GiB that are free"
            )
            logger.info("%s: features are read in blocks: %s", name, self.in_blocks[name])
        if self._workers is None:
            return rows
        from headstart.sources.divided import DividedRows

        return DividedRows(rows, self._workers)


def free_bytes() -> int | None:
    """Memory that a process may still take; None where the system does not tell.

    What the system could free at once counts as free; the limit of a container counts.
    """
    found = [n for n in (_of_machine(), _of_container()) if n is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _of_container() -> int | None:
    """What the limit of a container (cgroup v2) leaves."""
    try:
        limit = int((CGROUP / "memory.max").read_text(encoding="ascii"))
        stat = (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
        of_files = next(int(line.split()[1]) for line in stat if line.startswith("file "))
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError, StopIteration):  # no container, or one without a limit ("max")
        return None
    return max(limit - used + of_files, 0)
