"""What a comparison of trainings found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from headstart import plots
from headstart.results import Difference, Interval, Result


class ArmResult(Struct, frozen=True, kw_only=True):
    """What one arm reached, over all seeds.

    Attributes
    ----------
    settings : dict, optional
        Of the training; None for a linear SVM.
    extra_s, seconds : float
        `seconds` of one fit includes `extra_s`, which was spent beforehand.
    test, test_balanced : Interval, optional
        None without test images.
    test_range : (float, float), optional
        Lowest and highest test accuracy among the seeds.
    difference : Difference, optional
        Test accuracy less that of the reference, paired.
    notes : tuple of str
        One a seed.
    histories : tuple of tuple of epochs
        One a seed, empty for an SVM.
    details : dict
        What arms of this kind have besides, such as the views of an image.
    """

    name: str
    line: str
    settings: dict[str, Any] | None
    n_layers: int
    starts_from_svm: bool
    extra_s: float
    val_accuracy: float
    test: Interval | None
    test_balanced: Interval | None
    test_range: tuple[float, float] | None
    difference: Difference | None
    seconds: float
    n_trained_parameters: int
    notes: tuple[str, ...]
    histories: tuple[tuple[dict[str, Any], ...], ...]
    best_epochs: tuple[int, ...]
    is_taken: bool
    details: dict[str, Any] = {}


class ComparisonResult(Result, frozen=True, kw_only=True, tag="comparison"):
    """Every arm of a comparison, the reference first.

    Attributes
    ----------
    size_px : int, optional
    classes, notes : tuple of str
        Of the data.
    noun : str
        What an example is called.
    """

    title: str
    data: str
    backbone: str
    size_px: int | None
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    reference: str
    taken: str
    seeds: tuple[int, ...]
    n_fit: int
    n_val: int
    n_test: int
    noun: str
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
        description="; ".join(f"{r.label} {r.value:.1f} %" for r in rows),
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
