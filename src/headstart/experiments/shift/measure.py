"""Accuracy across a shift of domain, and what unlabelled target images win back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.labels import twin_hint
from headstart.errors import DataError, InputError, argument, one_line
from headstart.experiments.shift.adaptation import (
    ADAPTED,
    BOUND,
    CONTROL,
    LINES,
    PLAIN,
    Methods,
    NotToBeHad,
    Sides,
)
from headstart.experiments.shift.alignment import DannSettings
from headstart.experiments.shift.shift_words import findings, sentence
from headstart.experiments.wording import triple
from headstart.heads import (
    Interval,
    PairedDifference,
    accuracy_interval,
    repeated_accuracy,
    repeated_difference,
)
from headstart.probe import training_folds
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Shift:
    """What each method reached on the target.

    Attributes
    ----------
    source_correct : bool array (n_source_test,)
        The SVM trained on the source, on the source's held-out images.
    correct : dict of method to bool array (n_seeds, n_target_test)
        A method that cannot be had is missing.
    absent : dict of method to reason
    seeds : tuple of int
    n_train : (int, int)
        Training images of source and target.
    source_adabn : bool array (n_source_test,), optional
        The SVM of AdaBN on the source's held-out images: no shift, statistics taken anew.
    notes : tuple of str
    dann : DannSettings
        Seed and strength do not count.
    """

    source_correct: NDArray[np.bool_]
    correct: dict[str, NDArray[np.bool_]]
    absent: dict[str, str]
    seeds: tuple[int, ...]
    n_train: tuple[int, int]
    source_adabn: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()
    dann: DannSettings = dataclasses.field(default_factory=DannSettings)

    @property
    def level(self) -> float:
        """Of each gain: 95 % for all methods together (Bonferroni)."""
        return 1 - (1 - LEVEL) / len(ADAPTED)

    @property
    def source(self) -> Interval:
        """Accuracy on the source's held-out images."""
        return accuracy_interval(self.source_correct, LEVEL)

    def accuracy(self, method: str) -> Interval:
        """Accuracy on the target's held-out images, mean of the seeds."""
        return repeated_accuracy(self.correct[method], LEVEL)

    def gain(self, method: str, over: str = PLAIN) -> PairedDifference:
        """Accuracy on the target less that of another method, paired."""
        return repeated_difference(self.correct[method], self.correct[over], self.level)

    @property
    def cost(self) -> Interval:
        """Accuracy on the source less that on the target; the images are not the same.

        The distances to the ends of the two intervals are added as squares (Newcombe 1998).
        """
        a, b = self.source, self.accuracy(PLAIN)
        value = a.value - b.value
        low = value - float(np.hypot(a.value - a.low, b.high - b.value))
        high = value + float(np.hypot(a.high - a.value, b.value - b.low))
        return Interval(value, low, high)

    @property
    def adabn_at_home(self) -> PairedDifference | None:
        """Accuracy on the source with its own statistics less that with the network's."""
        if self.source_adabn is None:
            return None
        return repeated_difference(self.source_adabn[None], self.source_correct[None], LEVEL)

    @property
    def findings(self) -> tuple[str, ...]:
        """A sentence for each question."""
        return findings(self)

    @property
    def sentence(self) -> str:
        """The answer."""
        return sentence(self)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: all figures."""
        return _to_dict(self)


def measure_shift(
    source: Index,
    target: Index,
    backbone: Backbone,
    *,
    size_px: int | None = None,
    tap: str | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    dann: DannSettings | None = None,
    cache: Path | None = None,
    device: str | None = None,
    progress: Progress = silent,
) -> Shift:
    """Train on the source, test on the target, and adapt with the target's unlabelled images.

    The linear SVM's C is chosen by cross-validation on (transformed) source images alone. The
    adaptations see the target's training images without labels; every figure on the target is that
    of its test images, which none of them sees.

    Parameters
    ----------
    source, target : Index
        With the same classes.
    backbone : Backbone
        Frozen.
    size_px : int, optional
        Side of the crops; default the backbone's own.
    tap : str, optional
        Whose features; default the last before the logits.
    seeds : sequence of int
        Of DANN's repeats; the first is also that of the folds.
    dann : DannSettings, optional
        Its seed and strength are set here.
    cache : Path, optional
    device : str, optional
    progress : Progress

    Returns
    -------
    Shift

    Raises
    ------
    DataError
        A class is missing on one side, or a side has no test image.
    InputError
        No seed, or one seed twice.
    """
    from headstart.backbones import at_size
    from headstart.features import cache_folder
    from headstart.finetune.network import features_tap

    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(
            f"{argument('seeds')} must be one or more different seeds, got {list(seeds)}"
        )
    _check_classes(source, target)
    if size_px is not None:
        backbone = at_size(backbone, size_px)
    sides, notes = _sides(source, target)
    work = Methods(
        backbone=backbone,
        tap=backbone.tap(tap).name if tap else features_tap(backbone).name,
        sides=sides,
        folds=training_folds(source, sides.source, seed=seeds[0]),
        target_folds=training_folds(target, sides.target, seed=seeds[0]),
        seeds=tuple(seeds),
        cache=cache or cache_folder(),
        device=device,
        progress=progress,
        dann_settings=dann or DannSettings(),
    )
    source_correct, plain = work.plain()
    correct = {PLAIN: work.repeated(plain)}
    absent: dict[str, str] = {}
    source_adabn: NDArray[np.bool_] | None = None
    try:
        source_adabn, adapted = work.adabn()
        correct["AdaBN"] = work.repeated(adapted)
    except NotToBeHad as reason:
        absent["AdaBN"] = str(reason)
    steps: dict[str, Callable[[], NDArray[np.bool_]]] = {
        "CORAL": work.coral,
        "DANN": lambda: work.dann(1.0),
        CONTROL: lambda: work.dann(0.0),
        BOUND: work.bound,
    }
    for done, (name, step) in enumerate(steps.items(), start=1):
        correct[name] = step()
        progress("adapt", done, len(steps))
    return Shift(
        source_correct=source_correct,
        correct=correct,
        absent=absent,
        source_adabn=source_adabn,
        seeds=tuple(seeds),
        n_train=(len(sides.source), len(sides.target)),
        notes=notes,
        dann=work.dann_settings,
    )


def _check_classes(source: Index, target: Index) -> None:
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


def _sides(source: Index, target: Index) -> tuple[Sides, tuple[str, ...]]:
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


def _to_dict(s: Shift) -> dict[str, Any]:
    at_home = s.adabn_at_home
    rows = [
        {
            "name": name,
            "line": line,
            "accuracy": triple(s.accuracy(name)) if name in s.correct else None,
            "gain": triple(s.gain(name)) if name in s.correct and name != PLAIN else None,
            "by_seed": [float(row.mean()) for row in s.correct.get(name, ())],
            "absent": s.absent.get(name, ""),
        }
        for name, line in LINES.items()
    ]
    return {
        "sentence": s.sentence,
        "findings": list(s.findings),
        "source": triple(s.source),
        "cost": triple(s.cost),
        "methods": rows,
        "adabn_at_home": at_home and triple(at_home),
        "adversary": triple(s.gain("DANN", CONTROL)),
        "difference_level": s.level,
        "seeds": list(s.seeds),
        "n_train": list(s.n_train),
        "n_test": [len(s.source_correct), int(s.correct[PLAIN].shape[1])],
        "notes": list(s.notes),
        "dann": dataclasses.asdict(s.dann),
    }
