"""What a fit found, as types: ``metrics.json``, which every face and report reads by attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.data.summary import Count, DataSummary
from headstart.errors import RunError, one_line
from headstart.heads.accuracy import PairedDifference
from headstart.heads.classification import ClassificationMetrics
from headstart.heads.thresholds import Thresholds
from headstart.results import Difference, Estimate, Interval
from headstart.runs.folder import SCHEMA, damaged, read_json
from headstart.runs.reliance import Checks, Reliability
from headstart.training.history import Epoch

METRICS = "metrics.json"
_ENDS = {"value": math.nan, "low": -math.inf, "high": math.inf}
# Up to so many classes every count of a confusion matrix is written.
MOST_DENSE = 50


class CountedInterval(Interval, frozen=True, kw_only=True):
    """A share of `n` examples."""

    n: Count


class MemberResult(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate within a mean."""

    tap: str  # its layers, as named in tables
    resolution: str  # its resolutions, as named in tables
    weight: float  # its weight in the mean, as a share of 1

    def __str__(self) -> str:
        at = f" at {self.resolution} px" if self.resolution else ""
        return f"{100 * self.weight:.0f} % {self.tap}{at}"


class ChosenResult(msgspec.Struct, frozen=True, kw_only=True):
    """The candidate that was taken."""

    tap: str  # its layers, as named in tables
    resolution: str  # its resolutions, as named in tables; empty for a text candidate
    taps: tuple[str, ...] = ()  # layers whose features it joins
    resolutions_px: tuple[Count, ...] = ()  # resolutions whose features it joins, in pixels
    backbones: tuple[str, ...] = ()  # its backbones, where the run has several
    n_averaged: Count = 0  # number of candidates in the mean; 0: it is not a mean
    members: tuple[MemberResult, ...] = ()  # candidates in the mean, the largest weight first
    C: float | None = None  # regularisation of the SVM; None for a network
    n_features: Count = 0
    macs: Count | None = None


class CandidateResult(ChosenResult, frozen=True, kw_only=True):
    """One candidate as cross-validation found it."""

    cv: Interval
    cv_metric: Estimate | None = None  # the metric that was optimised, if it is not accuracy
    Cs: tuple[float, ...] = ()  # values of C that were tried
    cv_by_C: tuple[float, ...] = ()  # cross-validated accuracy with each of `Cs`
    difference: Difference | None = None  # to the most accurate candidate, paired
    tie: bool  # whether it ties with the best candidate
    screened: bool = False  # whether its accuracy is that of a ridge classifier
    chosen: bool  # whether it was chosen
    best: bool = False  # whether it is the best in cross-validation
    baseline: bool = False  # whether it is the usual candidate, which the answer is compared with
    cheap: bool = False  # whether it would be chosen for its cost, where a dearer one was chosen
    test: Interval | None = None  # of those that were refitted

    @property
    def cost(self) -> tuple[int, int]:
        """What the choice calls cheap: multiply-accumulates, then features."""
        return self.macs or 0, self.n_features

    @property
    def mark(self) -> str:
        """Its sign in figures: chosen, best, tie or none."""
        if self.chosen or self.best:
            return "chosen" if self.chosen else "best"
        return "tie" if self.tie else ""


class SelectionResult(msgspec.Struct, frozen=True, kw_only=True):
    """How the choice was made."""

    rule: str = ""
    metric: str = "accuracy"
    prefer: str = "cheap"
    n_folds: Count
    n_repeats: Count = 1
    n_train: Count
    # training examples that cross-validation could judge; None means all
    n_judged: Count | None = None
    # whether the usual candidate was taken, as cross-validation could not decide
    is_default: bool = False
    Cs: tuple[float, ...] = ()


class TestResult(msgspec.Struct, frozen=True, kw_only=True):
    """The model on the test examples."""

    __test__ = False  # not a test case

    n: Count
    accuracy: Interval
    balanced_accuracy: Interval
    log_loss: float | None = None
    top5: Interval | None = None
    accuracy_without_duplicates: CountedInterval | None = None


class ObjectiveResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a fit optimised."""

    metric: str  # the optimised metric, as the parameter `metric` takes it
    name: str  # the metric in words
    reason: str  # why it was optimised
    higher_is_better: bool  # whether higher values are better
    is_share: bool  # whether its values are shares of 1
    is_weighted: bool  # whether examples count by their weights
    # value for the run's model, on the examples that its accuracy is measured on
    value: Interval | None
    order: tuple[str, ...] | None
    class_weights: dict[str, float] | None
    # True classes by predicted ones, in the order of ``classes``
    costs: tuple[tuple[float, ...], ...] | None


class CrossValidatedResult(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen candidate on the training examples, each held out."""

    accuracy: Interval
    balanced_accuracy: Interval


class Confusion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A confusion matrix: all of it for few classes, else what is not zero."""

    split: str  # what it is of: ``test``, ``validation`` or ``cv``
    rows: tuple[tuple[Count, ...], ...] | None = None  # True classes by predicted classes
    # (int, int, int); row, column and count
    cells: tuple[tuple[Count, Count, Count], ...] | None = None

    @classmethod
    def of(cls, counts: NDArray[np.integer], split: str) -> Confusion:
        """Of counts (K, K)."""
        if len(counts) <= MOST_DENSE:
            return cls(split=split, rows=tuple(map(tuple, counts.tolist())))
        true, predicted = np.nonzero(counts)
        cells = np.stack([true, predicted, counts[true, predicted]], axis=1).tolist()
        return cls(split=split, cells=tuple(map(tuple, cells)))

    def counts(self, n: int) -> NDArray[np.int64]:
        """The counts (n, n) of n classes.

        Raises RunError where there are neither ``rows`` nor ``cells``, or they do not fit the
        classes.
        """
        found = np.zeros((n, n), dtype=np.int64)
        try:
            if self.rows is not None:
                found[:] = np.array(self.rows, dtype=np.int64).reshape(n, n)
            elif self.cells is not None:
                cells = np.array(self.cells, dtype=np.int64).reshape(-1, 3)
                found[cells[:, 0], cells[:, 1]] = cells[:, 2]
            else:
                raise ValueError("it has no counts")
        except (ValueError, IndexError, OverflowError) as error:
            raise RunError(
                f"metrics.json: the confusion matrix does not fit the {n} classes ({error}): fit again"
            ) from error
        return found


class ClassResult(msgspec.Struct, frozen=True, kw_only=True):
    """One class: its examples, and how they were classified; None where it was not tested."""

    name: str = msgspec.field(name="class")
    n_train: Count
    n_test: Count
    recall: Interval | None = None
    precision: float | None = None
    f1: float | None = None


class Shown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An example that the report shows; of a text, its beginning too."""

    name: str
    digest: str
    text: str = ""
    probability: float


class Mistake(Shown, frozen=True, kw_only=True):
    """A test example that was classified wrongly."""

    true: str
    predicted: str


class SuspiciousLabel(Shown, frozen=True, kw_only=True):
    """A training label that the out-of-fold probabilities contradict."""

    label: str
    suggested: str
    split: str = ""


class LogLossResult(msgspec.Struct, frozen=True, kw_only=True):
    """Log losses of a network and of the SVM, calibrated, on the same images."""

    finetuned: float
    svm: float
    gain: float
    standard_error: float


class ValidationResult(msgspec.Struct, frozen=True, kw_only=True):
    """A trained network beside the SVM on the same validation images."""

    n: Count
    finetuned: Interval
    balanced: Interval
    svm: Interval | None = None
    alone: Interval | None = None
    is_mean: bool = False
    difference: PairedDifference | None = None  # in accuracy
    # in the metric that was optimised, positive where the network is better; None of accuracy
    gain: PairedDifference | None = None
    log_loss: LogLossResult | None = None


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What learning curves show, and what to try."""

    code: str = ""
    sentence: str
    suggestion: str = ""


class FinetuningResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a fine-tuning: see :class:`headstart.runs.outcome.Finetuning`."""

    state: str = ""
    won: bool = False
    sentence: str
    reason: str = ""
    rule: str = ""
    what: str = ""
    name: str = ""
    n_train: Count = 0
    n_judged: Count = 1
    n_parts: Count = 1
    full_epochs: Count | None = None
    settings: dict[str, Any] | None = None
    n_trained_parameters: Count = 0
    refitted: bool = False
    predicts_at_px: Count | None = None
    validation: ValidationResult | None = None
    history: tuple[Epoch, ...] = ()
    diagnosis: tuple[Diagnosis, ...] = ()
    needs_s: float | None = None
    seconds: dict[str, float] = {}


class ExtractionResult(msgspec.Struct, frozen=True, kw_only=True):
    """What making the features took."""

    n_forward: Count = 0
    n_cached: Count = 0
    images_per_s: float | None = None
    seconds: float = 0.0
    engine: str | None = None
    precision: str = ""


class WordVectors(msgspec.Struct, frozen=True, kw_only=True):
    """The word vectors of a run on texts."""

    source: str
    n_words: Count
    n_features: Count
    coverage: float


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """A term that puts texts in a class, and how many of these contain it."""

    term: str
    score: float
    n_texts: Count


class ClassTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of one class."""

    name: str = msgspec.field(name="class")
    terms: tuple[Term, ...]


class LayerAccuracy(msgspec.Struct, frozen=True, kw_only=True):
    """A linear classifier on one layer of a TextCNN."""

    name: str
    accuracy: Interval


class LayersOfNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """The layers of a TextCNN, from input to output."""

    of: str
    rows: tuple[LayerAccuracy, ...]


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True):
    """Test accuracy with `n` texts per class, `mean_n` on average."""

    n: Count
    mean_n: float
    accuracy: Interval


class Law(msgspec.Struct, frozen=True, kw_only=True):
    """Error ``a + b n ** -c``; below `knot` the second term times ``exp(bend log(knot / n) ** 2)``."""

    a: float
    b: float
    c: float
    bend: float = 0.0
    knot: float = 1.0


class TextCurve(msgspec.Struct, frozen=True, kw_only=True):
    """Test accuracy against training texts; `twice` is the gain of twice as many."""

    name: str
    n_repeats: Count
    points: tuple[CurvePoint, ...]
    law: Law
    twice: tuple[float, float, float]


class TextResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run on texts shows besides the choice."""

    verdict: str
    word_vectors: WordVectors | None = None
    telling_terms: tuple[ClassTerms, ...] = ()
    telling_windows: tuple[ClassTerms, ...] | None = None
    layers: LayersOfNetwork | None = None
    curves: tuple[TextCurve, ...] = ()


class FitResult(msgspec.Struct, frozen=True, kw_only=True):
    """``metrics.json``: every figure of a run."""

    schema: int = SCHEMA
    sentence: str  # the answer, in at most 25 words
    detail: str | None = ""  # a paragraph below the answer
    # {"accuracy", "balanced_accuracy"}; the figure that the answer gives first
    leads: str | None = "accuracy"
    notes: tuple[str, ...] = ()  # what a person should know about the choice
    chosen: ChosenResult
    selection: SelectionResult
    test: TestResult | None = None  # None where there is no test split
    cv: CrossValidatedResult
    candidates: tuple[CandidateResult, ...]
    taps: tuple[str, ...]  # rows of the table of candidates
    resolutions: tuple[str, ...]  # columns of the table of candidates
    classes: tuple[str, ...]
    confusion: Confusion  # confusion matrix of the examples that the answer is measured on
    per_class: tuple[ClassResult, ...] = ()  # each class, on the examples of `confusion`
    metrics: ClassificationMetrics | None = None  # more metrics, on the examples of `confusion`
    thresholds: Thresholds | None = None  # at the precision or recall that was asked for
    objective: ObjectiveResult | None = None
    checks: Checks | None = None  # of images: shortcuts, and parts in which the run is worse
    reliability: Reliability | None = None  # when to answer and when to refuse
    finetuning: FinetuningResult | None = None
    mistakes: tuple[Mistake, ...] = ()  # misclassified test examples that the report shows
    # training labels that count as wrong, as far as the report shows them
    suspicious: tuple[SuspiciousLabel, ...] = ()
    # how many training labels count as wrong, by the rule of `clean` on the cross-validated
    # probabilities; None in older runs
    n_suspicious: Count | None = None
    data: DataSummary
    timings_s: dict[str, float] = {}
    extraction: ExtractionResult | None = None  # of images
    text: TextResult | None = None  # of texts

    @property
    def noun(self) -> str:
        """What an example is called: ``image``, or ``text``."""
        return self.data.noun

    @property
    def n_judged(self) -> int:
        """How many training examples cross-validation could judge."""
        n = self.selection.n_judged
        return self.selection.n_train if n is None else n

    @property
    def counts(self) -> NDArray[np.int64]:
        """The confusion matrix (K, K): true classes by predicted classes.

        Raises RunError where it does not fit the classes.
        """
        return self.confusion.counts(len(self.classes))


def read_metrics(folder: Path) -> FitResult:
    """Read ``metrics.json`` of a run folder.

    Raises RunError where the folder is not a run, the file is damaged, or it was written by a newer
    version; or the run is not one on classes.
    """
    found = read_json(folder, METRICS, dict[str, Any])
    if (target := found.get("target")) is not None:
        what = "several labels per image" if target == "labels" else "a number"
        raise RunError(
            f"{one_line(str(folder))} is a run on {what}; this needs a run with one class per image: fit one "
            "on a column of classes"
        )
    try:
        return metrics_from(found)
    except ValueError as error:
        raise damaged(folder / METRICS, str(error)) from error


def metrics_from(found: Mapping[str, Any]) -> FitResult:
    """The result in JSON values.

    Raises ValueError where a value is missing, of the wrong type, or not finite; the message names
    its place.
    """
    return msgspec.convert(open_ends(dict(found)), FitResult, str_keys=True)


def open_ends(value: Any) -> Any:
    """JSON with the missing ends of intervals, written as null, as infinities again."""
    if isinstance(value, list):
        return [open_ends(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is too large")
    if not isinstance(value, dict):
        return value
    if value.keys() >= _ENDS.keys() and value["value"] is not None:
        return value | {k: end for k, end in _ENDS.items() if value[k] is None}
    return {k: open_ends(v) for k, v in value.items()}
