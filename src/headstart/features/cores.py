"""Cores of this machine, and worker threads that use one each."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")

_lock = threading.Lock()


def n_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def one_core_workers(n: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """A pool of ``n`` threads, in each of which torch computes in that thread alone.

    Otherwise each of them would share its work out among as many threads as there are cores. Other
    threads, also those that start meanwhile, keep torch's usual number. Tasks that have not begun are
    cancelled at the end.
    """
    pool = ThreadPoolExecutor(n, thread_name_prefix=name, initializer=_compute_alone)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _compute_alone() -> None:
    """Set torch to one thread in this thread only."""
    # `set_num_threads` counts for its own thread and, as the usual number, for those that start later;
    # a thread that has not asked before takes the usual number once more.
    with _lock:
        usual = _in_new_thread(torch.get_num_threads)
        torch.get_num_threads()
        torch.set_num_threads(1)
        _in_new_thread(lambda: torch.set_num_threads(usual))


def _in_new_thread(work: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()
