"""Arms compared fairly: the same images, the same seeds, the same epochs; paired differences.

For each seed a part of the training images is held out for validation. Every arm is fitted on the
rest, so that no arm sees more than another. The choice looks at the validation images alone; the
test images are scored once an arm and seed, and shown.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from markupsafe import escape
from numpy.typing import NDArray

from headstart.comparison.arms import Arm
from headstart.comparison.memo import keep, place, recall
from headstart.comparison.result import ArmResult, ComparisonResult, accuracies
from headstart.data.groups import groups_of
from headstart.data.weights import example_weights
from headstart.errors import DataError, InputError
from headstart.heads import (
    Interval,
    PairedDifference,
    balanced_recall,
    paired_gain,
    repeated_accuracy,
    repeated_difference,
    significance,
    stratified_folds,
    unseen_difference,
)
from headstart.plots import Figure
from headstart.probe.folds import N_FOLDS, judgeable, training_folds
from headstart.probe.judging import Goal
from headstart.probe.rules import quickest_tie
from headstart.progress import Progress, resolve, silent
from headstart.results import Difference
from headstart.training.history import Epoch
from headstart.wording import against_time, counted, headline, points

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index
    from headstart.data.records import Examples

# A tenth is enough to choose by where there are many; few images need more.
MANY_IMAGES = 1000


class FitsArms(Protocol):
    """What fits one arm with one seed."""

    @property
    def identity(self) -> dict[str, Any]:
        """What decides an outcome beside the arm and the split; JSON-able."""

    def fit(self, arm: Arm, split: Split, folder: Path) -> Outcome:
        """Fit, and score validation and test; `folder` is for a training's checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which training images one seed fits on, and which it validates on."""

    seed: int
    fit: tuple[Any, ...]
    val: tuple[Any, ...]
    groups: tuple[int, ...]  # length n_fit; duplicates share a group, which no fold splits

    def folds(self) -> NDArray[np.int64]:
        """Folds of `fit` for the cross-validation of a linear SVM, (n_fit,)."""
        y = np.array([r.label for r in self.fit])
        return stratified_folds(y, self.groups, n_folds=N_FOLDS, seed=self.seed)

    def goal(self) -> Goal:
        """What that cross-validation optimises: accuracy, by the weights of the examples."""
        return Goal(weight=example_weights(self.fit))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One arm with one seed."""

    val_correct: NDArray[np.bool_]  # (n_val,)
    test_correct: NDArray[np.bool_]  # (n_test,); empty where there are no test images
    seconds: float  # of fitting: the frozen features' pass and the SVM, or the training
    n_trained_parameters: int
    history: tuple[Epoch, ...] = ()  # empty for an SVM
    best_epoch: int = 0  # 0 for an SVM
    note: str = ""  # what a reader must know: the C that was chosen, or that activations were kept


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What every arm reached."""

    arms: tuple[Arm, ...]  # the first is the one that the others are measured against
    seeds: tuple[int, ...]
    outcomes: dict[str, tuple[Outcome, ...]]  # arm name to tuple of Outcome; one a seed
    # n_fit, n_val, n_test: images; `n_val` of one seed
    n_fit: int
    n_val: int
    n_test: int
    noun: str = "image"  # what one is called where it is not an image
    is_val_shared: bool = False  # whether all seeds have the same validation images
    test_labels: tuple[str, ...] = ()  # length n_test
    # whether the largest class has three times the examples of the smallest, or more
    is_uneven: bool = False
    # of each seed, the groups of the validation examples, where the data have groups
    val_groups: tuple[list[str], ...] | None = None
    test_groups: list[str] | None = None

    @property
    def reference(self) -> Arm:
        """The arm that the others are measured against."""
        return self.arms[0]

    def val_accuracy(self, name: str) -> float:
        """Share of all seeds' validation images."""
        return float(np.mean(self._val(name)))

    def val_difference(self, name: str, other: str) -> PairedDifference:
        """Validation accuracy of an arm less that of another, over all seeds."""
        return paired_gain(self._val(name), self._val(other), groups=self._val_groups)

    def val_statement(self, name: str, other: str) -> PairedDifference:
        """The same, for what is said of it: seeds that share their validation images count once.

        Where the data bring validation images of their own, every seed has the same ones, and each
        counts once in the interval and the test.
        """
        if not self.is_val_shared:
            return self.val_difference(name, other)
        a, b = (np.array([o.val_correct for o in self.outcomes[n]]) for n in (name, other))
        return repeated_difference(a, b, groups=self.val_groups and self.val_groups[0])

    def test_accuracy(self, name: str) -> Interval | None:
        """Mean over the seeds, with a 95 % interval; None without test images."""
        if not self.n_test:
            return None
        return repeated_accuracy(self._test(name), groups=self.test_groups)

    def test_balanced(self, name: str) -> Interval | None:
        """Balanced accuracy, mean over the seeds, with its interval; None without test images."""
        if not self.test_labels:
            return None
        mean = self._test(name).mean(axis=0)
        return balanced_recall(self.test_labels, mean, groups=self.test_groups)

    def test_difference(self, name: str) -> PairedDifference | None:
        """Test accuracy less that of the reference, paired; None without test images."""
        if not self.n_test:
            return None
        reference = self._test(self.reference.name)
        return repeated_difference(self._test(name), reference, groups=self.test_groups)

    def test_range(self, name: str) -> tuple[float, float] | None:
        """Lowest and highest test accuracy among the seeds."""
        if not self.n_test:
            return None
        values = self._test(name).mean(axis=1)
        return float(values.min()), float(values.max())

    def seconds(self, name: str) -> float:
        """Mean seconds of one fit, with what was spent beforehand."""
        extra = next(arm.extra_s for arm in self.arms if arm.name == name)
        return float(np.mean([o.seconds for o in self.outcomes[name]])) + extra

    @property
    def best(self) -> str:
        """The arm of the highest validation accuracy; of equals, the first."""
        return max(self.outcomes, key=self.val_accuracy)

    @property
    def taken(self) -> str:
        """The quickest arm within one standard error of the best on the validation images.

        Of several that take about as long (within a quarter, or a second), the most accurate there.
        """
        names = list(self.outcomes)
        found = [self._val(n) for n in names], [self.seconds(n) for n in names]
        return names[quickest_tie(*found, self._val_groups)]

    @property
    def sentence(self) -> str:
        """The answer."""
        return _sentence(self)

    @property
    def detail(self) -> str:
        """Balanced accuracy of uneven classes; the test difference and the times."""
        return _detail(self)

    def _repr_html_(self) -> str:
        """The answer and the test accuracies, for a notebook."""
        answer = f"<p><b>{escape(self.sentence)}</b></p><p>{escape(self.detail)}</p>"
        return answer + (Figure(accuracies([*map(self._arm, self.arms)])) if self.n_test else "")

    def result(
        self, index: Examples[Any], *, title: str, backbone: str, size_px: int | None
    ) -> ComparisonResult:
        """All figures, and every epoch of every training; the rest is what the page names."""
        return ComparisonResult(
            sentence=self.sentence,
            detail=self.detail,
            title=title,
            data=index.root.name,
            backbone=backbone,
            size_px=size_px,
            classes=tuple(index.classes),
            notes=tuple(index.notes),
            reference=self.reference.name,
            taken=self.taken,
            seeds=self.seeds,
            n_fit=self.n_fit,
            n_val=self.n_val,
            n_test=self.n_test,
            noun=self.noun,
            arms=tuple(map(self._arm, self.arms)),
        )

    def _arm(self, arm: Arm) -> ArmResult:
        done, gain = self.outcomes[arm.name], self.test_difference(arm.name)
        plain = arm.to_dict()
        own = {name: plain.pop(name) for name in list(plain) if name in ArmResult.__struct_fields__}
        return ArmResult(
            **own,
            details=plain,
            val_accuracy=self.val_accuracy(arm.name),
            test=self.test_accuracy(arm.name),
            test_balanced=self.test_balanced(arm.name),
            test_range=self.test_range(arm.name),
            difference=gain and Difference.of(gain),
            seconds=self.seconds(arm.name),
            n_trained_parameters=done[0].n_trained_parameters,
            notes=tuple(o.note for o in done),
            histories=tuple(o.history for o in done),
            best_epochs=tuple(o.best_epoch for o in done),
            is_taken=arm.name == self.taken,
        )

    def _val(self, name: str) -> NDArray[np.bool_]:
        return np.concatenate([o.val_correct for o in self.outcomes[name]])

    @property
    def _val_groups(self) -> list[str] | None:
        if self.val_groups is None:
            return None
        return [group for groups in self.val_groups for group in groups]

    def _test(self, name: str) -> NDArray[np.bool_]:
        return np.array([o.test_correct for o in self.outcomes[name]])


def compare(
    index: Index,
    backbone: Backbone,
    arms: Sequence[Arm],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    size_px: int | None = None,
    cache: Path | None = None,
    device: str | None = None,
    progress: Progress | bool = True,
    on_outcome: Callable[[Arm, int, Outcome], None] | None = None,
    on_epoch: Callable[[tuple[Epoch, ...]], None] | None = None,
) -> Comparison:
    """Fit every arm with every seed, and measure what each reaches.

    What is finished is kept in the cache by content and not done again; a training that was
    stopped goes on from its checkpoint.

    Parameters
    ----------
    index : Index
    backbone : Backbone
    arms : sequence of Arm
        Two or more; the first is the reference.
    seeds : sequence of int
        Of the validation split and of the training.
    size_px : int, optional
        Side of the crops; default the backbone's own.
    cache : Path, optional
    device : str, optional
    progress : bool or callable, default True
        As for :func:`headstart.fit`.
    on_outcome : function, optional
        Called with the arm, the seed and the outcome as each is known.
    on_epoch : function, optional
        Called after each epoch of a training with the epochs so far.

    Raises
    ------
    InputError
        There are no two arms of different names, or no seed.
    DataError
        A class has too few images to validate on.
    """
    from headstart.comparison.fitting import Fitter
    from headstart.features import cache_folder

    root, shown = cache or cache_folder(), resolve(progress)
    fitter = Fitter(
        backbone=backbone,
        classes=index.classes,
        test=index.test,
        size_px=size_px or backbone.preprocessing.size_px,
        cache=root,
        device=device,
        progress=shown,
        on_epoch=on_epoch,
    )
    return compare_with(
        fitter, index, arms, seeds=seeds, cache=root, progress=shown, on_outcome=on_outcome
    )


def compare_with(
    fitter: FitsArms,
    index: Examples[Any],
    arms: Sequence[Arm],
    *,
    seeds: Sequence[int],
    cache: Path,
    progress: Progress = silent,
    on_outcome: Callable[[Arm, int, Outcome], None] | None = None,
    noun: str = "image",
) -> Comparison:
    """`compare` with whatever fits the arms, be they of images or of texts.

    `index`, `arms`, `seeds`, `cache`, `progress`, `on_outcome`: as in `compare`. `noun`: what an
    example is called.
    """
    names = [arm.name for arm in arms]
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(
            f"a comparison needs two or more arms of different names, got {', '.join(names)}"
        )
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(
            f"a comparison needs one or more different seeds, got {', '.join(map(str, seeds))}"
        )
    splits = [make_split(index, seed) for seed in seeds]
    found: dict[str, list[Outcome]] = {name: [] for name in names}
    n_done = 0
    progress("compare", n_done, len(arms) * len(splits))
    for split in splits:
        for arm in arms:
            path = place(cache, fitter.identity, split, arm)
            outcome = recall(path)
            if outcome is None:
                outcome = fitter.fit(arm, split, path.with_suffix(""))
                keep(path, outcome)
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)  # checkpoints of it
            found[arm.name].append(outcome)
            n_done += 1
            progress("compare", n_done, len(arms) * len(splits))
            if on_outcome is not None:
                on_outcome(arm, split.seed, outcome)
    return Comparison(
        arms=tuple(arms),
        seeds=tuple(seeds),
        outcomes={name: tuple(done) for name, done in found.items()},
        n_fit=len(splits[0].fit),
        n_val=len(splits[0].val),
        n_test=len(index.test),
        noun=noun,
        is_val_shared=bool(index.val),
        test_labels=tuple(r.label for r in index.test),
        is_uneven=index.is_uneven,
        val_groups=groups_of_splits(splits),
        test_groups=groups_of(index.test),
    )


def groups_of_splits(splits: Sequence[Split]) -> tuple[list[str], ...] | None:
    """Of each split, the groups of its validation examples; None where the data have none."""
    found = [groups_of(split.val) for split in splits]
    known = tuple(groups for groups in found if groups is not None)
    return known if len(known) == len(splits) else None


def make_split(index: Examples[Any], seed: int) -> Split:
    """Hold out a tenth of the training images (a fifth of fewer than 1,000), duplicates together.

    A split of the data's own with validation images is kept as it is.

    Raises DataError where a class would have no image left to fit on or to validate on.
    """
    from headstart.data import duplicate_groups, training_records

    records = training_records(index)
    if index.val:
        fit, val = index.train, index.val
    else:
        n_folds = 10 if len(records) >= MANY_IMAGES else N_FOLDS
        folds = training_folds(index, records, n_folds=n_folds, seed=seed)
        # The only image of a class stays with those that are fitted on.
        held = (folds == 0) & judgeable(np.array([r.label for r in records]), folds)
        fit = tuple(r for r, is_held in zip(records, held, strict=True) if not is_held)
        val = tuple(r for r, is_held in zip(records, held, strict=True) if is_held)
    if not val:
        raise DataError(
            "no example can be held out to validate on: every class has too few training examples"
        )
    return Split(seed=seed, fit=fit, val=val, groups=tuple(duplicate_groups(index, fit).tolist()))


def _sentence(c: Comparison) -> str:
    on = f"on the validation {c.noun}s"
    if c.taken == c.reference.name:
        runner = max((n for n in c.outcomes if n != c.taken), key=c.val_accuracy)
        gain = c.val_statement(runner, c.taken)
        if points(gain.value) == "0.0":
            n = c.n_val * (1 if c.is_val_shared else len(c.seeds))
            if unseen_difference(gain, n) is not None:
                few = f"{counted(n, f'validation {c.noun}')} are too few"
                return f"Take {c.taken}: {few} to tell {runner}, the next, from it."
            return f"Take {c.taken}: {runner}, the next, is as accurate {on}."
        return (
            f"Take {c.taken}: {runner} comes next, {gain} points from it {on} "
            f"({significance(gain)})."
        )
    gain = c.val_statement(c.taken, c.reference.name)
    text = f"Take {c.taken}: {gain} points against {c.reference.name} {on} ({significance(gain)})"
    time = against_time(c.seconds(c.taken), c.seconds(c.reference.name))
    return headline(f"{text}, {time}.", f"{text}.")


def _detail(c: Comparison) -> str:
    """Balanced accuracy of uneven classes; the test difference and the times, if any are to be told."""
    balanced, plain = c.test_balanced(c.taken), c.test_accuracy(c.taken)
    uneven = ""
    if c.is_uneven and balanced is not None:
        uneven = (
            f"The classes are uneven: the balanced accuracy of {c.taken} on the test {c.noun}s is "
            f"{balanced}, its accuracy {plain}. "
        )
    return (uneven + _against_reference(c)).strip()


def _against_reference(c: Comparison) -> str:
    if c.taken == c.reference.name:
        return ""
    time = against_time(c.seconds(c.taken), c.seconds(c.reference.name))
    test = c.test_difference(c.taken)
    on_test = ""
    if test is not None:
        on_test = f"On the test {c.noun}s: {test} points ({significance(test)}). "
    return f"{on_test}A fit with {c.taken} is done {time}."
