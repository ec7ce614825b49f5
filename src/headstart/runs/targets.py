"""The stages of a fit whose targets are several labels per image, or a number.

They take the place of those of :mod:`headstart.runs.job` after the features: every candidate is judged
by a ridge regression with exact held-out predictions, and the head is one linear layer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.groups import groups_of
from headstart.data.sources import counted, some
from headstart.data.targets import shown_labels
from headstart.heads import paired_gain
from headstart.heads.calibration import Temperature
from headstart.heads.multilabel import (
    LabelsFigures,
    best_thresholds,
    fit_sigmoids,
    given_per_fold,
    labels_figures,
    sigmoid,
)
from headstart.heads.regression import NumberFigures, conformal_half_width, number_figures
from headstart.heads.ridge_targets import FIRST_RIDGE, fit_targets
from headstart.probe.memo import digest_of
from headstart.probe.targets import Truth, judge_targets
from headstart.results import Difference, Estimate, Interval, write
from headstart.runs.averaging import Head, summed_heads
from headstart.runs.choose import Candidate, choose
from headstart.runs.findings import numbered_sheet
from headstart.runs.metrics import described, few_groups_notes, part_in_choice, too_few_notes
from headstart.runs.model import Model
from headstart.runs.predictions import rounded, write_target_predictions, written_number
from headstart.runs.report.target import write_target_report
from headstart.runs.result import METRICS, CandidateResult, ChosenResult, SelectionResult
from headstart.runs.run_file import RUN_FILE
from headstart.runs.target_mean import average_targets
from headstart.runs.target_result import METRIC_NAMES, PER_FOLD, TargetResult, WorstPrediction
from headstart.sources.image import ImageSource
from headstart.sources.several import SeveralSource
from headstart.wording import amounts, headline

if TYPE_CHECKING:
    from headstart.data.records import Examples
    from headstart.probe.rules import Choice
    from headstart.runs.images import Images
    from headstart.runs.measure import Task
    from headstart.runs.settings import Settings
    from headstart.runs.texts import Texts

logger = logging.getLogger(__name__)

N_WORST, N_PICTURED = 24, 12
# Labels of fewer images are noted.
FEW_IMAGES = 10
NO_FINETUNING = "fine-tuning is not tried: it trains networks for one class per image only"
RULE = (
    "What several candidates predict is averaged. The last layers joined at the two largest resolutions start with "
    "a third of the weight. The rest is given out in 16 equal steps, each to the candidate with which the mean has "
    "the smallest squared error in cross-validation. Where the candidate with the highest cross-validated {metric} "
    "is significantly better than this mean (Student's test of the paired differences at the 5 % level), that one "
    "is chosen instead."
)
RULE_OF_SINGLE = (
    "The last layers joined at the two largest resolutions are chosen; where the candidate with the "
    "highest cross-validated {metric} is significantly better (Student's test of the paired differences "
    "at the 5 % level), that one is chosen instead."
)
RULE_OF_CHEAP = (
    "Of the candidates within one standard error of the highest cross-validated {metric} (on paired "
    "differences) and at most one point lower, the cheapest is chosen (multiply-accumulates, then number "
    "of features)."
)


@dataclass(frozen=True, kw_only=True)
class TargetResults:
    """All that a fit found out; names as of :class:`headstart.runs.metrics.Results`."""

    settings: Settings
    index: Examples[Any]
    train: tuple[Any, ...]
    test: tuple[Any, ...]
    names: tuple[str, ...]  # length K; the labels, or the name of the number
    candidates: Sequence[Candidate]
    choice: Choice
    baseline: int
    has_prior: bool
    n_folds: int
    model: Model
    # out_of_fold, predictions: (n_train, K) and (n_test, K); probabilities or numbers, of models
    # that did not see the image
    out_of_fold: NDArray[np.float64]
    predictions: NDArray[np.float64]
    # (n_train, K), of labels: those that each training image is given by thresholds of other folds
    given: NDArray[np.bool_] | None = None
    untried: tuple[str, ...] = ()
    finetuning: None = None

    @property
    def chosen(self) -> Candidate:
        """The candidate that was taken."""
        return self.candidates[self.choice.chosen]

    @property
    def is_number(self) -> bool:
        """Whether a number is predicted, and not labels."""
        return self.model.target == "numbers"

    @cached_property
    def truth(self) -> Truth:
        """Of the training images."""
        return Truth.of(self.train, self.names)

    @cached_property
    def test_truth(self) -> Truth:
        """Of the test images."""
        return Truth.of(self.test, self.names)


def fit_on_targets(
    kind: Images | Texts, task: Task, index: Examples[Any], scratch: Path, run_name: str
) -> TargetResults:
    """Judge, choose, refit, test and write a run; `task` has the features and the folds."""
    settings: Any = kind.settings
    names = index.classes or (settings.target_column.strip(),)
    truth = Truth.of(task.records, names)
    with kind.clock.timed("cross_validation"):
        candidates, untried = _measure(kind, task, truth)
    with kind.clock.timed("refit"):
        results = _refit(kind, task, index, truth, candidates)
        results = dataclasses.replace(results, untried=untried)
    shown: Any = results  # in the place of `Results`, of which a kind needs no more
    kind.progress("report", 0, 1)
    kind.clock.timings_s["total"] = kind.clock.spent_s
    figures = target_metrics(results, kind.clock.timings_s, **kind.figures(shown, task))
    write(scratch / RUN_FILE, kind.provenance(shown))
    write(scratch / METRICS, figures)
    results.model.save(scratch / "model")
    write_target_predictions(scratch / "predictions.csv", results)
    of_name = {r.name: r for r in results.test}
    shown_worst = [of_name[w.name] for w in figures.worst[:N_PICTURED]]
    sheet = numbered_sheet(shown_worst) if shown_worst else b""
    write_target_report(scratch, figures, sheet, run_name=run_name)
    kind.progress("report", 1, 1)
    return results


def _measure(
    kind: Images | Texts, task: Task, truth: Truth
) -> tuple[list[Candidate], tuple[str, ...]]:
    """Every candidate, the usual one first; Ctrl-C from then on keeps what is known."""
    planned, first = task.source.candidates(), task.source.first
    order = sorted(range(len(planned)), key=lambda i: planned[i] != first)
    found: dict[int, Candidate] = {}
    digest = hashlib.sha256(np.ascontiguousarray(truth.Y).tobytes()).hexdigest()
    facts = digest_of([list(truth.names), truth.is_number, digest])
    every, ridge = np.ones(len(task.records), dtype=bool), FIRST_RIDGE
    try:
        for n_done, i in enumerate(order):
            kind.progress("cross-validate", n_done, len(order))
            blocks = planned[i]
            scores = judge_targets(
                task.source.rows(blocks, task.records),
                truth,
                task.folds,
                first=ridge,
                kept_at=task.kept_at(blocks, "targets", facts, ridge),
            )
            ridge = scores.C
            found[i] = Candidate(
                blocks=blocks,
                macs=task.source.macs(blocks, len(truth.names)),
                scores=scores,
                judged=every,
            )
    except KeyboardInterrupt:
        if not found:
            raise
        logger.warning("stopped: what is known so far is kept")
    kind.progress("cross-validate", len(order), len(order))
    left = tuple(str(blocks) for i, blocks in enumerate(planned) if i not in found)
    return [found[i] for i in sorted(found)], left


def _refit(
    kind: Images | Texts,
    task: Task,
    index: Examples[Any],
    truth: Truth,
    candidates: list[Candidate],
) -> TargetResults:
    blocks = [c.blocks for c in candidates]
    usual = task.source.usual if task.source.usual in blocks else task.source.first
    baseline = blocks.index(usual)
    prior = None
    if kind.settings.prefer != "cheap" and task.source.prior in blocks:
        prior = blocks.index(task.source.prior)
    if (
        prior is not None
        and kind.settings.prefer == "accurate"
        and isinstance(task.source, ImageSource | SeveralSource)
    ):
        mean = average_targets(candidates, prior, truth, task.folds, task.source.average)
        if mean is not None:
            macs = task.source.macs(mean.blocks, len(truth.names))
            candidates, prior = [*candidates, dataclasses.replace(mean, macs=macs)], len(candidates)
    same = ["all"] * len(task.records)  # there are no classes of few examples
    choice = choose(candidates, same, baseline, prior, groups_of(task.records))
    chosen = candidates[choice.chosen]
    kind.progress("refit", 0, 1)

    def head(c: Candidate) -> Head:
        return fit_targets(task.source.rows(c.blocks, task.records), truth.targets, c.scores.C)

    if chosen.members:
        shares = [n / sum(chosen.votes) for n in chosen.votes]
        coef, intercept = summed_heads(chosen, shares, map(head, chosen.members))
    else:
        coef, intercept = head(chosen)
    held_out = np.asarray(chosen.scores.decisions, dtype=np.float64)
    thresholds: tuple[float, ...] = ()
    half_width = given = None
    if truth.is_number:
        slope, offset = np.array([truth.scale]), np.array([truth.center])
        out_of_fold = held_out * slope + offset
        groups = groups_of(task.records)
        width = conformal_half_width((truth.Y - out_of_fold)[:, 0], groups=groups)
        half_width = width if math.isfinite(width) else None
    else:
        slope, offset = fit_sigmoids(held_out, truth.has)
        out_of_fold = sigmoid(held_out * slope + offset)
        thresholds = tuple(best_thresholds(truth.has, out_of_fold).tolist())
        given = given_per_fold(truth.has, out_of_fold, task.folds)
    model = Model(
        classes=truth.names,
        blocks=chosen.blocks,
        coef=coef * slope[:, None],
        intercept=intercept * slope + offset,
        temperature=Temperature(1.0),
        target=index.kind,
        thresholds=thresholds,
        half_width=half_width,
        **task.source.encoding(chosen.blocks),
    )
    test = index.test
    found = np.empty((0, len(truth.names)))
    if test:
        found = model.probabilities(task.source.rows(chosen.blocks, test))
    kind.progress("refit", 1, 1)
    return TargetResults(
        settings=kind.settings,
        index=index,
        train=tuple(task.records),
        test=test,
        names=truth.names,
        candidates=candidates,
        choice=choice,
        baseline=baseline,
        has_prior=prior is not None,
        n_folds=len(np.unique(task.folds)),
        model=model,
        out_of_fold=out_of_fold,
        predictions=found,
        given=given,
    )


def target_metrics(
    results: TargetResults, timings_s: dict[str, float], **more: Any
) -> TargetResult:
    """``metrics.json``; `more` are fields that one kind of examples has."""
    metric = "r2" if results.is_number else "mean_average_precision"
    rule = RULE_OF_CHEAP
    if results.has_prior:
        rule = RULE if any(c.members for c in results.candidates) else RULE_OF_SINGLE
    s, n_train = results.settings, len(results.train)
    figures: dict[str, Any] = {}
    notes = _notes(results)
    if results.is_number:
        tested = _number_figures(results, is_test=True) if results.test else None
        held_out = _number_figures(results, is_test=False)
        figures = {"number": tested, "cv_number": held_out}
        said = _number_sentence(results, tested or held_out)
    else:
        of_test = _labels_figures(results, is_test=True) if results.test else None
        of_cv = None if of_test else _labels_figures(results, is_test=False)
        figures = {"labels": of_test, "cv_labels": of_cv}
        found = of_test or of_cv
        assert found is not None
        said = _labels_sentence(results, found)
        notes += _notes_on_labels(results, found)
    return TargetResult(
        target="numbers" if results.is_number else "labels",
        sentence=said[0],
        detail=" ".join(filter(None, (said[1], _compared(results, metric)))),
        notes=tuple(notes),
        names=results.names,
        chosen=ChosenResult(**described(results.chosen)),
        selection=SelectionResult(
            rule=rule.format(metric=METRIC_NAMES[metric]),
            metric=metric,
            prefer=s.prefer if results.has_prior else "cheap",
            n_folds=results.n_folds,
            n_train=n_train,
        ),
        candidates=tuple(_candidate(results, i) for i in range(len(results.candidates))),
        taps=tuple(dict.fromkeys(c.blocks.tap_label for c in results.candidates)),
        resolutions=tuple(dict.fromkeys(c.blocks.resolution_label for c in results.candidates)),
        worst=tuple(_worst(results)),
        data=results.index.summary(),
        timings_s=dict(timings_s),
        **figures,
        **more,
    )


def _labels_figures(results: TargetResults, *, is_test: bool) -> LabelsFigures:
    truth = results.test_truth if is_test else results.truth
    return labels_figures(
        truth.has,
        results.predictions if is_test else results.out_of_fold,
        results.names,
        np.array(results.model.thresholds),
        groups_of(results.test if is_test else results.train),
        given=None if is_test else results.given,
    )


def _number_figures(results: TargetResults, *, is_test: bool) -> NumberFigures:
    truth = results.test_truth if is_test else results.truth
    return number_figures(
        truth.Y[:, 0],
        (results.predictions if is_test else results.out_of_fold)[:, 0],
        mean=results.truth.center,
        half_width=results.model.half_width,
        groups=groups_of(results.test if is_test else results.train),
    )


def _where(results: TargetResults, n: int) -> str:
    """What the answer is of."""
    if results.test:
        return counted(n, "test image")
    return f"{counted(n, 'training image')}, cross-validated"


def _labels_sentence(results: TargetResults, found: LabelsFigures) -> tuple[str, str]:
    where, n_labels = _where(results, found.n), counted(len(results.names), "label")
    if found.mean_average_precision is None:
        undefined = f"mean average precision is not defined, as none of {where} has a label."
        return (
            headline(f"{results.chosen.blocks}: {undefined}", f"M{undefined[1:]}"),
            f"For {found.exact} of the images no label is predicted, correctly.",
        )
    said = headline(
        f"{results.chosen.blocks}: mean average precision {found.mean_average_precision} of "
        f"{n_labels} on {where}.",
        f"Mean average precision {found.mean_average_precision} of {n_labels} on {where}.",
    )
    detail = (
        f"With one threshold per label, micro-F1 is {found.micro_f1} and macro-F1 {found.macro_f1}; all "
        f"labels are right in {found.exact} of the images. A random order of the images would have a mean "
        f"average precision of {100 * (found.trivial_map or 0):.1f} % over all labels, and every label for every "
        f"image a micro-F1 of {100 * (found.trivial_micro_f1 or 0):.1f} %."
    )
    return said, detail if results.test else f"{detail} {PER_FOLD}"


def _number_sentence(results: TargetResults, found: NumberFigures) -> tuple[str, str]:
    where = _where(results, found.n)
    *mae, trivial_mae = amounts(found.mae, found.trivial_mae)
    rmse, _, _, trivial_rmse = amounts(found.rmse, found.trivial_rmse)
    error = "mean absolute error {} [{}, {}]".format(*mae)
    r2 = "" if found.r2 is None else f"R² {found.r2}, "
    said = headline(
        f"{results.chosen.blocks}: {r2}{error} on {where}.",
        f"{r2 or 'M'}{error if r2 else error[1:]} on {where}.",
    )
    width = results.model.half_width
    kind = "training images" if groups_of(results.train) is None else "groups of training images"
    interval = (
        f"An interval of ±{width:.4g} is meant to hold {100 * found.level:.0f} % of new numbers; it "
        f"held {found.coverage} of these."
        if width is not None
        else f"There are too few {kind} for intervals of predictions."
    )
    undefined = "" if found.r2 else " R² is not defined, as these numbers are all the same."
    if found.r2 and found.r2.low <= 0 <= found.r2.high:
        undefined = (
            " R² may be zero: its interval contains zero, so the model need not beat that mean."
        )
    return said, (
        f"Predicting the mean of the training images for every image has a mean absolute error of "
        f"{trivial_mae}. Root mean squared error: {rmse}; of that mean, "
        f"{trivial_rmse}.{undefined} {interval}"
    )


def _compared(results: TargetResults, metric: str) -> str:
    """The choice beside the usual layer, in cross-validation."""
    if results.choice.chosen == results.baseline:
        return ""
    usual = results.candidates[results.baseline]
    gain = paired_gain(results.chosen.merits, usual.merits, groups=groups_of(results.train))
    layer = f"the usual layer, {usual.blocks.tap_label} at {usual.blocks.resolution_label} px,"
    name = METRIC_NAMES[metric]
    if abs(gain.value) < (0.0005 if metric == "r2" else 0.00005):
        return f"In cross-validation {layer} has the same {name}."
    value = str(Estimate(*gain)) if metric == "r2" else f"{Difference(*gain)} points"
    return f"In cross-validation the {name} of the choice less that of {layer} is {value}."


def _notes(results: TargetResults) -> list[str]:
    """What a person should know about the figures."""
    found = too_few_notes(len(results.train), len(results.test), len(results.names), "image")
    found += few_groups_notes(results.test)
    if results.settings.budget_s is not None and results.settings.finetune:
        found.append(NO_FINETUNING)
    if results.untried:
        found.append(f"stopped before {counted(len(results.untried), 'candidate')} was tried")
    return found


def _notes_on_labels(results: TargetResults, figures: LabelsFigures) -> list[str]:
    """Labels that have too few images for their figures, or that the features say nothing of."""
    found, kind = [], "test" if results.test else "training"
    if lacking := [f.name for f in figures.labels if not f.n]:
        found.append(
            f"no {kind} images of {counted(len(lacking), 'label')}: {some(lacking, is_counted=True)}; the means leave "
            f"{'it' if len(lacking) == 1 else 'them'} out"
        )
    if few := [f for f in figures.labels if 0 < f.n < FEW_IMAGES]:
        noun = "a label" if len(few) == 1 else "labels"
        found.append(
            f"{noun} with fewer than {FEW_IMAGES} {kind} images ({some([f.name for f in few])}): average "
            "precision of so few is uncertain and rather too high"
        )
    is_blind = [not row.any() for row in results.model.coef]
    for threshold, given in ((1.0, "no image is"), (0.0, "every image is")):
        blind = [
            name
            for name, t, flat in zip(results.names, results.model.thresholds, is_blind, strict=True)
            if flat and t == threshold
        ]
        if blind:
            found.append(
                f"the features say nothing of {counted(len(blind), 'label')} in cross-validation: "
                f"{some(blind, is_counted=True)}; {given} given {'it' if len(blind) == 1 else 'them'}"
            )
    return found


def _candidate(results: TargetResults, i: int) -> CandidateResult:
    merits = results.candidates[i].merits
    groups = groups_of(results.train)
    value, low, high = paired_gain(merits, np.zeros(len(merits)), groups=groups)
    found = (value, low if results.is_number else max(low, 0.0), min(high, 1.0))
    return CandidateResult(
        **part_in_choice(results, i),
        cv=Interval(*found),
        cv_metric=Estimate(*found) if results.is_number else None,
    )


def _worst(results: TargetResults) -> list[WorstPrediction]:
    """Test images with the largest error of the number, or with the most wrong labels."""
    if not results.test:
        return []
    truth, found = results.test_truth, results.predictions
    if results.is_number:
        error = np.abs(truth.Y - found)[:, 0]
        width = results.model.half_width
        said = [
            (written_number(y), written_number(rounded(v, width)))
            for y, v in zip(truth.Y[:, 0].tolist(), found[:, 0].tolist(), strict=True)
        ]
    else:
        given = found >= np.array(results.model.thresholds)
        # Of as many wrong labels, those that the probabilities contradict most.
        error = (given != truth.has).sum(axis=1) + np.abs(truth.has - found).mean(axis=1) / 2
        said = [
            (shown_labels(_named(results, own)), shown_labels(_named(results, row)))
            for own, row in zip(truth.has, given, strict=True)
        ]
    order = [i for i in np.argsort(-error, kind="stable") if said[i][0] != said[i][1]]
    return [
        WorstPrediction(name=results.test[i].name, truth=said[i][0], predicted=said[i][1])
        for i in order[:N_WORST]
    ]


def _named(results: TargetResults, has: NDArray[np.bool_]) -> list[str]:
    return [name for name, is_there in zip(results.names, has, strict=True) if is_there]
