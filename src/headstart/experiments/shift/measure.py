"""Accuracy across a shift of domain, and what unlabelled target images win back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.groups import groups_of
from headstart.data.labels import twin_hint
from headstart.errors import DataError, one_line
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.shift.adaptation import Methods, NotApplicable, Sides
from headstart.experiments.shift.corruption import corrupted_copy
from headstart.experiments.shift.result import (
    ADAPTED,
    BOUND,
    CONTROL,
    LINES,
    PLAIN,
    Method,
    ShiftResult,
)
from headstart.experiments.shift.settings import Settings
from headstart.heads import accuracy_interval, repeated_accuracy, repeated_difference
from headstart.probe import training_folds
from headstart.results import Difference, Interval

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index

LEVEL = 0.95
Rows = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Which held-out images each method recognised."""

    # (n_source_test,); the SVM trained on the source, on the source's held-out images
    source_correct: Rows
    # method to array (n_seeds, n_target_test); a method that is not available is
    # missing
    correct: Mapping[str, Rows]
    absent: Mapping[str, str]
    # (n_source_test,); the SVM of AdaBN on the source's held-out images: no shift, statistics
    # re-estimated
    source_adabn: Rows | None = None
    # source_groups, target_groups: the groups of the held-out images, where the data have groups
    source_groups: list[str] | None = None
    target_groups: list[str] | None = None

    def figures(self) -> dict[str, Any]:
        """The figures of a `ShiftResult`; 95 % for all adaptations together (Bonferroni)."""
        level = 1 - (1 - LEVEL) / len(ADAPTED)
        source = accuracy_interval(self.source_correct, LEVEL, self.source_groups)
        there = self.target_groups
        adversary = repeated_difference(
            self.correct["DANN"], self.correct[CONTROL], level, groups=there
        )
        at_home = None
        if self.source_adabn is not None:
            own, plain = self.source_adabn[None], self.source_correct[None]
            at_home = Difference.of(
                repeated_difference(own, plain, LEVEL, groups=self.source_groups)
            )
        return {
            "source": source,
            "cost": _cost(source, repeated_accuracy(self.correct[PLAIN], LEVEL, groups=there)),
            "methods": tuple(self._method(name, level) for name in LINES),
            "adabn_at_home": at_home,
            "adversary": Difference.of(adversary),
            "difference_level": level,
            "n_test": (len(self.source_correct), int(self.correct[PLAIN].shape[1])),
        }

    def _method(self, name: str, level: float) -> Method:
        correct, gain = self.correct.get(name), None
        if correct is not None and name != PLAIN:
            plain = self.correct[PLAIN]
            gain = Difference.of(
                repeated_difference(correct, plain, level, groups=self.target_groups)
            )
        return Method(
            name=name,
            line=LINES[name],
            accuracy=None
            if correct is None
            else repeated_accuracy(correct, LEVEL, groups=self.target_groups),
            gain=gain,
            by_seed=() if correct is None else tuple(correct.mean(axis=1).tolist()),
            absent=self.absent.get(name, ""),
        )


def _cost(here: Interval, there: Interval) -> Difference:
    """The distances to the ends of the two intervals are added as squares (Newcombe 1998)."""
    value = here.value - there.value
    low = value - float(np.hypot(here.value - here.low, there.high - there.value))
    high = value + float(np.hypot(here.high - here.value, there.value - there.low))
    return Difference(value, low, high)


def measure(s: Settings, inputs: Inputs) -> ShiftResult:
    """Train on the source, test on the target, and adapt with the target's unlabelled images.

    The linear SVM's C is chosen by cross-validation on (transformed) source images alone. The
    adaptations see the target's training images without labels; every figure on the target is that
    of its test images, which none of them sees.

    Raises DataError where a class is missing on one side, or a side has no test image.
    """
    from headstart.features import cache_folder

    net, source = inputs.backbone(), inputs.index(split=s.split)
    if s.corrupt is None:
        target, name = inputs.index("target"), ""
    else:
        cache = inputs.cache or cache_folder()
        target = corrupted_copy(source, s.corrupt, cache=cache, progress=inputs.progress)
        name = f"{source.root.name} ({s.corrupt})"
    check_classes(source, target)
    sides, left_out = divide(source, target)
    work = _methods(net, source, target, sides, inputs)
    return ShiftResult(
        settings=s,
        datasets=(DataFacts(name=source.root.name, classes=source.classes),),
        source_name=source.root.name,
        target_name=name or target.root.name,
        backbone=net.name,
        tap=work.tap,
        size_px=work.backbone.preprocessing.size_px,
        seeds=work.seeds,
        n_train=(len(sides.source), len(sides.target)),
        notes=tuple(dict.fromkeys((*source.notes, *target.notes, *left_out))),
        **run_all(work).figures(),
    )


def _methods(net: Backbone, source: Index, target: Index, sides: Sides, inputs: Inputs) -> Methods:
    from headstart.backbones import at_size
    from headstart.features import cache_folder
    from headstart.training.network import features_tap

    s = inputs.settings
    if s.size_px is not None:
        net = at_size(net, s.size_px)
    return Methods(
        backbone=net,
        tap=net.tap(s.tap).name if s.tap else features_tap(net).name,
        sides=sides,
        folds=training_folds(source, sides.source, seed=s.seed),
        target_folds=training_folds(target, sides.target, seed=s.seed),
        seeds=tuple(range(s.seed, s.seed + s.seeds)),
        cache=inputs.cache or cache_folder(),
        device=s.device,
        progress=inputs.progress,
    )


def run_all(work: Methods) -> Measured:
    """Every method; one that does not apply is left out with its reason."""
    source_correct, plain = work.plain()
    correct = {PLAIN: work.repeated(plain)}
    absent: dict[str, str] = {}
    source_adabn: Rows | None = None
    try:
        source_adabn, adapted = work.adabn()
        correct["AdaBN"] = work.repeated(adapted)
    except NotApplicable as reason:
        absent["AdaBN"] = str(reason)
    steps: dict[str, Callable[[], Rows]] = {
        "CORAL": work.coral,
        "DANN": lambda: work.dann(1.0),
        CONTROL: lambda: work.dann(0.0),
        BOUND: work.bound,
    }
    for done, (name, step) in enumerate(steps.items(), start=1):
        correct[name] = step()
        work.progress("adapt", done, len(steps))
    return Measured(
        source_correct=source_correct,
        correct=correct,
        absent=absent,
        source_adabn=source_adabn,
        source_groups=groups_of(work.sides.source_test),
        target_groups=groups_of(work.sides.target_test),
    )


def check_classes(source: Index, target: Index) -> None:
    for here, there, name, other in (
        (source, target, "target", "source"),
        (target, source, "source", "target"),
    ):
        missing = sorted(set(here.classes) - set(there.classes))
        if missing:
            named = ", ".join(repr(one_line(c)) for c in missing[:3])
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise DataError(
                f"the {name} has no images of {named}{more}, which the {other} has: both folders "
                f"must hold the same classes under the same names.{twin_hint(missing, there.classes)}"
            )
    for index, name in ((source, "source"), (target, "target")):
        untested = set(index.classes) - {r.label for r in index.test}
        if untested:
            raise DataError(f"the {name} has no test images of {min(untested)!r}: add some")


def divide(source: Index, target: Index) -> tuple[Sides, tuple[str, ...]]:
    """Training and test images; a target test image that was trained on is left out."""
    from headstart.data import training_records

    train = training_records(source)
    seen = {r.digest for r in train}
    tested = tuple(r for r in target.test if r.digest not in seen)
    n_left_out = len(target.test) - len(tested)
    if not tested:
        raise DataError("all test images of the target are training images of the source")
    note = f"{n_left_out} test images of the target are training images of the source: left out"
    sides = Sides(
        source=train,
        source_test=source.test,
        target=training_records(target),
        target_test=tested,
    )
    return sides, ((note,) if n_left_out else ())
