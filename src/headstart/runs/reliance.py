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
    # coverage, accuracy: of the examples by which the threshold was chosen
    coverage: Interval
    accuracy: Interval
    # test_coverage, test_accuracy: of the test examples; None where there are none, or none is
    # answered
    test_coverage: Interval | None = None
    test_accuracy: Interval | None = None


class LabelSets(msgspec.Struct, frozen=True, kw_only=True):
    """Label sets at one level."""

    level: float  # share that is to hold the true class
    threshold: float  # probability from which a class belongs to the set
    # share of the test examples whose set holds the true class
    test_coverage: Interval | None = None
    # mean_size, single: classes in a set on average, and share of sets of one class, of the test
    # examples
    mean_size: float | None = None
    single: float | None = None


class TrainingMap(msgspec.Struct, frozen=True, kw_only=True):
    """Training images at their two largest principal components."""

    n: int  # training images; a random sample of them is shown
    variance: float  # share of the variance of the features that both hold
    labels: tuple[int, ...]  # position of each one's class among the run's classes
    # x, y: the same unit on both axes
    x: tuple[float, ...]
    y: tuple[float, ...]
    # whether a classifier that had not seen it took it for another class
    is_wrong: tuple[bool, ...]


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """The entry ``reliability`` of ``metrics.json``."""

    n: int  # examples that the model had not seen, other than test ones
    # coverage, accuracy: the risk-coverage curve: shares answered, ascending, and the accuracy of
    # these
    coverage: tuple[float, ...]
    accuracy: tuple[float, ...]
    refusals: tuple[Refusal, ...]  # of the targets that can be reached
    sets: tuple[LabelSets, ...]  # of the levels for which there are enough examples
    map: TrainingMap | None = None  # of runs on images with a frozen network
