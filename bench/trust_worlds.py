"""Worlds in which the truth is known, and how often what Headstart says of them is so.

A world is made of a classifier that was fitted on real features and the images that it has not
seen (its *pool*). Its true accuracy is that on the pool; a test draws images from the pool with
replacement, so that they are what the intervals take them for, independent draws from a population.
Everything here sees arrays only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from headstart.heads import (
    LinearSVM,
    PairedDifference,
    accuracy_interval,
    balanced_accuracy_interval,
    paired_difference,
    repeated_accuracy,
    repeated_difference,
)

Rng = np.random.Generator
LEVEL = 0.95
# Of a verdict: with some 50 rows, one in a thousand is seldom wrong by chance.
CONFIDENCE = 0.999


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How often something was so.

    Attributes
    ----------
    hits, n : int
        Worlds in which it was so, and all worlds.
    """

    hits: int
    n: int

    @property
    def share(self) -> float:
        """``hits / n``."""
        return self.hits / self.n

    def ends(self, level: float = LEVEL) -> tuple[float, float]:
        """The exact binomial interval of the share (Clopper and Pearson 1934)."""
        found = stats.binomtest(self.hits, self.n).proportion_ci(level, method="exact")
        return float(found.low), float(found.high)

    def is_below(self, nominal: float) -> bool:
        """Whether the share is below ``nominal`` by more than these worlds' luck."""
        return self.ends(CONFIDENCE)[1] < nominal

    def is_above(self, nominal: float) -> bool:
        """Whether it is above."""
        return self.ends(CONFIDENCE)[0] > nominal


@dataclass(kw_only=True)
class Counter:
    """Tallies by name, in the order in which the names came up."""

    found: dict[str, list[bool]] = field(default_factory=dict)

    def add(self, name: str, is_so: bool) -> None:
        """One more world."""
        self.found.setdefault(name, []).append(bool(is_so))

    def tallies(self) -> dict[str, Tally]:
        """What was counted."""
        return {k: Tally(hits=sum(v), n=len(v)) for k, v in self.found.items()}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Two classifiers on the images of a pool.

    Attributes
    ----------
    y : int array (n,)
        True classes.
    a, b : int array (n,)
        What each predicted.
    """

    y: NDArray[np.int64]
    a: NDArray[np.int64]
    b: NDArray[np.int64]


def part_classes(
    y: NDArray[np.int64], n_train: int, rng: Rng
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """``n_train`` images of each class to train on, and all others."""
    shuffled = rng.permutation(len(y))
    train = np.concatenate([shuffled[y[shuffled] == c][:n_train] for c in np.unique(y)])
    return np.sort(train), np.setdiff1d(np.arange(len(y)), train)


def judge(
    features: tuple[NDArray[np.float32], NDArray[np.float32]],
    y: NDArray[np.int64],
    train: NDArray[np.intp],
    pool: NDArray[np.intp],
) -> Judged:
    """The linear SVM (C = 1) on two sorts of features, fitted on ``train``, asked of ``pool``."""
    a, b = (LinearSVM().fit(X[train], y[train]).predict(X[pool]) for X in features)
    return Judged(y=y[pool], a=a, b=b)


def draw_independent(y: NDArray[np.int64], n: int, rng: Rng) -> NDArray[np.intp]:
    """``n`` images, each any of the pool."""
    return rng.integers(0, len(y), n)


def draw_stratified(y: NDArray[np.int64], n: int, rng: Rng) -> NDArray[np.intp]:
    """``n`` images, of each class its share: a test side as a split makes it."""
    return np.concatenate(
        [rng.choice(np.flatnonzero(y == c), k) for c, k in zip(*class_counts(y, n), strict=True)]
    )


def class_counts(y: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The classes, and how many of ``n`` images each gets; at least one."""
    classes, sizes = np.unique(y, return_counts=True)
    share = sizes * n / len(y)
    counts = np.maximum(np.floor(share).astype(np.int64), 1)
    for c in np.argsort(counts - share, kind="stable")[: max(0, n - counts.sum())]:
        counts[c] += 1
    while counts.sum() > max(n, len(classes)):  # classes that are too small for one took from all
        counts[np.argmax(np.where(counts > 1, counts - share, -np.inf))] -= 1
    return classes, counts


def coverage(judged: Judged, n: int, n_draws: int, rng: Rng) -> Counter:
    """Whether the intervals of ``n_draws`` tests of ``n`` images hold the truth of the pool."""
    counter = Counter()
    right_a, right_b = judged.a == judged.y, judged.b == judged.y
    classes, counts = class_counts(judged.y, n)
    of_class = np.array([right_a[judged.y == c].mean() for c in classes])
    shares, recall = float(counts @ of_class / counts.sum()), float(of_class.mean())
    for _ in range(n_draws):
        drawn = draw_independent(judged.y, n, rng)
        whole = accuracy_interval(right_a[drawn])
        counter.add("accuracy", whole.low <= right_a.mean() <= whole.high)
        paired = paired_difference(right_a[drawn], right_b[drawn])
        difference = right_a.mean() - right_b.mean()
        counter.add("paired difference", paired.low <= difference <= paired.high)
        low, high = plain_wald(paired)
        counter.add("paired difference, plain Wald", low <= difference <= high)
        drawn = draw_stratified(judged.y, n, rng)
        whole = accuracy_interval(right_a[drawn])
        counter.add("accuracy, stratified test", whole.low <= shares <= whole.high)
        balanced = balanced_accuracy_interval(judged.y[drawn], judged.a[drawn])
        counter.add("balanced accuracy", balanced.low <= recall <= balanced.high)
        twice = np.repeat(draw_independent(judged.y, n // 2, rng), 2)
        copies = accuracy_interval(right_a[twice])
        counter.add("accuracy, every image twice", copies.low <= right_a.mean() <= copies.high)
    return counter


def plain_wald(paired: PairedDifference) -> tuple[float, float]:
    """The interval of the textbook: the value and 1.96 of its standard errors to both sides."""
    half = float(stats.norm.ppf(0.5 + LEVEL / 2)) * paired.standard_error
    return paired.value - half, paired.value + half


def exact_coverage(p: float, n: int) -> float:
    """Coverage of Wilson's interval where ``n`` independent images are each right with ``p``."""
    hits = np.arange(n + 1)
    ends = [accuracy_interval(np.arange(n) < k) for k in hits]
    holds = np.array([e.low <= p <= e.high for e in ends])
    return float(stats.binom.pmf(hits, n, p) @ holds)


def repeated_coverage(
    right_a: NDArray[np.bool_], right_b: NDArray[np.bool_], n: int, k: int, n_draws: int, rng: Rng
) -> Counter:
    """The same of ``k`` trainings judged on the same ``n`` images.

    The truth is the mean over all trainings (rows) and all images of the pool (columns).
    """
    counter = Counter()
    truth, difference = right_a.mean(), right_a.mean() - right_b.mean()
    for _ in range(n_draws):
        rows = rng.choice(len(right_a), k, replace=False)
        drawn = rng.integers(0, right_a.shape[1], n)
        a, b = right_a[np.ix_(rows, drawn)], right_b[np.ix_(rows, drawn)]
        whole = repeated_accuracy(a)
        counter.add(f"accuracy of {k} repeats", whole.low <= truth <= whole.high)
        paired = repeated_difference(a, b)
        counter.add(f"difference of {k} repeats", paired.low <= difference <= paired.high)
    return counter


def null_worlds(
    right_a: NDArray[np.bool_],
    right_b: NDArray[np.bool_],
    n: int,
    n_draws: int,
    rng: Rng,
    rules: Mapping[str, Callable[[PairedDifference], bool]],
) -> Counter:
    """How often a rule tells two equally good classifiers apart.

    For every image a coin decides which of the two plays which part: then both are equally good,
    and disagree as often, and on the same images, as the real ones.
    """
    counter = Counter()
    for _ in range(n_draws):
        one, two = swapped(right_a, right_b, n, rng)
        found = paired_difference(one, two)
        for name, rule in rules.items():
            counter.add(name, rule(found))
    return counter


def swapped(
    a: NDArray[np.generic], b: NDArray[np.generic], n: int, rng: Rng
) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """``n`` images of the pool, the parts of the two dealt by a coin for each."""
    drawn = rng.integers(0, len(a), n)
    is_swapped = rng.random(n) < 0.5
    one, two = a[drawn], b[drawn]
    return np.where(is_swapped, two, one), np.where(is_swapped, one, two)


def hindsight(
    right: NDArray[np.bool_], chosen: NDArray[np.bool_], rng: Rng, n_halves: int = 200
) -> tuple[float, float]:
    """How much more accurate the best candidate would have been than what was chosen.

    Parameters
    ----------
    right : bool array (n_candidates, n_test)
        Which test images each candidate recognises.
    chosen : bool array (n_test,)
        Which of them the choice recognises; it need not be a candidate.
    rng : numpy.random.Generator
        Of the halves.
    n_halves : int

    Returns
    -------
    plain : float
        Best test accuracy less that of the choice: too large, because the best of many is partly lucky
        on the very images that it is then judged on.
    honest : float
        The best on one half of the test images judged on the other half, less the choice there;
        the mean of many halves. Negative where choosing on that half would have done worse.
    """
    n = right.shape[1]
    first = np.argsort(rng.random((n, n_halves)), axis=0) < n // 2
    here, there = (right.astype(np.float32) @ half for half in (first, ~first))
    best = here.argmax(axis=0)
    gained = there[best, np.arange(n_halves)] - chosen.astype(np.float32) @ ~first
    plain = right.mean(axis=1).max() - chosen.mean()
    return float(plain), float(gained.mean() / (n - n // 2))


def merged(counters: Sequence[Counter]) -> Counter:
    """Several counters as one."""
    whole = Counter()
    for name, is_so in _pairs(counters):
        whole.add(name, is_so)
    return whole


def _pairs(counters: Sequence[Counter]) -> Iterator[tuple[str, bool]]:
    for counter in counters:
        for name, values in counter.found.items():
            yield from ((name, v) for v in values)
