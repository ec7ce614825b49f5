"""Cores of this machine, and worker threads that use one each."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_pools, _n_threads = 0, 1


def n_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def one_core_workers(n: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """A pool of ``n`` threads, in each of which torch computes in that thread alone.

    Otherwise each of them would share its work out among as many threads as there are cores. The
    calling thread keeps its own number. Tasks that have not begun are cancelled at the end.
    """
    global _pools, _n_threads
    with _lock:
        if _pools == 0:
            _n_threads = torch.get_num_threads()
        _pools += 1
    # torch.set_num_threads counts for the calling thread and for those that start later.
    pool = ThreadPoolExecutor(
        n, thread_name_prefix=name, initializer=torch.set_num_threads, initargs=(1,)
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        with _lock:
            _pools -= 1
            if _pools == 0:
                torch.set_num_threads(_n_threads)
