"""The passes of an SVM over features in a store, divided among the workers of a Ray cluster.

The parts of :mod:`headstart.heads.passes` are what is divided: their sums come back to the process
that asks, which adds them in order, so that weights and certificates are those of one machine.
"""

from __future__ import annotations

import bisect
import secrets
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.features.raycluster import explained
from headstart.heads.examples import Normalize, Rows, Streamed
from headstart.heads.passes import Labels, Passes, is_heavy, parts, segments
from headstart.sources.blocks import JoinedRows

if TYPE_CHECKING:
    from headstart.features.raycluster import Workers

# Segments that a thread of a worker is given ahead. Of large results a worker makes one at a time.
N_AHEAD = 2


class DividedRows(JoinedRows):
    """`JoinedRows` over which the workers of a cluster make the passes of a solver."""

    def __init__(self, rows: JoinedRows, workers: Workers) -> None:
        super().__init__(rows.parts)
        self._workers = workers

    def executor(self, normalize: Normalize) -> ClusterExecutor:
        """Workers that read these rows, or are sent them where they do not see the store."""
        return ClusterExecutor(JoinedRows(self.parts), normalize, self._workers)


class SegmentWorker:
    """A worker: what a pass finds on a part of the rows of a task. It holds those of the last task."""

    def __init__(self, n_threads: int) -> None:
        self._n_threads = n_threads
        self._task, self._opening = "", threading.Lock()
        # Arrays in the object store are read-only, and nothing writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")

    def part(
        self, task: SentTask, labels: Labels, name: str, number: int, arguments: Sequence[Any]
    ) -> Any:
        torch.set_num_threads(self._n_threads if is_heavy(name) else 1)  # as on one machine
        examples = self._examples_of(task)
        passes = Passes(examples, labels)
        return passes.part(name, parts(name, examples.shape[0])[number], arguments)

    def _examples_of(self, task: SentTask) -> Streamed:
        import ray

        with self._opening:
            if self._task != task.name:
                rows: Rows = ray.get(task.rows)
                self._examples = Streamed(rows, task.normalize, torch.device("cpu"))
                self._task = task.name
            return self._examples


@dataclass(frozen=True, kw_only=True)
class SentTask:
    """Which rows a call is about."""

    name: str
    rows: Any  # a reference to `Rows`
    normalize: Normalize


class ClusterExecutor:
    """The workers of a cluster with the rows of one task.

    Of a cluster that was started on this machine they read the store. Others are sent the rows, segment
    by segment, which together must fit in the memory that Ray has for objects.
    """

    def __init__(self, rows: JoinedRows, normalize: Normalize, workers: Workers) -> None:
        import ray

        self._n_rows = len(rows)
        self._n_ahead = N_AHEAD * workers.n_workers * workers.n_threads
        self._seen = rows if workers.is_local else SentRows.of(rows)
        # Kept for workers that are started again.
        reference = ray.put(self._seen)
        self._task = SentTask(name=secrets.token_hex(8), rows=reference, normalize=normalize)
        self._actors = workers.actors(SegmentWorker, workers.n_threads)
        self._labels: tuple[Labels, Any] | None = None

    def each(self, labels: Labels, name: str, arguments: Sequence[Any]) -> Iterator[Any]:
        """What a pass finds on each of its parts, in order."""
        import ray

        n_parts = len(parts(name, self._n_rows))
        # One more is under way than ahead: of large results one per worker.
        n_ahead = len(self._actors) - 1 if is_heavy(name) else self._n_ahead

        if self._labels is None or self._labels[0] is not labels:
            self._labels = (labels, ray.put(labels))
        kept = self._labels[1], ray.put(tuple(arguments))
        waiting: deque[Any] = deque()
        for number in range(n_parts + n_ahead):
            if number < n_parts:
                worker = self._actors[number % len(self._actors)]
                waiting.append(worker.part.remote(self._task, kept[0], name, number, kept[1]))
            if number >= n_ahead or number >= n_parts:
                if not waiting:
                    return
                with explained():
                    found = ray.get(waiting.popleft())
                yield found


class SentRows:
    """Rows of which a process has the segments that it uses, from Ray's object store."""

    def __init__(
        self, shape: tuple[int, int], dtype: np.dtype[Any], sent: Mapping[int, Any]
    ) -> None:
        self.shape, self.dtype, self._sent = shape, dtype, sent
        self._starts = sorted(sent)
        self._here: dict[int, NDArray[Any]] = {}

    @classmethod
    def of(cls, rows: JoinedRows) -> SentRows:
        """Put every segment of the rows into the object store."""
        import ray

        sent = {part.start: ray.put(rows[part]) for part in segments(len(rows))}
        return cls(rows.shape, rows.dtype, sent)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_here": {}}

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Some rows of one segment."""
        import ray

        start = self._starts[bisect.bisect_right(self._starts, rows.start) - 1]
        if start not in self._here:
            self._here[start] = ray.get(self._sent[start])
        return self._here[start][rows.start - start : rows.stop - start]
