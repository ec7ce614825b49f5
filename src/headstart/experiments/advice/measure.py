"""What the textbook rule advises for a data set of this size and likeness, beside what was measured.

The rule is that of Stanford's course CS231n: little or much data, like or unlike the source. Where
"little" ends and "unlike" begins the course leaves open; the thresholds here are conventions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import InputError, argument
from headstart.heads import (
    Interval,
    PairedDifference,
    is_significant,
    paired_difference,
    significance,
)
from headstart.progress import Progress, silent
from headstart.wording import headline, signed_points

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.comparison.comparing import Comparison
    from headstart.data import Index
    from headstart.experiments.profile.profiled import Profile

# Images a class from which data count as much.
MUCH = 100.0
# Distances (symmetric KL) of the embedded network to photographs and to handwritten digits, which
# stand for like and unlike where the references are not measured.
LIKE, UNLIKE = 0.07, 1.2

ADVICE: dict[tuple[bool, bool], str] = {
    (False, False): "a linear classifier on the penultimate layer",
    (True, False): "fine-tune a few layers, or all",
    (False, True): "a linear SVM on activations of earlier layers",
    (True, True): "fine-tune all layers, with care",
}
"""By (is there much data, is it unlike the source)."""

# What each arm of a comparison does, in the rule's terms.
_KIND_OF_ARM = {
    "linear SVM": "a linear classifier on the penultimate layer",
    "linear SVM, joined": "a linear SVM that sees earlier layers too",
    "output": "a new output layer, trained",
    "upper": "fine-tuning of a few layers",
    "lower": "fine-tuning of the lower layers",
    "all": "fine-tuning of all layers",
    "scratch": "training from scratch",
}
_ARMS_OF_ADVICE: dict[tuple[bool, bool], tuple[str, ...]] = {
    (False, False): ("linear SVM", "output"),
    (True, False): ("upper", "all"),
    (False, True): ("linear SVM, joined",),
    (True, True): ("all",),
}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Where a data set lies, and what the rule advises there.

    Attributes
    ----------
    n_per_class : float
        Training images a class, on average.
    distance : float
        To the source: median over layers of the symmetric KL divergence.
    much, far : float
        The thresholds.
    """

    n_per_class: float
    distance: float
    much: float
    far: float

    @property
    def quadrant(self) -> tuple[bool, bool]:
        """Is there much data, is it unlike the source?"""
        return self.n_per_class >= self.much, self.distance >= self.far

    @property
    def advice(self) -> str:
        """What the rule recommends."""
        return ADVICE[self.quadrant]

    @property
    def headline(self) -> str:
        """The advice, and why."""
        much, far = self.quadrant
        why = f"{'much' if much else 'little'} data, {'unlike' if far else 'like'} the source"
        return f"The rule advises: {self.advice} ({why})."

    @property
    def sentence(self) -> str:
        """Place and advice."""
        much, far = self.quadrant
        size = f"{'much' if much else 'little'} data ({self.n_per_class:.0f} images a class)"
        like = "unlike" if far else "like"
        return (
            f"The rule: {size}, {like} the source (distance {self.distance:.2f}, unlike from "
            f"{self.far:.2f}): {self.advice}."
        )


@dataclass(frozen=True, kw_only=True)
class EarlyLate:
    """The best earlier layer against the last, by the linear SVM.

    Attributes
    ----------
    early, late : str
        Taps.
    early_accuracy, late_accuracy : Interval
        Cross-validated on the training images.
    gain : PairedDifference
        Accuracy of the earlier layer less that of the last, on the same images.
    """

    early: str
    late: str
    early_accuracy: Interval
    late_accuracy: Interval
    gain: PairedDifference

    @property
    def is_earlier_better(self) -> bool | None:
        """None where the difference is not significant."""
        if not is_significant(self.gain):
            return None
        return self.gain.value > 0


def make_rule(
    index: Index, distance: float, references: Mapping[str, float], *, much: float = MUCH
) -> Rule:
    """Place a data set.

    Parameters
    ----------
    index : Index
    distance : float
        To the source, above 0.
    references : mapping of str to float
        Distances of ``"photographs"`` and ``"digits"`` by the same network; "unlike" begins half-way
        between them, on a logarithmic scale. Empty: those of the embedded network.
    much : float, default 100
        Images a class from which data count as much.

    Raises
    ------
    InputError
        The distance is not above 0.
    """
    from headstart.data import training_records

    if not (distance > 0 and math.isfinite(distance)):
        raise InputError(
            f"{argument('distance')} must be above 0, as `headstart transfer similarity` gives it; "
            f"got {distance}"
        )
    like, unlike = references.get("photographs", LIKE), references.get("digits", UNLIKE)
    train = training_records(index)
    return Rule(
        n_per_class=len(train) / max(len({r.label for r in train}), 1),
        distance=distance,
        much=much,
        far=math.sqrt(like * unlike),
    )


def distances(
    index: Index,
    backbone: Backbone,
    *,
    seed: int = 0,
    device: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> tuple[float, dict[str, float]]:
    """The data's distance to the source, and those of photographs, digits and noise.

    Raises
    ------
    InputError
        The backbone keeps no statistics of its source.
    """
    import dataclasses

    from headstart.experiments.similarity.measure import place
    from headstart.experiments.similarity.references import indexed_set, made_sets
    from headstart.features import cache_folder

    root = cache or cache_folder()
    # Without labels no accuracy is measured: here the distance alone is wanted.
    target = dataclasses.replace(indexed_set("the data", index, seed=seed), indexed=None)
    made = [dataclasses.replace(s, indexed=None) for s in made_sets(cache=root, seed=seed)]
    placed = place(backbone, target, made, seed=seed, device=device, cache=root, progress=progress)
    found = {s.name.split(" (")[0]: s.kl for s in placed.sets}
    return found.pop("the data"), found


def compare_depths(profile: Profile) -> EarlyLate | None:
    """The best earlier layer against the penultimate one; None where there is one layer only."""
    view = profile.model("usual layer").blocks[0].view
    late = profile.model("usual layer").blocks[0].tap
    row = {c.block.tap: c for c in profile.cells if c.block.view == view}
    before = [tap for tap in profile.taps[: profile.taps.index(late)] if tap in row]
    if not before:
        return None
    early = max(before, key=lambda tap: row[tap].accuracy.value)
    return EarlyLate(
        early=early,
        late=late,
        early_accuracy=row[early].accuracy,
        late_accuracy=row[late].accuracy,
        gain=paired_difference(row[early].correct, row[late].correct),
    )


def depth_verdict(rule: Rule, found: EarlyLate | None) -> str:
    """Whether earlier layers do what the rule says of them."""
    if found is None:
        return "One layer only: there is no earlier one to measure."
    _, far = rule.quadrant
    points = _points(found.gain)
    measured = (
        f"{points} points with {found.early} rather than {found.late} ({significance(found.gain)})"
    )
    better = found.is_earlier_better
    if better is None:
        verdict = ": that earlier layers suit unlike data better does not show here" * far
    elif better == far:
        verdict = ", as the rule says"
    elif better:
        verdict = ", against the rule, which keeps earlier layers for unlike data"
    else:
        verdict = ", against the rule, which would have earlier layers suit unlike data better"
    return f"Measured by cross-validation: {measured}{verdict}."


def regime_verdict(rule: Rule, comparison: Comparison) -> str:
    """Whether the regime that measured best is the one that the rule advises."""
    asked = [name for name in _ARMS_OF_ADVICE[rule.quadrant] if name in comparison.outcomes]
    best = comparison.taken
    kind = _KIND_OF_ARM.get(best, best)
    if best in asked:
        return f"Measured: take {kind} ({best}), as the rule says."
    if not asked:
        return f"Measured: take {kind} ({best}); what the rule advises was not among the arms."
    advised = max(asked, key=comparison.val_accuracy)
    gain = comparison.val_statement(best, advised)
    points = _points(gain)
    if is_significant(gain):
        return (
            f"Measured: take {best}, against the rule: {points} points over {advised} on the "
            "validation images (significant)."
        )
    is_cheaper = comparison.seconds(best) < comparison.seconds(advised)
    text = (
        f"Measured: take {best}, {points} points against the rule's {advised} on the validation "
        "images (not significant)"
    )
    return headline(f"{text}{', and cheaper' * is_cheaper}.", f"{text}.")


def to_dict(
    rule: Rule,
    references: Mapping[str, float],
    depth: EarlyLate | None,
    comparison: Comparison | None,
) -> dict[str, Any]:
    """JSON-ready figures."""
    found: dict[str, Any] = {
        "n_per_class": rule.n_per_class,
        "distance": rule.distance,
        "much": rule.much,
        "far": rule.far,
        "has_much": rule.quadrant[0],
        "is_far": rule.quadrant[1],
        "advice": rule.advice,
        "rule": rule.sentence,
        "sentence": rule.headline,
        "detail": f"{rule.sentence} {depth_verdict(rule, depth)}",
        "references": dict(references),
        "depth": None,
        "verdict": depth_verdict(rule, depth),
    }
    if depth is not None:
        found["depth"] = {
            "early": depth.early,
            "late": depth.late,
            "early_cv": _plain(depth.early_accuracy),
            "late_cv": _plain(depth.late_accuracy),
            "gain": _plain(depth.gain),
        }
    if comparison is not None:
        found["comparison"] = comparison.to_dict()
        found["verdict"] = found["sentence"] = regime_verdict(rule, comparison)
        found["depth_verdict"] = depth_verdict(rule, depth)
    return found


def _plain(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]


def _points(difference: PairedDifference) -> str:
    return signed_points(difference.value, difference.low, difference.high)
