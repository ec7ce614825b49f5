"""Micro-batching: every item gets its own row, together when busy, and a failure stays with its batch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import wait
from typing import Any

import numpy as np
import pytest

from headstart.serve.batching import Batcher


def test_batcher__batches_what_waits_and_gives_each_its_row() -> None:
    busy, go, sizes = threading.Event(), threading.Event(), []

    def run(items: Sequence[int]) -> Any:
        busy.set()
        go.wait(5)
        return np.array([[i, 2 * i] for i in items])

    batcher = Batcher(run, batch_size=8, n_workers=1, on_batch=sizes.append)
    futures = [batcher.submit(0)]
    busy.wait(5)
    futures += [batcher.submit(i) for i in range(1, 20)]
    go.set()
    assert [f.result(5).tolist() for f in futures] == [[i, 2 * i] for i in range(20)]
    assert sizes == [1, 8, 8, 3]
    batcher.close()
    with pytest.raises(RuntimeError):
        batcher.submit(1)


def test_batcher__workers_share_what_waits() -> None:
    together = threading.Barrier(2)

    def run(items: Sequence[int]) -> Any:
        if len(items) > 1:
            together.wait(5)
        return np.zeros((len(items), 1))

    batcher = Batcher(run, batch_size=8, n_workers=2)
    with batcher._change:  # both workers see all eight at once
        futures = [batcher.submit(i) for i in range(8)]
    wait(futures, 5)
    assert all(f.done() for f in futures)
    batcher.close()


def test_batcher__a_failure_is_told_and_the_next_goes_on() -> None:
    def run(items: Sequence[int]) -> Any:
        if 13 in items:
            raise ZeroDivisionError("13")
        return np.zeros((len(items), 1))

    batcher = Batcher(run, batch_size=1, n_workers=1)
    with pytest.raises(ZeroDivisionError):
        batcher.submit(13).result(5)
    assert batcher.submit(1).result(5).tolist() == [0.0]
    batcher.close()


def test_batcher__what_was_cancelled_is_not_computed() -> None:
    go, seen = threading.Event(), []

    def run(items: Sequence[int]) -> Any:
        go.wait(5)
        seen.extend(items)
        return np.zeros((len(items), 1))

    batcher = Batcher(run, batch_size=1, n_workers=1)
    futures = [batcher.submit(i) for i in range(4)]
    while not futures[0].running():
        pass
    assert futures[1].cancel()
    assert futures[2].cancel()
    go.set()
    batcher.close()
    assert seen == [0, 3]
