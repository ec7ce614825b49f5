"""What a comparison of trainings found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from headstart import plots
from headstart.results import Difference, Interval, Result
from headstart.training.history import Epoch


class ArmResult(Struct, frozen=True, kw_only=True):
    """What one arm reached, over all seeds."""

    name: str
    line: str
    settings: dict[str, Any] | None  # of the training; None for a linear SVM
    n_layers: int
    starts_from_svm: bool
    extra_s: float  # seconds that were spent beforehand
    val_accuracy: float
    test: Interval | None  # test accuracy; None without test images
    test_balanced: Interval | None  # balanced test accuracy; None without test images
    # (float, float); lowest and highest test accuracy among the seeds
    test_range: tuple[float, float] | None
    difference: Difference | None  # test accuracy less that of the reference, paired
    seconds: float  # seconds of one fit, `extra_s` included
    n_trained_parameters: int
    notes: tuple[str, ...]  # one a seed
    histories: tuple[tuple[Epoch, ...], ...]  # one a seed, empty for an SVM
    best_epochs: tuple[int, ...]
    is_taken: bool
    # what arms of this kind have besides, such as the views of an image
    details: dict[str, Any] = {}


class ComparisonResult(Result, frozen=True, kw_only=True, tag="comparison"):
    """Every arm of a comparison, the reference first."""

    title: str
    data: str
    backbone: str
    size_px: int | None
    classes: tuple[str, ...]  # names of the classes
    notes: tuple[str, ...]  # notes on the data
    reference: str
    taken: str
    seeds: tuple[int, ...]
    n_fit: int
    n_val: int
    n_test: int
    noun: str  # what an example is called
    arms: tuple[ArmResult, ...]

    def _figure(self) -> str:
        return plots.Figure(accuracies(self.arms)) if self.n_test else ""


def accuracies(arms: Sequence[ArmResult]) -> str:
    """The test accuracies, which every arm has, with their intervals as an SVG figure."""
    rows = interval_rows(arms, "test")
    return plots.interval_plot(
        rows,
        name="accuracies",
        title="Test accuracy of each",
        axis="test accuracy, %",
    )


def interval_rows(arms: Sequence[ArmResult], field: str) -> list[plots.IntervalRow]:
    """Value, low and high of every arm, in % or points."""
    return [
        plots.IntervalRow.of_shares(
            arm.name, getattr(arm, field), mark="chosen" if arm.is_taken else ""
        )
        for arm in arms
    ]
