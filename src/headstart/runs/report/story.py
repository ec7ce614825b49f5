"""What the page says about the numbers: warnings, rankings and sentences, from plain dicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.records import UNEVEN
from headstart.data.sources import some
from headstart.heads.accuracy import MOST_BEHIND
from headstart.runs.confusion import read_counts
from headstart.runs.report import words

Metrics = Mapping[str, Any]

# Half width of the test interval, as a share, above which the test set is called small.
_WIDE = 0.04
_FEW_TRAINING_IMAGES = 10
JOINED = "Backbones side by side"


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


def noun(metrics: Metrics) -> str:
    """What an example is called: ``image``, or ``text``."""
    return str(metrics["data"].get("noun", "image"))


def notices(metrics: Metrics) -> list[Notice]:
    """What a reader must know before trusting the number, gravest first."""
    found = [
        *_duplicate_notices(metrics["data"], noun(metrics)),
        *_test_notices(metrics),
        *_size_notices(metrics),
    ]
    n_suspicious = len(metrics["suspicious"])
    if n_suspicious:
        text = f"{words.plural(n_suspicious, 'label')} worth a second look"
        found.append(Notice(text=text, section="labels", is_warning=False))
    return found


def untested(metrics: Metrics) -> list[str]:
    """Classes without an image or text among those that the per-class figures are of."""
    is_tested = read_counts(metrics).sum(axis=1) > 0
    return [name for name, tested in zip(metrics["classes"], is_tested, strict=True) if not tested]


def balanced_over(metrics: Metrics) -> str:
    """Which classes the balanced accuracy is over: ``2 of 3 classes``; empty where over all."""
    n, n_untested = len(metrics["classes"]), len(untested(metrics))
    return f"{words.count(n - n_untested)} of {words.count(n)} classes" if n_untested else ""


def headline(metrics: Metrics) -> dict[str, Any]:
    """The big number: test accuracy, or cross-validated where no test split was kept.

    Where the classes are uneven, balanced accuracy leads, and accuracy stands beside it.
    """
    found = _accuracies(metrics)
    leads = metrics.get("leads") == "balanced_accuracy"
    shares = [("Accuracy", found["accuracy"]), ("Balanced accuracy", found["balanced"])]
    (name, interval), (other_name, other) = shares[::-1] if leads else shares
    return {**found, "name": name, "interval": interval, "other_name": other_name, "other": other}


def _accuracies(metrics: Metrics) -> dict[str, Any]:
    test = metrics["test"]
    if test:
        return {
            "accuracy": test["accuracy"],
            "balanced": test["balanced_accuracy"],
            "where": f"of {words.count(test['n'])} test {noun(metrics)}s put in the right class",
            "is_test": True,
        }
    tuned = metrics.get("finetuning") or {}
    if tuned.get("won") and tuned["validation"]:
        v = tuned["validation"]
        return {
            "accuracy": v["finetuned"],
            "balanced": v["balanced"],
            "where": f"of {words.count(v['n'])} validation images, which the network had not seen",
            "is_test": False,
        }
    n = metrics["selection"]["n_train"]
    return {
        "accuracy": metrics["cv"]["accuracy"],
        "balanced": metrics["cv"]["balanced_accuracy"],
        "where": f"of {words.count(n)} training {noun(metrics)}s, each judged by a classifier"
        " that had not seen it (cross-validation)",
        "is_test": False,
    }


def is_judged(metrics: Metrics) -> bool:
    """Whether cross-validation could judge any training example."""
    n_judged: int | None = metrics["selection"].get("n_judged")
    return n_judged != 0


def ranked(candidates: Sequence[Metrics]) -> list[Metrics]:
    """Candidates by cross-validated accuracy, the highest first; the cheaper first among equals."""
    return sorted(candidates, key=lambda c: (-c["cv"]["value"], c.get("macs") or 0))


def contenders(candidates: Sequence[Metrics], last_tap: str, limit: int) -> list[Metrics]:
    """The ``limit`` highest, with the chosen one and the best of the last tap always among them."""
    order = ranked(candidates)
    wanted = [c for c in order if c["chosen"] or c["best"]]
    wanted += [c for c in order if c["tap"] == last_tap][:1]
    wanted += order
    kept: list[Metrics] = []
    for candidate in wanted:
        if candidate not in kept and len(kept) < limit:
            kept.append(candidate)
    return ranked(kept)


def mark(candidate: Metrics) -> str:
    """The sign of a candidate in the figures: chosen, best, tie or none."""
    if candidate["chosen"]:
        return "chosen"
    if candidate["best"]:
        return "best"
    return "tie" if candidate["tie"] else ""


def by_backbone(candidates: Sequence[Metrics]) -> dict[str, list[Metrics]]:
    """The candidates of each backbone by its name, then joins of several; all by "" where there is one."""
    groups: dict[str, list[Metrics]] = {}
    for candidate in candidates:
        names = candidate.get("backbones") or [""]
        groups.setdefault(names[0] if len(names) == 1 else JOINED, []).append(candidate)
    return groups


def row_name(candidate: Metrics) -> str:
    """The tap of a candidate among those of its own backbone."""
    names = candidate.get("backbones") or [""]
    tap = str(candidate["tap"])
    return tap.removeprefix(f"{names[0]} ") if len(names) == 1 else tap


def place(candidate: Metrics) -> str:
    """``blocks.6 at 320 px``; of texts, the candidate's name."""
    where = f" at {candidate['resolution']} px" if candidate["resolution"] else ""
    return f"{candidate['tap']}{where}"


def choice(metrics: Metrics) -> str:
    """Two or three sentences: which candidate was highest, which tie with it, why this one."""
    candidates = metrics["candidates"]
    order = ranked(candidates)
    best = next((c for c in order if c["best"]), order[0])
    chosen = next((c for c in order if c["chosen"]), best)
    if not is_judged(metrics):
        return (
            f"No class has two training {noun(metrics)}s that can be separated, so cross-validation"
            f" cannot judge any of {words.plural(len(candidates), 'candidate')}: {place(chosen)}"
            f"{', the usual one,' if chosen.get('baseline') else ''} was chosen."
        )
    tied = [c for c in candidates if c["tie"] and not c["best"]]
    equal = [c for c in candidates if c is not best and c["cv"]["value"] == best["cv"]["value"]]
    shared = f", as have {words.plural(len(equal), 'other')}" if equal else ""
    first = (
        f"Of {words.plural(len(candidates), 'candidate')}, {place(best)} has the highest"
        f" cross-validated accuracy{shared}: {words.percent(best['cv']['value'])}"
        f" {words.bounds(best['cv'])}."
    )
    if metrics["selection"].get("is_default"):
        return (
            f"{first} On so few training {noun(metrics)}s that is not significantly better than"
            f" {place(chosen)}, the usual candidate, which was chosen."
            if chosen is not best
            else f"{first} It is the usual candidate, which was chosen."
        )
    if metrics["selection"].get("prefer") == "accurate":
        return f"{first} {place(chosen)} was chosen by the rule below."
    if chosen is not best and chosen not in tied:
        return f"{first} {place(chosen)} was chosen by the rule below."
    if not tied:
        return f"{first} No other candidate is within one standard error of it, so it was chosen."
    others = words.plural(len(tied), "other ties", "others tie")
    second = f"{others} with it: the paired difference is within one standard error."
    cheaper = [c for c in [best, *tied] if _cost(c) < _cost(chosen)]
    if any(best["cv"]["value"] - c["cv"]["value"] <= MOST_BEHIND for c in cheaper):
        return f"{first} {second} Of these {place(chosen)} was chosen by the rule below."
    if chosen is best:
        why = "It is also the cheapest of them"
        if cheaper:
            why = "Those that cost less are more than one point lower"
        return f"{first} {second} {why}, so it was chosen."
    saving = _saving(chosen, best, noun(metrics))
    among = "those at most one point lower" if cheaper else "these"
    return f"{first} {second} Of {among} {place(chosen)} is the cheapest{saving}, so it was chosen."


def _cost(candidate: Metrics) -> tuple[int, int]:
    """What the choice calls cheap."""
    return candidate.get("macs") or 0, candidate["n_features"]


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


def metric_rows(metrics: Metrics) -> list[tuple[str, str, str, str]]:
    """Name, value, interval and meaning of every metric; none of a run of before 0.2."""
    found = metrics.get("metrics")
    if not found:
        return []
    rows = []
    for field, name, is_share, meaning in _METRICS:
        interval = found.get(field)
        if interval is None:
            continue
        if is_share:
            value, ends = words.percent(interval["value"]), words.bounds(interval)
        else:
            value, ends = words.decimal(interval["value"]), words.number_bounds(interval)
        rows.append((name, value, ends, meaning))
    for k, interval in found.get("top_k", {}).items():
        if int(k) > 1:
            said = f"the class is among the {k} most probable"
            rows.append(
                (f"Top {k}", words.percent(interval["value"]), words.bounds(interval), said)
            )
    return rows


def duplicates(data: Metrics) -> list[dict[str, Any]]:
    """All duplicate groups, those that spoil the measurement first."""
    groups = [
        {**group, "kind": kind}
        for kind in ("exact", "near")
        for group in data[f"{kind}_duplicates"]
    ]
    return sorted(groups, key=lambda g: (not g["straddles"], not g["conflicting"]))


def _saving(chosen: Metrics, best: Metrics, example: str) -> str:
    mine, its = chosen.get("macs"), best.get("macs")
    if not mine or not its or mine >= its:
        return ""
    return (
        f" ({words.macs(mine)} multiply-accumulates {'an' if example == 'image' else 'a'} {example}, {100 * mine / its:.0f}"
        f"\u00a0% of what the highest needs)"
    )


def _duplicate_notices(data: Metrics, example: str) -> list[Notice]:
    found = []
    for kind, name in (("exact", "identical"), ("near", "nearly identical")):
        groups = data[f"{kind}_duplicates"]
        n_straddling = sum(1 for g in groups if g["straddles"])
        n_conflicting = sum(1 for g in groups if g["conflicting"])
        for n, trouble in (
            (n_straddling, "on both sides of the split"),
            (n_conflicting, "with different labels"),
        ):
            if n:
                groups_of = words.plural(
                    n, f"group of {name} {example}s", f"groups of {name} {example}s"
                )
                found.append(Notice(text=f"{groups_of} {trouble}", section="data"))
    n_bad = len(data["quarantine"])
    if n_bad:
        verb = "was" if n_bad == 1 else "were"
        text = f"{words.plural(n_bad, 'file')} could not be used and {verb} left out"
        found.append(Notice(text=text, section="data"))
    return found


def _test_notices(metrics: Metrics) -> list[Notice]:
    return [*_untested_notices(metrics), *_size_of_test_notices(metrics)]


def _untested_notices(metrics: Metrics) -> list[Notice]:
    missing = untested(metrics)
    if not missing:
        return []
    side = "test" if metrics["confusion"]["split"] == "test" else "validation"
    text = (
        f"No {side} {noun(metrics)}s of {words.plural(len(missing), 'class', 'classes')}:"
        f" {some(missing)}; no figure here speaks of {'it' if len(missing) == 1 else 'them'}"
    )
    return [Notice(text=text, section="classes")]


def _size_of_test_notices(metrics: Metrics) -> list[Notice]:
    test = metrics["test"]
    if not test:
        source = "cross-validation"
        if (metrics.get("finetuning") or {}).get("won"):
            source = "the validation images by which fine-tuning was chosen"
        text = f"No test split: the number comes from {source}"
        return [Notice(text=text, section="choice")]
    half = (test["accuracy"]["high"] - test["accuracy"]["low"]) / 2
    if math.isfinite(half) and half > _WIDE:
        text = (
            f"Small test set: {words.plural(test['n'], noun(metrics))}"
            f" leave{'s' if test['n'] == 1 else ''} ±{100 * half:.0f} points of doubt"
        )
        return [Notice(text=text, section="classes")]
    return []


def _size_notices(metrics: Metrics) -> list[Notice]:
    data, found = metrics["data"], []
    imbalance = data.get("imbalance")
    if imbalance and imbalance > UNEVEN:
        text = (
            f"Uneven classes: the largest has {imbalance:.1f} times the {noun(metrics)}s of the smallest;"
            " read the balanced accuracy"
        )
        found.append(Notice(text=text, section="data"))
    few = [c for c in data["classes"] if c["n_train"] < _FEW_TRAINING_IMAGES]
    if few:
        verb = "has" if len(few) == 1 else "have"
        text = (
            f"{words.plural(len(few), 'class', 'classes')} {verb} fewer than"
            f" {_FEW_TRAINING_IMAGES} training {noun(metrics)}s"
        )
        found.append(Notice(text=text, section="data"))
    return found
