"""What the page says about the numbers: warnings, rankings and sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.data.records import UNEVEN
from headstart.data.sources import some
from headstart.data.summary import DataSummary, Duplicates
from headstart.heads.accuracy import MOST_BEHIND
from headstart.results import Interval
from headstart.runs.report import words
from headstart.runs.report.objective import is_other, merit, objective_name, value_of
from headstart.runs.result import CandidateResult, ChosenResult, FitResult
from headstart.runs.target_result import TargetResult

# Half width of the test interval, as a share, above which the test set is called small.
_WIDE = 0.04
_FEW_TRAINING_IMAGES = 10
# Candidates of a mean that are named.
N_MEMBERS = 5
JOINED = "Backbones side by side"
MEAN = "Mean of several"


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """A short remark on the first screen; ``section`` is the id of the place that explains it."""

    text: str
    section: str
    is_warning: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """``n`` of ``total`` images of class ``true`` were given to class ``predicted``."""

    true: str
    predicted: str
    n: int
    total: int


def notices(metrics: FitResult) -> list[Notice]:
    """What a reader must know before trusting the number, gravest first."""
    found = [
        *_duplicate_notices(metrics.data, metrics.noun),
        *_test_notices(metrics),
        *_size_notices(metrics),
    ]
    n_suspicious = metrics.n_suspicious
    if n_suspicious is None:  # of an older run
        n_suspicious = len(metrics.suspicious)
    if n_suspicious:
        text = f"{words.plural(n_suspicious, 'label')} worth a second look"
        found.append(Notice(text=text, section="labels", is_warning=False))
    return found


def suspected(metrics: FitResult) -> list[str]:
    """How many training labels count as wrong, by what rule, and how else they are counted."""
    n, shown, noun = metrics.n_suspicious, len(metrics.suspicious), metrics.noun
    hard = "Some are wrong labels, some are merely hard; only you can tell."
    if not metrics.n_judged:
        return ["No label can be judged."]
    if n is None:  # of an older run
        return [
            f"Labels that a classifier that had not seen the {noun}s contradicts most strongly. {hard}"
            if shown
            else "No label stands out as contradicted."
        ]
    judged = "that cross-validation could judge"
    of = f"{words.plural(metrics.n_judged, 'training label')} {judged}"
    said = f"None of {of} counts as wrong."
    if metrics.n_judged == 1:
        verb = "counts" if n else "does not count"
        said = f"The one training label {judged} {verb} as wrong."
    elif n:
        verb = "counts" if n == 1 else "count"
        first = (
            f" The {words.count(shown)} that are contradicted most are shown." if shown < n else ""
        )
        said = f"{words.count(n)} of {of} {verb} as wrong.{first} {hard}"
    one = f"{'an' if noun == 'image' else 'a'} {noun}"
    rule = (
        f"A class is plausible for {one} where its probability, by a classifier that had not seen the {noun}, "
        f"is at least its mean over the {noun}s with that label. A label counts as wrong where the most "
        "probable plausible class is another one (confident learning)."
    )
    if noun == "image":
        rule += (
            " `headstart clean` counts by the same rule, but among training and test images and by a ridge "
            "classifier on the same features, each image judged by all others: its number may differ."
        )
    return [said, rule]


def untested(metrics: FitResult) -> list[str]:
    """Classes without an image or text among those that the per-class figures are of."""
    is_tested = metrics.counts.sum(axis=1) > 0
    return [name for name, tested in zip(metrics.classes, is_tested, strict=True) if not tested]


def balanced_over(metrics: FitResult) -> str:
    """Which classes the balanced accuracy is over: ``2 of 3 classes``; empty where over all."""
    n, n_untested = len(metrics.classes), len(untested(metrics))
    return f"{words.count(n - n_untested)} of {words.count(n)} classes" if n_untested else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """The big number of a page."""

    # name, other_name: accuracy and balanced accuracy; what leads comes first
    name: str
    interval: Interval
    other_name: str
    other: Interval
    where: str  # what they are of
    is_test: bool


def headline(metrics: FitResult) -> Headline:
    """The big number: test accuracy, or cross-validated where no test split was kept.

    Where the classes are uneven, balanced accuracy leads, and accuracy stands beside it.
    """
    test, tuned, n = metrics.test, metrics.finetuning, metrics.selection.n_train
    if test is not None:
        accuracy, balanced = test.accuracy, test.balanced_accuracy
        where = f"of {words.count(test.n)} test {metrics.noun}s put in the right class"
    elif tuned is not None and tuned.won and tuned.validation is not None:
        accuracy, balanced = tuned.validation.finetuned, tuned.validation.balanced
        n = tuned.validation.n
        where = f"of {words.count(n)} validation images, which the network had not seen"
    else:
        accuracy, balanced = metrics.cv.accuracy, metrics.cv.balanced_accuracy
        where = (
            f"of {words.count(n)} training {metrics.noun}s, each judged by a classifier that had not"
            " seen it (cross-validation)"
        )
    shares = [("Accuracy", accuracy), ("Balanced accuracy", balanced)]
    if metrics.leads == "balanced_accuracy":
        shares.reverse()
    (name, interval), (other_name, other) = shares
    return Headline(
        name=name,
        interval=interval,
        other_name=other_name,
        other=other,
        where=where,
        is_test=test is not None,
    )


def is_judged(metrics: FitResult) -> bool:
    """Whether cross-validation could judge any training example."""
    return metrics.n_judged > 0


def ranked(candidates: Sequence[CandidateResult]) -> list[CandidateResult]:
    """Candidates by what was optimised, the best first; the cheaper first among equals."""
    return sorted(candidates, key=lambda c: (-merit(c), c.macs or 0))


def contenders(
    candidates: Sequence[CandidateResult], last_tap: str, limit: int
) -> list[CandidateResult]:
    """The `limit` highest, with the chosen one and the best of the last tap always among them."""
    order = ranked(candidates)
    wanted = [c for c in order if c.chosen or c.best]
    wanted += [c for c in order if c.tap == last_tap][:1]
    wanted += order
    kept: list[CandidateResult] = []
    for candidate in wanted:
        if candidate not in kept and len(kept) < limit:
            kept.append(candidate)
    return ranked(kept)


def by_backbone(candidates: Sequence[CandidateResult]) -> dict[str, list[CandidateResult]]:
    """The candidates of each backbone by its name, then joins of several; all by "" where there is one."""
    groups: dict[str, list[CandidateResult]] = {}
    for candidate in candidates:
        names = candidate.backbones or ("",)
        name = names[0] if len(names) == 1 else JOINED
        groups.setdefault(MEAN if candidate.n_averaged else name, []).append(candidate)
    return groups


def row_name(candidate: CandidateResult) -> str:
    """The tap of a candidate among those of its own backbone."""
    names = candidate.backbones or ("",)
    tap = candidate.tap
    return tap.removeprefix(f"{names[0]} ") if len(names) == 1 else tap


def place(candidate: ChosenResult) -> str:
    """``blocks.6 at 320 px``; of texts, the candidate's name."""
    where = f" at {candidate.resolution} px" if candidate.resolution else ""
    return f"{candidate.tap}{where}"


def members(chosen: ChosenResult) -> str:
    """``46 % last 4 joined at 224+320 px, 33 % ...``: how much each counts in a mean; "" of others."""
    named = list(map(str, chosen.members[:N_MEMBERS]))
    if more := chosen.members[N_MEMBERS:]:
        rest = 100 * sum(member.weight for member in more)
        named.append(f"{rest:.0f} % {words.plural(len(more), 'other')}")
    return ", ".join(named)


def cheap_line(metrics: FitResult) -> str:
    """Which candidate would be chosen for its cost and by what rule; "" where it is the one chosen."""
    cheap = next((c for c in metrics.candidates if c.cheap), None)
    if cheap is None:
        return ""
    best = next(c for c in ranked(metrics.candidates) if not c.n_averaged and not c.screened)
    single = " that is not a mean" if any(c.n_averaged for c in metrics.candidates) else ""
    if cheap is best:
        return f"{place(best)}, the highest{single}"
    if cheap.baseline:
        return f"{place(cheap)}, the usual candidate"
    return (
        f"{place(cheap)}, the cheapest within one standard error and one point of {place(best)}, the "
        f"highest{single}"
    )


def legend(metrics: FitResult | TargetResult) -> tuple[str, ...]:
    """What the signs of the table mean; why the chosen one is it, where another is higher."""
    candidates = metrics.candidates
    best = next((c for c in candidates if c.best), None)
    chosen = next((c for c in candidates if c.chosen), None)
    ties = any(c.tie and not c.chosen and not c.screened for c in candidates)
    tie = "   ~ tie: within one standard error of the highest" * ties
    if isinstance(metrics, FitResult) and metrics.selection.is_default:
        how = "the usual candidate"
    elif metrics.selection.prefer == "cheap":
        how = "the cheapest within one standard error and one point of the highest"
    elif chosen is best:
        how = "the highest"
    else:
        how = "no other is significantly better"
    if best is None or chosen is None or chosen is best or metrics.selection.prefer == "cheap":
        return (f"* chosen: {how}{tie}",)
    return (
        f"* chosen: {how}{tie}",
        f"highest: {place(best)}, but not significantly better than the default choice, which is kept",
    )


def choice(metrics: FitResult) -> str:
    """Two or three sentences: which candidate was highest, which tie with it, why this one."""
    candidates = metrics.candidates
    order = ranked(candidates)
    best = next((c for c in order if c.best), order[0])
    chosen = next((c for c in order if c.chosen), best)
    if not is_judged(metrics):
        return (
            f"No class has two training {metrics.noun}s that can be separated, so cross-validation"
            f" cannot judge any of {words.plural(len(candidates), 'candidate')}: {place(chosen)}"
            f"{', the usual one,' if chosen.baseline else ''} was chosen."
        )
    tied = [c for c in candidates if c.tie and not c.best]
    equal = [c for c in candidates if c is not best and merit(c) == merit(best)]
    shared = f", as have {words.plural(len(equal), 'other')}" if equal else ""
    value = f"{words.percent(best.cv.value)} {words.bounds(best.cv)}"
    highest = "highest cross-validated accuracy"
    if is_other(metrics):
        highest = f"best cross-validated {objective_name(metrics)}"
        value = value_of(metrics, best.cv_metric)
    first = (
        f"Of {words.plural(len(candidates), 'candidate')}, {'the ' * bool(best.n_averaged)}{place(best)} has the"
        f" {highest}{shared}:"
        f" {value}."
    )
    if metrics.selection.is_default:
        return (
            f"{first} On so few training {metrics.noun}s that is not significantly better than"
            f" {place(chosen)}, the usual candidate, which was chosen."
            if chosen is not best
            else f"{first} It is the usual candidate, which was chosen."
        )
    if metrics.selection.prefer != "cheap":
        taken = "It" if chosen is best else place(chosen)
        taken = f"{taken[:1].upper()}{taken[1:]}" if chosen.n_averaged else taken
        return f"{first} {taken} was chosen."
    if chosen is not best and chosen not in tied:
        return f"{first} {place(chosen)} was chosen."
    if not tied:
        return f"{first} No other candidate is within one standard error of it, so it was chosen."
    others = words.plural(len(tied), "other ties", "others tie")
    second = f"{others} with it: the paired difference is within one standard error."
    cheaper = [c for c in [best, *tied] if c.cost < chosen.cost]
    if any(merit(best) - merit(c) <= MOST_BEHIND for c in cheaper):
        return f"{first} {second} Of these {place(chosen)} was chosen."
    if chosen is best:
        why = "It is also the cheapest of them"
        if cheaper:
            why = "Those that cost less are more than one point lower"
        return f"{first} {second} {why}, so it was chosen."
    saving = _saving(chosen, best, metrics.noun)
    among = "those at most one point lower" if cheaper else "these"
    return f"{first} {second} Of {among} {place(chosen)} is the cheapest{saving}, so it was chosen."


def confusions(classes: Sequence[str], counts: NDArray[np.int64]) -> list[Confusion]:
    """Pairs of classes that are mixed up, the most frequent first."""
    total = counts.sum(axis=1)
    found = [
        Confusion(true=classes[i], predicted=classes[j], n=int(counts[i, j]), total=int(total[i]))
        for i, j in np.argwhere(counts)
        if i != j
    ]
    return sorted(found, key=lambda c: (-c.n, -c.n / c.total))


# Field of the metrics, its name, whether it is a share, and what it says.
_METRICS = (
    ("accuracy", "Accuracy", True, "share put in the right class"),
    ("balanced_accuracy", "Balanced accuracy", True, "mean of the classes' recalls"),
    ("macro_f1", "Macro F1", True, "mean of the classes' F1"),
    ("macro_precision", "Macro precision", True, "mean of the classes' precisions"),
    ("kappa", "Cohen's kappa", False, "agreement beyond chance; 1 is perfect, 0 is chance"),
    ("quadratic_kappa", "Quadratic kappa", False, "the same with errors weighted by distance"),
    ("roc_auc", "ROC AUC", True, "one-vs-rest: a class's example ranks above another's"),
    ("average_precision", "Average precision", True, "one-vs-rest area under precision and recall"),
    ("log_loss", "Log loss", False, "of the probabilities; 0 is perfect"),
    ("brier", "Brier score", False, "squared error of the probabilities, 0 to 2"),
    ("ece", "Calibration error", True, "how far the probability is from the share that is right"),
)


def metric_rows(metrics: FitResult) -> list[tuple[str, str, str, str]]:
    """Name, value, interval and meaning of every metric; none of an older run."""
    found = metrics.metrics
    if found is None:
        return []
    rows = []
    for field, name, is_share, meaning in _METRICS:
        interval = getattr(found, field)
        if interval is None:
            continue
        if is_share:
            value, ends = words.percent(interval.value), words.bounds(interval)
        else:
            value, ends = words.decimal(interval.value), words.number_bounds(interval)
        rows.append((name, value, ends, meaning))
    for k, interval in found.top_k.items():
        if k > 1:
            said = f"the class is among the {k} most probable"
            rows.append((f"Top {k}", words.percent(interval.value), words.bounds(interval), said))
    return rows


def duplicates(data: DataSummary) -> list[tuple[str, Duplicates]]:
    """All duplicate groups with their kind, those that spoil the measurement first."""
    groups = [("exact", g) for g in data.exact_duplicates]
    groups += [("near", g) for g in data.near_duplicates]
    return sorted(groups, key=lambda g: (not g[1].straddles, not g[1].conflicting))


def _saving(chosen: CandidateResult, best: CandidateResult, example: str) -> str:
    mine, its = chosen.macs, best.macs
    if not mine or not its or mine >= its:
        return ""
    return (
        f" ({words.macs(mine)} multiply-accumulates per {example}, {100 * mine / its:.0f}"
        f"\u00a0% of what the highest needs)"
    )


def _duplicate_notices(data: DataSummary, example: str) -> list[Notice]:
    found = []
    kinds = (("identical", data.exact_duplicates), ("nearly identical", data.near_duplicates))
    for name, groups in kinds:
        n_straddling = sum(1 for g in groups if g.straddles)
        n_conflicting = sum(1 for g in groups if g.conflicting)
        for n, trouble in (
            (n_straddling, "on both sides of the split"),
            (n_conflicting, "with different labels"),
        ):
            if n:
                groups_of = words.plural(
                    n, f"group of {name} {example}s", f"groups of {name} {example}s"
                )
                found.append(Notice(text=f"{groups_of} {trouble}", section="data"))
    n_bad = len(data.quarantine)
    if n_bad:
        verb = "was" if n_bad == 1 else "were"
        text = f"{words.plural(n_bad, 'file')} could not be used and {verb} left out"
        found.append(Notice(text=text, section="data"))
    return found


def _test_notices(metrics: FitResult) -> list[Notice]:
    return [*_untested_notices(metrics), *_size_of_test_notices(metrics)]


def _untested_notices(metrics: FitResult) -> list[Notice]:
    missing = untested(metrics)
    if not missing:
        return []
    side = "test" if metrics.confusion.split == "test" else "validation"
    text = (
        f"No {side} {metrics.noun}s of {words.plural(len(missing), 'class', 'classes')}:"
        f" {some(missing, is_counted=True)}; no figure here speaks of {'it' if len(missing) == 1 else 'them'}"
    )
    return [Notice(text=text, section="classes")]


def _size_of_test_notices(metrics: FitResult) -> list[Notice]:
    test = metrics.test
    if test is None:
        source = "cross-validation"
        if metrics.finetuning is not None and metrics.finetuning.won:
            source = "the validation images by which fine-tuning was chosen"
        text = f"No test split: the number comes from {source}"
        return [Notice(text=text, section="choice")]
    value, low, high = test.accuracy
    if math.isfinite(high - low) and (high - low) / 2 > _WIDE:
        text = (
            f"Small test set: with {words.plural(test.n, metrics.noun)} the accuracy of "
            f"{100 * value:.1f} % may be anything from {100 * low:.1f} to {100 * high:.1f} %"
        )
        return [Notice(text=text, section="classes")]
    return []


def _size_notices(metrics: FitResult) -> list[Notice]:
    data, found = metrics.data, []
    imbalance = data.imbalance
    if imbalance > UNEVEN:
        text = (
            f"Uneven classes: the largest has {imbalance:.1f} times the {metrics.noun}s of the smallest;"
            " read the balanced accuracy"
        )
        found.append(Notice(text=text, section="data"))
    few = [c for c in data.classes if c.n_train < _FEW_TRAINING_IMAGES]
    if few:
        verb = "has" if len(few) == 1 else "have"
        text = (
            f"{words.plural(len(few), 'class', 'classes')} {verb} fewer than"
            f" {_FEW_TRAINING_IMAGES} training {metrics.noun}s"
        )
        found.append(Notice(text=text, section="data"))
    return found
