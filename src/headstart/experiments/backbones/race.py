"""A race of backbones: on growing parts of the training images, those that are clearly behind leave.

A backbone leaves where it is more than a point behind the leader beyond the noise: a paired test on
the same images. The level of 5 % is shared out (Bonferroni) among all tests of the race, so that the
best one leaves by bad luck in at most one race of twenty. The point is a margin for backbones that
gain more from further images than the leader does. This is the idea of Hoeffding races (Maron and
Moore 1994) and of successive halving (Jamieson and Talwalkar 2016), with paired tests instead of
bounds or fixed shares.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from headstart.experiments.backbones.result import Left, Race, Round
from headstart.heads import PairedDifference, accuracy_interval, paired_gain
from headstart.results import Difference

Run = Callable[[str, NDArray[np.intp]], NDArray[np.bool_]]
"""Given a backbone and rows: which of these a classifier that had not seen them recognises."""

# Training images of the first round, and of each class, at least.
FIRST, FIRST_A_CLASS = 200, 10
GROWTH = 2
MARGIN = 0.01
LEVEL = 0.05


def race(
    names: Sequence[str],
    run: Run,
    y: NDArray[np.str_],
    folds: NDArray[np.int64],
    *,
    n_test: int = 0,
    budget_s: float | None = None,
    seed: int = 0,
    groups: Sequence[str] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[list[str], Race]:
    """The backbones that are left to be judged on all images, and who left when and why.

    Parameters
    ----------
    y, folds : array (n,)
        Labels of the training images, and the fold that holds each out.
    n_test : int
        Images that those left are run on in the end, beside all of training.
    budget_s : float, optional
        Seconds that the whole should take, the last round included: where the time that was measured
        so far says that those left do not fit, the least accurate leave.
    seed : int
        Of the order in which images join.
    groups : sequence of str, length n, optional
        Images of one group are not independent (:func:`headstart.heads.paired_gain`).
    """
    started, left = clock(), list(names)
    sizes = round_sizes(len(y), len(np.unique(y)))
    z = -ndtri(LEVEL / max(1, len(sizes) * (len(names) - 1)))
    rounds: list[Round] = []
    gone: list[Left] = []
    n_seen = 0
    for size, upcoming in pairwise([*sizes, len(y) + n_test]):
        if len(left) == 1:
            break
        began, rows = clock(), part_of(y, folds, size / len(y), seed)
        found = _Found(
            n_images=len(rows), groups=None if groups is None else [groups[i] for i in rows]
        )
        for name in left:
            before = clock()
            found.correct[name] = run(name, rows)
            found.image_s[name] = (clock() - before) / max(len(rows) - n_seen, 1)
        n_seen = len(rows)
        rounds.append(Round(n_images=n_seen, names=tuple(left), seconds=clock() - began))
        leaving = [found.left(name, "behind") for name in left if found.is_behind(name, z)]
        left = [name for name in left if name not in {one.name for one in leaving}]
        while budget_s is not None and len(left) > 1:
            needed_s = sum(found.image_s[name] for name in left) * (upcoming - n_seen)
            if clock() - started + needed_s <= budget_s:
                break
            last = min((n for n in left if n != found.leader), key=found.accuracy)
            leaving.append(found.left(last, "budget"))
            left.remove(last)
        gone += leaving
    return left, Race(rounds=tuple(rounds), left=tuple(gone), seconds=clock() - started)


@dataclass(kw_only=True)
class _Found:
    """What one round found: what each backbone recognised, and its seconds for a new image."""

    n_images: int
    groups: list[str] | None = None
    correct: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    image_s: dict[str, float] = field(default_factory=dict)

    def accuracy(self, name: str) -> float:
        return float(self.correct[name].mean())

    @property
    def leader(self) -> str:
        return max(self.correct, key=self.accuracy)

    def _behind(self, name: str) -> PairedDifference:
        leader = self.correct[self.leader]
        return paired_gain(self.correct[name], leader, groups=self.groups)

    def is_behind(self, name: str, z: float) -> bool:
        """Whether by more than the margin and `z` standard errors."""
        found = self._behind(name)
        return -found.value - MARGIN > z * found.standard_error

    def left(self, name: str, reason: str) -> Left:
        return Left(
            name=name,
            n_images=self.n_images,
            cv=accuracy_interval(self.correct[name], groups=self.groups),
            leader=self.leader,
            behind=Difference.of(self._behind(name)),
            reason=reason,
        )


def round_sizes(n: int, n_classes: int) -> list[int]:
    """Images of each round before the last, which has all `n`; none where they are few."""
    size = max(FIRST, FIRST_A_CLASS * n_classes)
    sizes = []
    while size * GROWTH <= n:
        sizes.append(size)
        size *= GROWTH
    return sizes


def part_of(
    y: NDArray[np.str_], folds: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.intp]:
    """Rows of a share of each class in each fold, at least one; a larger share holds the smaller."""
    order = np.random.default_rng(seed).permutation(len(y))
    taken: list[NDArray[np.intp]] = []
    for label in np.unique(y):
        for fold in np.unique(folds):
            own = order[(y[order] == label) & (folds[order] == fold)]
            taken.append(own[: int(np.ceil(share * len(own)))])
    return np.sort(np.concatenate(taken))
