"""Rates by step."""

from __future__ import annotations

import math

import pytest
import torch

from headstart.training.schedules import lowest_stage, rate_at
from headstart.training.settings import TrainSettings


def rates(**settings: object) -> list[float]:
    """All rates of 4 epochs of 5 steps."""
    chosen = TrainSettings(epochs=4, lr=0.1, **settings)  # type: ignore[arg-type]
    return [rate_at(step, chosen, 5) for step in range(20)]


def test_rate_at__cosine_rises_to_the_top_and_falls_as_a_cosine() -> None:
    found = rates(schedule="cosine", warmup_epochs=1.0)
    assert found[:6] == pytest.approx([0.1 * i / 6 for i in range(1, 7)])
    assert found[10] == pytest.approx(0.1 * (1 + math.cos(math.pi * 5 / 15)) / 2)
    assert found[5:] == sorted(found[5:], reverse=True)
    assert min(found) > 0


def test_rate_at__constant_stays_after_the_warm_up() -> None:
    assert set(rates(schedule="constant", warmup_epochs=0.0)) == {0.1}
    assert rates(schedule="constant", warmup_epochs=0.4)[2:] == [0.1] * 18


def test_rate_at__one_cycle_is_that_of_torch() -> None:
    # torch's steps 0 and n - 1 are the ends; ours ends one step later, so that no step has the
    # lowest rate and none is lost.
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=2001, pct_start=0.3
    )
    theirs = []
    for _ in range(2000):
        theirs.append(cycle.get_last_lr()[0])
        optimizer.step()
        cycle.step()
    settings = TrainSettings(epochs=4, lr=0.1, schedule="one-cycle")
    ours = [rate_at(step, settings, 500) for step in range(2000)]
    assert ours == pytest.approx(theirs, abs=2e-4)


def test_rate_at__a_warm_up_longer_than_the_run_only_rises() -> None:
    found = rates(warmup_epochs=10.0)
    assert found == sorted(found)


def test_lowest_stage__goes_down_one_at_a_time() -> None:
    assert [lowest_stage(epoch, 4, 1) for epoch in range(1, 7)] == [3, 2, 1, 0, 0, 0]
    assert [lowest_stage(epoch, 3, 2) for epoch in range(1, 7)] == [2, 2, 1, 1, 0, 0]
    assert lowest_stage(1, 4, 0) == 0
