"""Pieces of work on several cores."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from headstart.heads.parallel import each_piece, map_pieces

CPU = torch.device("cpu")


def n_in_new_thread() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
def test_each_piece__limits_its_own_threads_only() -> None:
    all_began = Barrier(4)

    def work(_: int) -> int:
        all_began.wait(60)
        return torch.get_num_threads()

    running = each_piece(work, range(4), CPU)
    assert next(running) == 1
    assert n_in_new_thread() == 4  # such as those of another fit in this process
    assert map_pieces(lambda _: torch.get_num_threads(), range(2), CPU) == [2, 2]
    assert list(running) == [1, 1, 1]
    assert torch.get_num_threads() == n_in_new_thread() == 4
