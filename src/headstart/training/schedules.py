"""Learning-rate schedules as stateless functions of the step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.training.settings import TrainSettings

# L. Smith and N. Topin, "Super-Convergence", 2019: with the defaults of torch's OneCycleLR.
ONE_CYCLE_RISE = 0.3
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = 1 / 25e4


def rate_at(step: int, settings: TrainSettings, steps_an_epoch: int) -> float:
    """Learning rate of the output layer at a step.

    `step`: from 0, over the whole run.
    """
    n_steps = settings.epochs * steps_an_epoch
    if settings.schedule == "one-cycle":
        return settings.lr * _one_cycle(step, n_steps)
    warmup = min(round(settings.warmup_epochs * steps_an_epoch), n_steps)
    if step < warmup:
        return settings.lr * (step + 1) / (warmup + 1)
    if settings.schedule == "constant":
        return settings.lr
    share = (step - warmup) / max(n_steps - warmup, 1)
    return settings.lr * (1 + math.cos(math.pi * share)) / 2


def _one_cycle(step: int, n_steps: int) -> float:
    """Rise along a half cosine, then fall along another to almost 0."""
    rise = ONE_CYCLE_RISE * n_steps
    if step < rise:
        return _between(ONE_CYCLE_START, 1.0, step / rise)
    return _between(1.0, ONE_CYCLE_END, (step - rise) / max(n_steps - rise, 1))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def lowest_stage(epoch: int, n_stages: int, every: int) -> int:
    """The lowest trained stage (from 0) in an epoch under gradual unfreezing.

    `epoch`: from 1. `n_stages`: the highest stage, ``n_stages - 1``, is the output layer, trained
    from the first epoch. `every`: epochs between stages; 0: all from the start.
    """
    return max(0, n_stages - 1 - (epoch - 1) // every) if every else 0
