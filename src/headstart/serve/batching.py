"""Micro-batching: images of several requests go through the network together.

There is no waiting: a free worker takes the items in the queue. While the network is busy, the queue
grows, so batches grow with the load.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Batcher(Generic[T]):
    """Threads that run a function on submitted items, several per call.

    Parameters
    ----------
    run : callable
        From a sequence of items to an array with one row each.
    batch_size : int
        Maximum number of items per call.
    n_workers : int
        Number of concurrent calls.
    on_batch : callable, optional
        Called with the number of items of each call.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], NDArray[Any]],
        *,
        batch_size: int,
        n_workers: int,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        self._run, self._batch_size, self._n_workers = run, batch_size, n_workers
        self._on_batch = on_batch or (lambda n: None)
        self._waiting: deque[tuple[T, Future[NDArray[np.float64]]]] = deque()
        self._change = threading.Condition()
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{i}", daemon=True)
            for i in range(n_workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, item: T) -> Future[NDArray[np.float64]]:
        """A future of the item's row; cancelling it before its turn skips the item.

        Raises RuntimeError where the batcher is closed.
        """
        future: Future[NDArray[np.float64]] = Future()
        with self._change:
            if self._is_closed:
                raise RuntimeError("the batcher is closed")
            self._waiting.append((item, future))
            self._change.notify()
        return future

    def close(self) -> None:
        """Finish waiting items, then stop the threads."""
        with self._change:
            self._is_closed = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while batch := self._take():
            self._on_batch(len(batch))
            try:
                rows = self._run([item for item, _ in batch])
            except BaseException as error:  # the caller gets the error; the thread continues
                for _, future in batch:
                    future.set_exception(error)
            else:
                for (_, future), row in zip(batch, rows, strict=True):
                    future.set_result(row)

    def _take(self) -> list[tuple[T, Future[NDArray[np.float64]]]]:
        """This worker's share of the waiting items; empty when the batcher is closed."""
        with self._change:
            while True:
                while not self._waiting and not self._is_closed:
                    self._change.wait()
                if not self._waiting:
                    return []
                share = math.ceil(len(self._waiting) / self._n_workers)
                n = min(self._batch_size, share)
                taken = [self._waiting.popleft() for _ in range(n)]
                batch = [(i, f) for i, f in taken if f.set_running_or_notify_cancel()]
                if batch:
                    return batch
