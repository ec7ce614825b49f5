"""How far a run can be relied on, as types: the entries ``checks`` and ``reliability`` of ``metrics.json``."""

from __future__ import annotations

import msgspec

from headstart.reliability.shortcuts import Shortcut
from headstart.reliability.slices import Part
from headstart.results import Interval


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """The entry ``checks`` of ``metrics.json``."""

    shortcuts: tuple[Shortcut, ...]  # the most telling first
    n_shortcuts: int  # training images that they were looked for on
    first_layer: Interval  # balanced accuracy of the first layer alone, on the same images
    parts: tuple[Part, ...]  # significantly worse ones first
    # images that were divided: training ones, each judged by a classifier that had not seen it, and
    # test ones
    n_parts: int
    # So many were judged; where there are more, `n_parts` were drawn from them at random, each
    # class with its share. None of an older run.
    n_judged: int | None = None
    # whether the classifier is the fine-tuned network that the run predicts with: then the training
    # images are those that were held out from its training to compare it with the SVM
    is_finetuned: bool = False


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A target accuracy, and what reaches it."""

    target: float
    threshold: float  # probability from which to answer; 0: always
    coverage: Interval  # share answered of the examples that the threshold was chosen on
    accuracy: Interval  # accuracy of the answers on the examples that the threshold was chosen on
    # share answered of the test examples; None without test examples or answers
    test_coverage: Interval | None = None
    # accuracy of the answers on the test examples; None without test examples or answers
    test_accuracy: Interval | None = None


class LabelSets(msgspec.Struct, frozen=True, kw_only=True):
    """Label sets at one level."""

    level: float  # share that is to hold the true class
    threshold: float  # probability from which a class belongs to the set
    # share of the test examples whose set holds the true class
    test_coverage: Interval | None = None
    mean_size: float | None = None  # mean number of classes in the sets of the test examples
    single: float | None = None  # share of the test examples whose set has one class


class TrainingMap(msgspec.Struct, frozen=True, kw_only=True):
    """Training images at their two largest principal components."""

    n: int  # training images; a random sample of them is shown
    variance: float  # share of the variance of the features that both hold
    labels: tuple[int, ...]  # position of each one's class among the run's classes
    x: tuple[float, ...]  # horizontal position, in the unit of `y`
    y: tuple[float, ...]  # vertical position, in the unit of `x`
    # whether a classifier that had not seen it took it for another class
    is_wrong: tuple[bool, ...]


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """The entry ``reliability`` of ``metrics.json``."""

    n: int  # examples that the model had not seen, other than test ones
    # risk-coverage curve: shares of the examples that are answered, ascending
    coverage: tuple[float, ...]
    # risk-coverage curve: accuracy of the answers at each of `coverage`
    accuracy: tuple[float, ...]
    refusals: tuple[Refusal, ...]  # of the targets that can be reached
    sets: tuple[LabelSets, ...]  # of the levels for which there are enough examples
    map: TrainingMap | None = None  # of runs on images with a frozen network
