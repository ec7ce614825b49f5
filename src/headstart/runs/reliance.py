"""How far a run can be relied on, as types: the entries ``checks`` and ``reliability`` of ``metrics.json``."""

from __future__ import annotations

import msgspec

from headstart.reliability.shortcuts import Shortcut
from headstart.reliability.slices import Part
from headstart.results import Interval


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """The entry ``checks`` of ``metrics.json``.

    Attributes
    ----------
    shortcuts : tuple of Shortcut
        The most telling first.
    n_shortcuts : int
        Training images that they were looked for on.
    first_layer : Interval
        Balanced accuracy of the first layer alone, on the same images.
    parts : tuple of Part
        Significantly worse ones first.
    n_parts : int
        Images that were divided: training ones, each judged by a classifier that had not seen it, and
        test ones.
    n_judged : int or None
        So many were judged; where there are more, `n_parts` were drawn from them at random, each class
        with its share. None of an older run.
    is_finetuned : bool
        Whether the classifier is the fine-tuned network that the run predicts with: then the training
        images are those that were held out from its training to compare it with the SVM.
    """

    shortcuts: tuple[Shortcut, ...]
    n_shortcuts: int
    first_layer: Interval
    parts: tuple[Part, ...]
    n_parts: int
    n_judged: int | None = None
    is_finetuned: bool = False


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A target accuracy, and what reaches it.

    Attributes
    ----------
    threshold : float
        Probability from which to answer; 0: always.
    coverage, accuracy : Interval
        Of the examples by which the threshold was chosen.
    test_coverage, test_accuracy : Interval or None
        Of the test examples; None where there are none, or none is answered.
    """

    target: float
    threshold: float
    coverage: Interval
    accuracy: Interval
    test_coverage: Interval | None = None
    test_accuracy: Interval | None = None


class LabelSets(msgspec.Struct, frozen=True, kw_only=True):
    """Label sets at one level.

    Attributes
    ----------
    level : float
        Share that is to hold the true class.
    threshold : float
        Probability from which a class belongs to the set.
    test_coverage : Interval or None
        Share of the test examples whose set holds the true class.
    mean_size, single : float or None
        Classes in a set on average, and share of sets of one class, of the test examples.
    """

    level: float
    threshold: float
    test_coverage: Interval | None = None
    mean_size: float | None = None
    single: float | None = None


class TrainingMap(msgspec.Struct, frozen=True, kw_only=True):
    """Training images at their two largest principal components.

    Attributes
    ----------
    n : int
        Training images; a random sample of them is shown.
    variance : float
        Share of the variance of the features that both hold.
    labels : tuple of int
        Position of each one's class among the run's classes.
    x, y : tuple of float in [0, 1]
        The same unit on both axes.
    is_wrong : tuple of bool
        Whether a classifier that had not seen it took it for another class.
    """

    n: int
    variance: float
    labels: tuple[int, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    is_wrong: tuple[bool, ...]


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """The entry ``reliability`` of ``metrics.json``.

    Attributes
    ----------
    n : int
        Examples that the model had not seen, other than test ones.
    coverage, accuracy : tuple of float
        The risk-coverage curve: shares answered, ascending, and the accuracy of these.
    refusals : tuple of Refusal
        Of the targets that can be reached.
    sets : tuple of LabelSets
        Of the levels for which there are enough examples.
    map : TrainingMap or None
        Of runs on images with a frozen network.
    """

    n: int
    coverage: tuple[float, ...]
    accuracy: tuple[float, ...]
    refusals: tuple[Refusal, ...]
    sets: tuple[LabelSets, ...]
    map: TrainingMap | None = None
