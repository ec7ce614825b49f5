"""Independent pieces of linear algebra on the cores and devices of one machine.

One thread a piece, each piece on one core, beats one piece on all cores: the many small steps of
the solvers need no barriers, and a core that another program holds delays its own piece only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock, Thread
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

_lock = Lock()


def map_pieces(work: Callable[[T], R], pieces: Sequence[T], device: torch.device) -> list[R]:
    """``[work(piece) for piece in pieces]`` on as many cores as torch may use.

    Which pieces there are must not depend on the number of cores, so that results do not either.
    """
    return list(each_piece(work, pieces, device))


def each_piece(work: Callable[[T], R], pieces: Sequence[T], device: torch.device) -> Iterator[R]:
    """The same one by one, in order: what was taken is not kept. A stop leaves the rest undone."""
    with _lock:  # not while another call limits its threads
        allowed = torch.get_num_threads()
    n_threads = min(allowed, len(pieces))
    if device.type != "cpu" or n_threads < 2:
        yield from map(work, pieces)
        return
    pool = ThreadPoolExecutor(n_threads, initializer=_limit, initargs=(allowed // n_threads,))
    try:
        with _libraries().limit(limits=allowed // n_threads, user_api="blas"):  # NumPy's
            yield from pool.map(work, pieces)
    finally:
        pool.shutdown(cancel_futures=True)


def _limit(n_threads: int) -> None:
    """Set how many threads torch uses in this new thread only."""
    # `set_num_threads` also sets the number of threads that start later, which another call may run in.
    with _lock:
        usual = torch.get_num_threads()
        torch.set_num_threads(n_threads)
        restore = Thread(target=torch.set_num_threads, args=(usual,))
        restore.start()
        restore.join()


@cache
def _libraries() -> ThreadpoolController:
    """What computes with threads in this process."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def map_devices(
    work: Callable[[S, Sequence[T]], Sequence[R]], pieces: Sequence[T], shards: Sequence[S]
) -> list[R]:
    """What ``work(shard, its pieces)`` finds for every piece, in order.

    A shard is what one device needs to solve any piece; the shards take the pieces in turn, and each
    works in a thread of its own.
    """
    if len(shards) == 1:
        return list(work(shards[0], pieces))
    k, done = len(shards), dict[int, R]()

    def share(j: int) -> None:
        done.update(zip(range(j, len(pieces), k), work(shards[j], pieces[j::k]), strict=True))

    with ThreadPoolExecutor(k) as pool:
        list(pool.map(share, range(k)))
    return [done[i] for i in range(len(pieces))]
