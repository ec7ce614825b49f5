"""What ``lab batchnorm`` measures."""

from __future__ import annotations

import msgspec

from headstart.course.labs.result import LabResult
from headstart.results import Difference, Interval

KINDS = ("without", "with", "noisy")
"""Networks without BatchNorm, with it, and with it and noise."""

MEASURES = ("variation", "predictiveness", "beta", "shift", "relative_shift", "angle")


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of network at one learning rate; how many seeds trained and how many diverged."""

    rate: float
    train_accuracy: Interval
    val_accuracy: Interval
    n_trained: int
    n_diverged: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One measure: by kind, and as ratios to the network without BatchNorm."""

    values: dict[str, Interval]
    ratio: Interval
    noisy_ratio: Interval


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured at one choice of rates."""

    rates: dict[str, float]
    # kind to Difference; validation accuracy minus that without BatchNorm
    gain: dict[str, Difference]
    measures: dict[str, Comparison]
    steps: list[int]  # length n_steps
    # kind to list of n_steps Interval; variation of the loss at each of `steps`
    variation: dict[str, list[Interval]]
    # kind to list of Interval; from the second layer to the last
    angle_by_layer: dict[str, list[Interval]]


class BatchnormResult(LabResult, frozen=True, kw_only=True, tag="lab-batchnorm"):
    """What `headstart.course.labs.batchnorm.measure` returns."""

    data: str
    n_train: int
    n_layers: int
    seeds: list[int]
    rates: list[float]
    best_rates: dict[str, float]
    step_lengths: list[float]
    grid: dict[str, list[Cell]]  # kind to list of Cell; one per rate
    # validation accuracy with BatchNorm minus that without, at the best rate of each
    gain: Difference
    looks: list[Look]  # at the rate that is best without BatchNorm, then at the best rate of each
    cause: str = ""  # what the measurements say on why BatchNorm helps, in sentences
    worth: str = ""  # what BatchNorm brings, in sentences

    def highest(self, kind: str) -> float | None:
        """The highest rate at which every seed trains."""
        kept = [c.rate for c in self.grid[kind] if c.n_trained == len(self.seeds)]
        return max(kept, default=None)
