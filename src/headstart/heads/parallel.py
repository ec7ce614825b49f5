"""Independent pieces of linear algebra on the cores of one machine.

One thread a piece, each piece on one core, beats one piece on all cores: the many small steps of
the solvers need no barriers, and a core that another program holds delays its own piece only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def map_pieces(work: Callable[[T], R], pieces: Sequence[T], device: torch.device) -> list[R]:
    """``[work(piece) for piece in pieces]`` on as many cores as torch may use.

    Which pieces there are must not depend on the number of cores, so that results do not either.
    """
    allowed = torch.get_num_threads()
    n_threads = min(allowed, len(pieces))
    if device.type != "cpu" or n_threads < 2:
        return [work(piece) for piece in pieces]
    try:
        with ThreadPoolExecutor(
            n_threads, initializer=torch.set_num_threads, initargs=(allowed // n_threads,)
        ) as pool:
            return list(pool.map(work, pieces))
    finally:
        torch.set_num_threads(allowed)
