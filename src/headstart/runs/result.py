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

METRICS = "metrics.json"
_ENDS = {"value": math.nan, "low": -math.inf, "high": math.inf}
# Up to so many classes every count of a confusion matrix is written.
MOST_DENSE = 50


class CountedInterval(Interval, frozen=True, kw_only=True):
    """A share of `n` examples."""

    n: Count


class ChosenResult(msgspec.Struct, frozen=True, kw_only=True):
    """The candidate that was taken.

    Attributes
    ----------
    tap, resolution : str
        As named in tables; a text candidate has no resolution.
    taps, resolutions_px
        What it joins.
    backbones : tuple of str
        Of which it is, where there are several.
    n_averaged : int
        How many candidates it is the mean of; 0: it is not a mean.
    C : float or None
        None of a network.
    """

    tap: str
    resolution: str
    taps: tuple[str, ...] = ()
    resolutions_px: tuple[Count, ...] = ()
    backbones: tuple[str, ...] = ()
    n_averaged: Count = 0
    C: float | None = None
    n_features: Count = 0
    macs: Count | None = None


class CandidateResult(ChosenResult, frozen=True, kw_only=True):
    """One candidate as cross-validation found it.

    Attributes
    ----------
    cv_metric : Estimate or None
        The metric that was optimised, if it is not accuracy.
    Cs, cv_by_C : tuple of float
        The values of C that were tried, and the accuracy of each.
    difference : Difference or None
        To the most accurate candidate, paired.
    tie, best, chosen, baseline, cheap : bool
        Its part in the choice.
    screened : bool
        Whether its accuracy is that of a ridge classifier.
    test : Interval or None
        Of those that were refitted.
    """

    cv: Interval
    cv_metric: Estimate | None = None
    Cs: tuple[float, ...] = ()
    cv_by_C: tuple[float, ...] = ()
    difference: Difference | None = None
    tie: bool
    screened: bool = False
    chosen: bool
    best: bool = False
    baseline: bool = False
    cheap: bool = False
    test: Interval | None = None

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
    """How the choice was made.

    Attributes
    ----------
    n_judged : int or None
        Training examples that cross-validation could judge; None means all.
    is_default : bool
        Whether the usual candidate was taken, as cross-validation could not decide.
    """

    rule: str = ""
    metric: str = "accuracy"
    prefer: str = "cheap"
    n_folds: Count
    n_repeats: Count = 1
    n_train: Count
    n_judged: Count | None = None
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
    """What a fit optimised.

    Attributes
    ----------
    metric, name, reason : str
        The metric in code and in words, and why it was optimised.
    higher_is_better, is_share, is_weighted : bool
        Whether its values are shares of 1; whether examples count by weights.
    value : Interval or None
        Of the run's model, on the examples that its accuracy is of.
    order : tuple of str or None
    class_weights : dict or None
    costs : tuple of tuple of float or None
        True classes by predicted ones, in the order of ``classes``.
    """

    metric: str
    name: str
    reason: str
    higher_is_better: bool
    is_share: bool
    is_weighted: bool
    value: Interval | None
    order: tuple[str, ...] | None
    class_weights: dict[str, float] | None
    costs: tuple[tuple[float, ...], ...] | None


class CrossValidatedResult(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen candidate on the training examples, each held out."""

    accuracy: Interval
    balanced_accuracy: Interval


class Confusion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A confusion matrix: all of it for few classes, else what is not zero.

    Attributes
    ----------
    split : str
        What it is of: ``test``, ``validation`` or ``cv``.
    rows : tuple of tuple of int, optional
        True classes by predicted classes.
    cells : tuple of (int, int, int), optional
        Row, column and count.
    """

    split: str
    rows: tuple[tuple[Count, ...], ...] | None = None
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
    """A trained network beside the SVM on the same validation images.

    Attributes
    ----------
    difference : PairedDifference or None
        In accuracy.
    gain : PairedDifference or None
        In the metric that was optimised, positive where the network is better; None of accuracy.
    """

    n: Count
    finetuned: Interval
    balanced: Interval
    svm: Interval | None = None
    alone: Interval | None = None
    is_mean: bool = False
    difference: PairedDifference | None = None
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
    history: tuple[dict[str, float | None], ...] = ()
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
    """``metrics.json``: every figure of a run.

    Attributes
    ----------
    sentence, detail : str
        The answer, and what stands below it.
    leads : {"accuracy", "balanced_accuracy"}
        Which of the two the answer gives first.
    notes : tuple of str
        What a person should know about the choice.
    test : TestResult or None
        None where there is no test split.
    taps, resolutions : tuple of str
        Rows and columns of the table of candidates.
    confusion, per_class, metrics
        Of the examples that the answer speaks of; their split is that of the confusion matrix.
    thresholds : Thresholds or None
        At the precision or recall that was asked for.
    objective : ObjectiveResult or None
    checks : Checks or None
        Of images: shortcuts, and parts in which the run is worse.
    reliability : Reliability or None
        When to answer.
    finetuning : FinetuningResult or None
    mistakes, suspicious
        Examples that the report shows.
    extraction : ExtractionResult or None
        Of images.
    text : TextResult or None
        Of texts.
    """

    schema: int = SCHEMA
    sentence: str
    detail: str | None = ""
    leads: str | None = "accuracy"
    notes: tuple[str, ...] = ()
    chosen: ChosenResult
    selection: SelectionResult
    test: TestResult | None = None
    cv: CrossValidatedResult
    candidates: tuple[CandidateResult, ...]
    taps: tuple[str, ...]
    resolutions: tuple[str, ...]
    classes: tuple[str, ...]
    confusion: Confusion
    per_class: tuple[ClassResult, ...] = ()
    metrics: ClassificationMetrics | None = None
    thresholds: Thresholds | None = None
    objective: ObjectiveResult | None = None
    checks: Checks | None = None
    reliability: Reliability | None = None
    finetuning: FinetuningResult | None = None
    mistakes: tuple[Mistake, ...] = ()
    suspicious: tuple[SuspiciousLabel, ...] = ()
    data: DataSummary
    timings_s: dict[str, float] = {}
    extraction: ExtractionResult | None = None
    text: TextResult | None = None

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

    @property
    def n_tested_classes(self) -> int:
        """How many classes the per-class figures are of."""
        return int((self.counts.sum(axis=1) > 0).sum())


def read_metrics(folder: Path) -> FitResult:
    """Read ``metrics.json`` of a run folder.

    Raises RunError where the folder is not a run, the file is damaged, or it was written by a newer
    version; or the run is not one on classes.
    """
    found = read_json(folder, METRICS)
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
