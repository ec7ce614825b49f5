"""What `transfer size` found."""

from __future__ import annotations

from msgspec import Struct

from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.size.settings import Settings
from headstart.probe.powerlaw import PowerLaw
from headstart.results import Difference, Interval


class Point(Struct, frozen=True, kw_only=True):
    """The SVMs fitted to one number of images per class."""

    n: int  # images per class; a class with fewer gives all it has
    mean_n: float  # images per class that a subset really had, on average over the classes
    accuracy: Interval  # mean of the repeats
    lowest: float  # lowest accuracy of the repeats
    highest: float  # highest accuracy of the repeats


class CurvePoint(Struct, frozen=True, kw_only=True):
    """What the law predicts of a measurement with `n` images per class."""

    n: float
    accuracy: Interval


class Forecast(Struct, frozen=True, kw_only=True):
    """The accuracy with `n` images per class, predicted from at most `fitted_to`, and measured."""

    n: int
    fitted_to: int
    predicted: Interval
    measured: float
    is_inside: bool


class ScratchPoint(Struct, frozen=True, kw_only=True):
    """A network trained from random weights on `n` images per class."""

    n: int
    accuracy: Interval
    seconds: float
    # images per class with which frozen features are as accurate; None where they never are
    equal_n: float | None


class Needed(Struct, frozen=True, kw_only=True):
    """Images per class that an accuracy would take, by the law, with the ends of its 95 % interval.

    None: no number of images reaches it.
    """

    n: float | None
    low: float | None
    high: float | None


class SizeResult(ExperimentResult, frozen=True, kw_only=True, tag="size"):
    """Accuracy against images per class, and what more images would bring."""

    settings: Settings
    data: str
    backbone: str
    tap: str
    size_px: int | None  # of texts there is none
    C: float  # of all SVMs: the best in cross-validation on the largest subset of the first repeat
    n_repeats: int
    n_train: int
    n_test: int
    n_classes: int
    # whether the test images were given; otherwise they are a fifth of the training images
    has_own_test: bool
    points: tuple[Point, ...]
    law: PowerLaw
    curve: tuple[CurvePoint, ...]
    now: float  # images per class of the largest subset
    # what a measurement with ``settings.more`` images per class besides would show
    accuracy_then: Interval
    gain: Difference  # what they would bring, by the law
    forecasts: tuple[Forecast, ...]
    scratch: tuple[ScratchPoint, ...] = ()  # empty where no network was trained
    needed: Needed | None = None  # where ``settings.accuracy`` was asked for
