"""The figures of a run: what ``metrics.json`` holds and the report shows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.data.groups import groups_of, n_groups
from headstart.data.sources import counted, some
from headstart.errors import argument
from headstart.heads import (
    Interval,
    PairedDifference,
    accuracy_interval,
    balanced_recall,
    classification_metrics,
    paired_difference,
    paired_gain,
    paired_test,
    repeated_share,
    unseen_difference,
)
from headstart.heads.accuracy import FEW_GROUPS
from headstart.heads.classification import ClassificationMetrics
from headstart.heads.costs import COSTS
from headstart.results import Difference, Estimate
from headstart.runs.choose import (
    FEW,
    RULE,
    RULE_OF_ENCODER,
    RULE_OF_FEW,
    RULE_OF_MEAN,
    RULE_OF_SINGLE,
    has_few,
)
from headstart.runs.findings import mistakes, suspicious_labels
from headstart.runs.objective import Objective, figures, metric_name
from headstart.runs.outcome import Finetuning
from headstart.runs.report import words
from headstart.runs.result import (
    CandidateResult,
    ChosenResult,
    ClassResult,
    Confusion,
    CountedInterval,
    CrossValidatedResult,
    FitResult,
    MemberResult,
    ObjectiveResult,
    SelectionResult,
    TestResult,
)
from headstart.runs.sentence import detail, sentence
from headstart.runs.thresholds import threshold_notes, thresholds_of
from headstart.wording import points

if TYPE_CHECKING:
    from headstart.data.records import Example, Examples
    from headstart.heads import ClassificationMetrics
    from headstart.probe.judging import Scores
    from headstart.probe.rules import Choice
    from headstart.runs.choose import Candidate
    from headstart.runs.networks import Networks
    from headstart.runs.refit import Tested
    from headstart.runs.settings import Settings
    from headstart.runs.targets import TargetResults
    from headstart.sources import Source

# With fewer test examples of a class, the interval of its recall is wider than half the scale.
FEW_TESTED = 10
# An accuracy of which nothing is known.
UNKNOWN = Interval(0.0, 0.0, 1.0)
CROSS_VALIDATED = ", cross-validated"
# Smaller savings of the cheap choice are not told.
LEAST_SAVING = 1.1
UNDECIDED = ", as cross-validation cannot decide"


@dataclass(frozen=True, kw_only=True)
class Results:
    """All that a fit found out."""

    # settings, index: what was asked and what was there
    settings: Settings
    index: Examples[Any]
    source: Source
    train: tuple[Any, ...]
    test: tuple[Any, ...]
    n_folds: int
    # candidates, choice: what was measured and chosen
    candidates: Sequence[Candidate]
    choice: Choice
    baseline: int  # position of the usual choice among the candidates
    # candidate position to Tested; the choice, the best and the baseline
    tested: Mapping[int, Tested]
    networks: Networks  # what came of networks that were tried as candidates
    finetuning: Finetuning | None = None  # what came of it; None where it was not asked for
    untried: tuple[str, ...] = ()  # what Ctrl-C left untried
    # whether a candidate that is the most accurate as a rule was chosen unless beaten
    has_prior: bool = False
    objective: Objective = field(default_factory=Objective)  # what was optimised

    @cached_property
    def classification(self) -> ClassificationMetrics | None:
        """All metrics of the examples that the figures speak of; None where there are none."""
        return _classification(self)

    @property
    def is_weighted(self) -> bool:
        """Whether examples count by weights."""
        return self.objective.weights(self.train) is not None

    @property
    def noun(self) -> str:
        """What an example is called."""
        return self.source.noun

    @property
    def usual_name(self) -> str:
        """What the baseline is called where it is chosen; a fit that was stopped may lack the usual one."""
        is_usual = self.candidates[self.baseline].blocks == self.source.usual
        return self.source.usual_name if is_usual else "the first candidate tried"

    @property
    def compared(self) -> tuple[str, str]:
        """What the choice is compared with, in full, and where there is little room."""
        usual = self.candidates[self.baseline].blocks
        return self.source.compared(usual, self.chosen.blocks)

    @property
    def chosen(self) -> Candidate:
        """The candidate that was taken."""
        return self.candidates[self.choice.chosen]

    @property
    def svm(self) -> Tested:
        """The chosen candidate, refitted and scored."""
        return self.tested[self.choice.chosen]

    @property
    def final(self) -> Tested:
        """The run's model: the chosen candidate, or the fine-tuned network that beat it."""
        tuned = self.finetuning
        return tuned.tested if tuned is not None and tuned.tested is not None else self.svm

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Which training examples cross-validation could judge, (n_train,)."""
        return self.chosen.judged

    @property
    def has_few(self) -> bool:
        """Whether the classes have too few training examples for the usual rule."""
        return has_few([r.label for r in self.train])

    @property
    def rule(self) -> str:
        """How the choice was made, in words."""
        rule = RULE_OF_FEW if self.has_few else RULE
        if self.has_prior:
            rule = RULE_OF_ENCODER if self.noun == "text" else RULE_OF_SINGLE
        rule = RULE_OF_MEAN if any(c.members for c in self.candidates) else rule
        groups = _training_groups(self)
        test = paired_test(groups)
        if self.chosen.scores.optimised is not None and test == paired_test():
            test = "Student's test of the paired differences"
        name = metric_name(self.objective.metric, is_weighted=self.is_weighted)
        return rule.format(metric=name, test=test)

    @property
    def judged_on(self) -> str:
        """Which examples the figures speak of: ``test``, ``validation`` or ``cv``."""
        if self.test:
            return "test"
        return "cv" if self.final is self.svm else "validation"


def metrics(results: Results, timings_s: Mapping[str, float], **more: Any) -> FitResult:
    """``metrics.json``; `more` are fields that one kind of examples has."""
    chosen, classes = results.chosen, results.final.model.classes
    judged, found = results.judged, thresholds_of(results)
    suspects = [r for r, is_judged in zip(results.train, judged, strict=True) if is_judged]
    suspicious, n_suspicious = suspicious_labels(
        suspects, results.final.out_of_fold[judged], classes
    )
    truth, predicted = _judged(results)
    confusion = _confusion(classes, truth, predicted)
    return FitResult(
        sentence=answer(results),
        detail=answer_detail(results),
        leads=leading_metric(results),
        notes=(*notes(results), *threshold_notes(found, is_asked=_asks_thresholds(results))),
        chosen=ChosenResult(**described(chosen)),
        selection=SelectionResult(
            rule=results.rule,
            metric=results.objective.metric,
            prefer=getattr(results.settings, "prefer", "cheap") if results.has_prior else "cheap",
            n_folds=results.n_folds,
            n_repeats=results.settings.repeats,
            n_train=len(results.train),
            n_judged=int(results.judged.sum()),
            is_default=results.choice.is_default,
            Cs=tuple(sorted(results.settings.Cs)),
        ),
        test=_test(results) if results.test else None,
        cv=CrossValidatedResult(
            accuracy=_cross_validated(chosen, _training_groups(results)),
            balanced_accuracy=_cross_validated_recall(results) if judged.any() else UNKNOWN,
        ),
        candidates=tuple(_candidate(results, i) for i in range(len(results.candidates))),
        taps=tuple(dict.fromkeys(c.blocks.tap_label for c in results.candidates)),
        resolutions=tuple(dict.fromkeys(c.blocks.resolution_label for c in results.candidates)),
        classes=tuple(classes),
        confusion=Confusion.of(confusion, results.judged_on),
        per_class=tuple(_per_class(results, confusion)),
        metrics=_every_metric(results),
        thresholds=found,
        objective=objective_figures(results),
        finetuning=results.finetuning.result(classes) if results.finetuning else None,
        mistakes=tuple(
            mistakes(
                results.test,
                results.final.probabilities,
                classes,
                results.final.model.decide(results.final.probabilities) if results.test else None,
            )
        ),
        suspicious=tuple(suspicious),
        n_suspicious=n_suspicious,
        data=results.index.summary(),
        timings_s=dict(timings_s),
        **more,
    )


def answer(results: Results) -> str:
    """The sentence that matters."""
    here, _, where = _recognised(results)
    groups = groups_of(_judged_examples(results))
    accuracy, difference = accuracy_interval(here, groups=groups), _gain(results)
    if results.finetuning is not None and results.finetuning.won:
        n, tap = len(results.chosen.members), results.chosen.blocks.tap_label
        return sentence(
            chosen=results.finetuning.name,
            accuracy=accuracy,
            where=where,
            baseline=f"the mean of {n} SVMs" if n else f"the SVM on {tap}",
            short="the SVM",
            difference=difference,
            n=len(here),
            lead=_leading(results),
        )
    own = results.choice.chosen == results.baseline
    return sentence(
        chosen=str(results.chosen.blocks),
        accuracy=accuracy,
        where=where,
        baseline=None if own else results.compared[0],
        short=results.compared[1],
        usual=f"{results.usual_name}{UNDECIDED if results.choice.is_default else ''}",
        difference=None if own else difference,
        n=len(here),
        lead=_leading(results),
    )


def answer_detail(results: Results) -> str:
    """What stands below the sentence: the comparison with the baseline in full, if there is one."""
    of, (here, _, where) = "" if _leading(results) is None else " in accuracy", _recognised(results)
    n, examples = len(here), where.removesuffix(CROSS_VALIDATED)
    test = paired_test(groups_of(_judged_examples(results)))
    if results.finetuning is not None and results.finetuning.won:
        blocks = str(results.chosen.blocks)
        svm = f"{blocks[:1].lower()}{blocks[1:]}"
        svm = f"the {svm}" if results.chosen.members else f"the linear SVM on {svm}"
        return detail(svm, _gain(results), n, examples=examples, of=of, test=test)
    if results.choice.is_default:
        return (
            f"With so few training {results.noun}s cross-validation cannot tell the candidates apart, "
            "so the usual one is taken."
        )
    if results.choice.chosen == results.baseline:
        return ""
    said = detail(results.compared[0], _gain(results), n, examples=examples, of=of, test=test)
    return " ".join(filter(None, (said, _cheap_sentence(results))))


def _gain(results: Results) -> PairedDifference:
    """Accuracy of the answer less that of its baseline, of new groups where there are some."""
    here, there, _ = _recognised(results)
    return paired_gain(here, there, groups=groups_of(_judged_examples(results)))


def _cheap_sentence(results: Results) -> str:
    """What predicting costs, and what the cheap choice would save and lose."""
    i = results.choice.cheap
    if i is None:
        return ""
    cheap, chosen = results.candidates[i], results.chosen
    there, here = (results.tested[i], results.svm) if results.test else (cheap, chosen)
    lost = paired_difference(here.correct, there.correct)
    name = _inside(str(cheap.blocks))
    if (ratio := chosen.macs / max(cheap.macs, 1)) >= LEAST_SAVING:
        example = "an image" if results.noun == "image" else f"a {results.noun}"
        work = f"Predicting {example} takes {words.macs(chosen.macs)} multiply-accumulates; "
        saving = f"{_times(ratio)} fewer"
    else:
        ratio = chosen.scores.n_features / cheap.scores.n_features
        work, saving = "", f"{_times(ratio)} fewer features" * (ratio >= LEAST_SAVING)
    far = points(abs(lost.value), sign=False)
    side = "lower" if lost.value > 0 else "higher"
    between = "as accurate" if far == "0.0" else f"{far} points {side}"
    where = f"{'test' if results.test else 'training'} {results.noun}s"
    takes = f"{work}{'a' if work else 'A'} fit with {argument('prefer', 'cheap')} takes {name}"
    if unseen_difference(lost, len(here.correct)) is not None:
        saving = f": {saving}" * bool(saving)
        return f"{takes}{saving}. There are too few {where} to compare the accuracies."
    return f"{takes}: {saving and f'{saving}, '}{between} on the {where}."


def _inside(blocks: str) -> str:
    """The name of a candidate within a sentence: ``a linear SVM on encoder layer 6``."""
    if blocks.startswith("Linear SVM"):
        return f"a l{blocks[1:]}"
    return blocks if blocks.startswith("TextCNN") else f"{blocks[:1].lower()}{blocks[1:]}"


def _asks_thresholds(results: Results) -> bool:
    s = results.settings
    return s.at_precision is not None or s.at_recall is not None


def _times(ratio: float) -> str:
    """``2.4 times``, ``24 times`` or ``over 1,000 times``."""
    if ratio > 1000:
        return "over 1,000 times"
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"


def _recognised(results: Results) -> tuple[NDArray[np.bool_], NDArray[np.bool_], str]:
    """What the answer and its baseline recognise of the same examples, and which these are."""
    tuned = results.finetuning
    if tuned is not None and tuned.won:
        if results.test:
            return results.final.correct, results.svm.correct, _counted(results, "test")
        assert tuned.comparison is not None
        here, there = tuned.comparison.finetuned, tuned.comparison.svm
        return here, there, counted(len(here), "validation image")
    if results.test:
        here, there = results.final.correct, results.tested[results.baseline].correct
        return here, there, _counted(results, "test")
    chosen, base = results.chosen, results.candidates[results.baseline]
    where = f"{_counted(results, 'training')}{CROSS_VALIDATED}"
    return chosen.correct, base.correct, where


def _counted(results: Results, split: str) -> str:
    n = len(results.test) if split == "test" else len(results.chosen.correct)
    return counted(n, f"{split} {results.noun}")


def leading_metric(results: Results) -> str:
    """The metric that leads: the one optimised; by default balanced accuracy if classes are uneven."""
    objective = results.objective
    if objective.reason == "default" and results.index.is_uneven and not results.is_weighted:
        return "balanced_accuracy"
    return objective.metric


def _leading(results: Results) -> tuple[str, Interval] | None:
    """Name and value of what leads instead of accuracy."""
    found, metric = results.classification, leading_metric(results)
    is_weighted = results.is_weighted
    if found is None or (metric == "accuracy" and not is_weighted):
        return None
    value = getattr(found, metric)
    return None if value is None else (metric_name(metric, is_weighted=is_weighted), value)


def objective_figures(results: Results) -> ObjectiveResult:
    """What was optimised, and what the model reached in it."""
    return figures(results.objective, results.classification, is_weighted=results.is_weighted)


def notes(results: Results) -> list[str]:
    """What a person should know about the choice itself."""
    return [
        *too_few_notes(
            len(results.train), len(results.test), len(results.final.model.classes), results.noun
        ),
        *few_groups_notes(results.test),
        *_few_notes(results),
        *_few_test_notes(results),
        *_screening_notes(results),
        *cost_notes(results.settings.Cs, results.chosen.scores),
        *filter(None, [results.networks.note]),
        *_stopped_notes(results.untried),
    ]


def _stopped_notes(untried: Sequence[str]) -> list[str]:
    """What was still to be tried when Ctrl-C stopped the fit."""
    if not untried:
        return []
    names = some(list(untried), n=8)
    return [f"stopped early; not tried: {names}. The same with {argument('force', True)} goes on"]


def _screening_notes(results: Results) -> list[str]:
    """How many candidates were not judged by SVMs on all folds."""
    n = sum(c.scores.is_screened for c in results.candidates)
    if not n:
        return []
    n_raced = sum(not c.members for c in results.candidates)  # a mean is made of candidates
    said = (
        f"{n} of {n_raced} candidates were ruled out by ridge classifiers, or then by "
        "SVMs on one fold; accuracies in brackets are those of ridge classifiers"
    )
    return [f"{said}: {argument('exact', True)} judges all by SVMs"]


def _few_notes(results: Results) -> list[str]:
    """What cross-validation could not judge, and what was done about it."""
    noun, n, n_judged = results.noun, len(results.train), int(results.judged.sum())
    if not n_judged:
        said = f"cross-validation cannot judge: no class has two training {noun}s that can be separated"
        taken = str(results.chosen.blocks) if results.has_prior else "the usual candidate"
        taken = f"{taken[:1].lower()}{taken[1:]}"
        return [f"{said}; {taken} is taken, and its probabilities are not calibrated"]
    found = []
    if n_judged < n:
        lone = np.unique(
            [r.label for r, j in zip(results.train, results.judged, strict=True) if not j]
        )
        found.append(
            f"cross-validation judges {n_judged:,} of {n:,} training {noun}s: there is no second "
            f"one of {counted(len(lone), 'class')}: {some(list(lone), is_counted=True)}"
        )
    if results.choice.is_default:
        found.append(
            f"half of the classes or more have fewer than {FEW} training {noun}s, too few for "
            "cross-validation to decide: the usual candidate is taken, as none is significantly better"
        )
    return found


def too_few_notes(n_train: int, n_test: int, n_classes: int, noun: str) -> list[str]:
    """One loud line where the examples are so few that the figures mean nothing."""
    each = n_train / max(n_classes, 1)
    reasons = []
    if 0 < n_test < FEW_TESTED:
        reasons.append(f"{counted(n_test, f'test {noun}')} (at least {FEW_TESTED} are needed)")
    if each < FEW and (reasons or not n_test):
        kinds = counted(n_classes, "class")
        reasons.append(
            f"{counted(n_train, f'training {noun}')} of {kinds} (at least {FEW} of each are needed)"
        )
    if not reasons:
        return []
    return [f"too few {noun}s to say anything: {' and '.join(reasons)}"]


def few_groups_notes(test: Sequence[Example]) -> list[str]:
    """Test groups that are too few to say how much groups differ."""
    n = n_groups(test)
    if not 0 < n < FEW_GROUPS:
        return []
    said = f"{counted(n, 'group')} on the test side (at least {FEW_GROUPS} are needed)"
    return [f"{said}: intervals are those of independent examples, too narrow for unseen groups"]


def _few_test_notes(results: Results) -> list[str]:
    """Classes with so few test examples that their figures say little."""
    sizes = Counter(r.label for r in results.test)
    few = [name for name in results.final.model.classes if 0 < sizes[name] < FEW_TESTED]
    if not few:
        return []
    of = "every class" if len(few) == len(results.final.model.classes) else some(few)
    return [
        f"fewer than {FEW_TESTED} test {results.noun}s of {of}: figures per class are very uncertain"
    ]


def cost_notes(tried: Sequence[float], scores: Scores) -> list[str]:
    """Whether the chosen C lies at an end of those asked for, and accuracy still rises there.

    The default grid is extended where that pays, so of it there is nothing to say.
    """
    ordered, accuracy = sorted(tried), scores.accuracy_by_C
    if len(ordered) < 2 or len(accuracy) < 2 or tuple(ordered) == COSTS:
        return []
    side = {ordered[0]: "smallest", ordered[-1]: "largest"}.get(scores.C)
    if side is None or (side == "smallest" and accuracy[0] == accuracy[1]):
        return []
    return [
        f"the chosen C = {scores.C:g} is the {side} of those tried: widen them with {argument('Cs')}"
    ]


def _cross_validated(candidate: Candidate, groups: Sequence[str] | None) -> Interval:
    """Accuracy of the examples that could be judged; anything from 0 to 1 where none could."""
    if not candidate.judged.any():
        return UNKNOWN
    if candidate.scores.shares is not None:
        return repeated_share(candidate.shares, groups)
    return accuracy_interval(candidate.correct, groups=groups)


def _optimised(results: Results, candidate: Candidate) -> Estimate | None:
    """The cross-validated metric that was optimised, if it is not accuracy alone, with its interval."""
    is_plain = results.objective.goal(results.train).is_plain
    if is_plain or not candidate.judged.any():
        return None
    merits = candidate.merits
    sign = 1.0 if results.objective.higher_is_better else -1.0
    found = paired_gain(sign * merits, np.zeros(len(merits)), groups=_training_groups(results))
    return Estimate(found.value, found.low, found.high)


def _test(results: Results) -> TestResult:
    """The chosen model on the test images."""
    final, classes = results.final, results.final.model.classes
    y = np.array([r.label for r in results.test])
    truth = np.searchsorted(np.array(classes), y)
    P, groups = final.probabilities, groups_of(results.test)
    top5 = None
    if len(classes) > 10:
        among = (np.argsort(-P, axis=1)[:, :5] == truth[:, None]).any(axis=1)
        top5 = accuracy_interval(among, groups=groups)
    clean = _unduplicated(results)
    own = P[np.arange(len(y)), truth]
    without = None
    if not clean.all():
        within = None if groups is None else np.array(groups)[clean]
        share = accuracy_interval(final.correct[clean], groups=within)
        without = CountedInterval(*share, n=int(clean.sum()))
    return TestResult(
        n=len(y),
        accuracy=accuracy_interval(final.correct, groups=groups),
        balanced_accuracy=balanced_recall(y, final.correct, groups=groups),
        log_loss=float(-np.log(np.clip(own, 1e-12, 1)).mean()),
        top5=top5,
        accuracy_without_duplicates=without,
    )


def _unduplicated(results: Results) -> NDArray[np.bool_]:
    """Which test examples have no exact or near copy among the training ones."""
    leaked = {
        name
        for group in results.index.straddling
        for name, split in zip(group.names, group.splits, strict=True)
        if split == "test" and set(group.splits) - {"test"}
    }
    return np.array([r.name not in leaked for r in results.test], dtype=bool)


def _cost(candidate: Candidate) -> float | None:
    """The C of a head; a network has none."""
    return None if math.isnan(candidate.scores.C) else candidate.scores.C


def described(candidate: Candidate) -> dict[str, Any]:
    """The fields of :class:`ChosenResult`."""
    return {
        **candidate.blocks.described(),
        "C": _cost(candidate),
        "n_features": candidate.scores.n_features,
        "macs": candidate.macs,
        "members": _members(candidate),
    }


def _members(candidate: Candidate) -> tuple[MemberResult, ...]:
    """What a mean is of, what counts most first."""
    n_votes = sum(candidate.votes)
    found = [
        MemberResult(
            tap=c.blocks.tap_label, resolution=c.blocks.resolution_label, weight=votes / n_votes
        )
        for c, votes in zip(candidate.members, candidate.votes, strict=True)
    ]
    return tuple(sorted(found, key=lambda m: -m.weight))


def part_in_choice(results: Results | TargetResults, i: int) -> dict[str, Any]:
    """The fields of :class:`CandidateResult` that say what a candidate is, and why it was taken or not."""
    c, choice = results.candidates[i], results.choice
    return {
        **described(c),
        "Cs": tuple(c.scores.Cs),
        "cv_by_C": tuple(c.scores.accuracy_by_C),
        "difference": Difference.of(choice.differences[i]),
        "tie": choice.ties[i] and not c.scores.is_screened,
        "chosen": i == choice.chosen,
        "best": i == choice.best,
        "baseline": i == results.baseline,
    }


def _candidate(results: Results, i: int) -> CandidateResult:
    c = results.candidates[i]
    tested = results.tested.get(i)
    scored = tested is not None and len(results.test) > 0
    return CandidateResult(
        **part_in_choice(results, i),
        cv=_cross_validated(c, _training_groups(results)),
        cv_metric=_optimised(results, c),
        screened=c.scores.is_screened,
        cheap=i == results.choice.cheap,
        test=accuracy_interval(tested.correct, groups=groups_of(results.test))
        if tested and scored
        else None,
    )


def _cross_validated_classes(results: Results) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """True and predicted classes of the training examples that could be judged."""
    truth = np.array([r.label for r in results.train])
    predicted = np.array(results.final.model.classes)[
        results.final.model.decide(results.final.out_of_fold)
    ]
    return truth[results.judged], predicted[results.judged]


def _cross_validated_recall(results: Results) -> Interval:
    """Balanced accuracy of the training examples that could be judged."""
    truth, predicted = _cross_validated_classes(results)
    return balanced_recall(truth, truth == predicted, groups=_training_groups(results))


def _training_groups(results: Results) -> list[str] | None:
    """Of the training examples that cross-validation could judge."""
    judged = results.judged
    return groups_of([r for r, is_judged in zip(results.train, judged, strict=True) if is_judged])


def _judged_examples(results: Results) -> Sequence[Example]:
    """The examples that the figures speak of, in the order of their scores."""
    if results.judged_on == "test":
        return results.test
    if results.judged_on == "validation" and results.finetuning is not None:
        compared = results.finetuning.comparison
        return compared.records if compared is not None else ()
    return [r for r, is_judged in zip(results.train, results.judged, strict=True) if is_judged]


def _every_metric(results: Results) -> ClassificationMetrics | None:
    """What `headstart.heads.classification_metrics` says of the examples judged on, classes aside."""
    found = results.classification
    if found is None:
        return None
    return msgspec.structs.replace(found, classes=())


def _classification(results: Results) -> ClassificationMetrics | None:
    """All metrics of the examples judged on, by the weights and costs of the fit."""
    examples = _judged_examples(results)
    if not examples:
        return None
    if results.judged_on == "test":
        P = results.final.probabilities
    elif results.judged_on == "validation" and results.finetuning is not None:
        assert results.finetuning.comparison is not None
        P = results.finetuning.comparison.probabilities
    else:
        P = results.final.out_of_fold[results.judged]
    return classification_metrics(
        [r.label for r in examples],
        P,
        results.final.model.classes,
        order=results.objective.order,
        groups=groups_of(examples),
        sample_weight=results.objective.weights(examples),
        costs=results.objective.costs,
    )


def _judged(results: Results) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """True and predicted classes: of the test images, else of those that the model had not seen."""
    classes, tuned = np.array(results.final.model.classes), results.finetuning
    if results.judged_on == "test":
        truth = np.array([r.label for r in results.test])
        return truth, classes[results.final.model.decide(results.final.probabilities)]
    if results.judged_on == "validation" and tuned is not None and tuned.comparison is not None:
        truth = np.array([r.label for r in tuned.comparison.records])
        return truth, classes[results.final.model.decide(tuned.comparison.probabilities)]
    return _cross_validated_classes(results)


def _confusion(
    classes: Sequence[str], truth: NDArray[np.str_], predicted: NDArray[np.str_]
) -> NDArray[np.int64]:
    """Counts (K, K): true classes by predicted classes."""
    names = np.array(classes)
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (np.searchsorted(names, truth), np.searchsorted(names, predicted)), 1)
    return counts


def _per_class(results: Results, confusion: NDArray[np.int64]) -> Iterator[ClassResult]:
    counts = results.index.counts()
    n_predicted = confusion.sum(axis=0)
    for k, name in enumerate(results.final.model.classes):
        right, n_true, n_said = confusion[k, k], confusion[k].sum(), n_predicted[k]
        hits = np.arange(n_true) < right
        yield ClassResult(
            name=name,
            n_train=counts[name]["train"] + counts[name]["val"],
            n_test=counts[name]["test"],
            recall=accuracy_interval(hits) if n_true else None,
            # Of a class that was not tested, what others were taken for it says nothing.
            precision=float(right / n_said) if n_said and n_true else None,
            f1=float(2 * right / (n_true + n_said)) if n_true else None,
        )
