"""The training images in parts that are held out in turn, and what the SVM says of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import one_line
from headstart.heads import stratified_folds
from headstart.probe import Goal, fit_best, judge, judgeable
from headstart.runs.averaging import cross_fitted

if TYPE_CHECKING:
    from headstart.data import Record
    from headstart.features import FeatureStore
    from headstart.heads import Temperature
    from headstart.runs.choose import Candidate
    from headstart.sources.blocks import Blocks


Head = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Training images, each in one part."""

    records: tuple[Record, ...]  # length n
    # (n,); from 0; -1 for the only image of a class, which is never held out
    part: NDArray[np.int64]
    scores: NDArray[np.floating]  # (n, K); of the SVM that was fitted without the image's part

    @property
    def n_parts(self) -> int:
        """How many there are."""
        return int(self.part.max()) + 1

    @property
    def n_fit(self) -> int:
        """How many images are left without the first part."""
        return int((self.part != 0).sum())

    def rows(self, parts: Iterable[int]) -> NDArray[np.intp]:
        """The rows of some parts' images, part by part."""
        return np.concatenate([np.flatnonzero(self.part == k) for k in parts])

    def images(self, parts: Iterable[int]) -> list[Record]:
        """The images of some parts, part by part."""
        return [self.records[i] for i in self.rows(parts)]

    def svm(self, parts: Iterable[int], temperature: Temperature) -> NDArray[np.float64]:
        """The SVM's probabilities of those images."""
        return temperature.probabilities(self.scores[self.rows(parts)])

    def lacking(self, part: int) -> str:
        """Why a part cannot be held out; empty where it can."""
        if not (self.part == part).any():
            return "every class has too few training images"
        left = {r.label for r, p in zip(self.records, self.part, strict=True) if p != part}
        lacking = sorted({r.label for r in self.records} - left)
        if not lacking:
            return ""
        where = f"class {one_line(lacking[0])!r} lies in the validation fold alone"
        return f"{where}: it has too few images"


def divide(
    records: tuple[Record, ...],
    svm: Candidate,
    folds: NDArray[np.int64],
    n_parts: int = 0,
    *,
    groups: ArrayLike,
    rows: Callable[[Blocks, Sequence[Record]], Any],
    seed: int,
    weight: NDArray[np.float64] | None = None,
) -> Parts:
    """The folds of the cross-validation as parts, or fewer and larger ones.

    Parameters
    ----------
    records : tuple of Record, length n
    svm : Candidate
        With the scores of its cross-validation.
    folds : int array (n,)
    n_parts : int
        0: the folds. Otherwise SVMs are refitted without each part, with the same C. It was
        chosen with all images, which favours the SVM if anything.
    groups : array (n,)
        Duplicates, which stay together.
    rows : callable
        Gives the features of images.
    weight : float64 array (n,), optional
        How often each image counts; one that does not is never held out.
    """
    counts = np.ones(len(records), dtype=bool) if weight is None else weight > 0
    if not n_parts:
        part = _but(svm.judged & counts, folds)
        return Parts(records=records, part=part, scores=svm.scores.decisions)
    y = np.array([r.label for r in records])
    part = stratified_folds(y, groups, n_parts, seed)
    scores = held_out_scores(svm, rows, records, y, part, weight)
    part = _but(judgeable(y, part) & counts, part)
    return Parts(records=records, part=part, scores=scores)


def held_out_scores(
    svm: Candidate,
    rows: Callable[[Blocks, Sequence[Record]], Any],
    records: Sequence[Record],
    y: NDArray[np.str_],
    folds: NDArray[np.int64],
    weight: NDArray[np.float64] | None = None,
) -> NDArray[np.floating]:
    """Scores (n, K) of a candidate refitted with its C on other folds; of a mean, with votes of these."""
    each = [
        c.scores.decisions  # nothing of a head that is given depends on the folds
        if c.blocks.head is not None
        else judge(
            rows(c.blocks, records), y, folds, Cs=[c.scores.C], goal=Goal(weight=weight)
        ).decisions
        for c in svm.members or (svm,)
    ]
    if not svm.members:
        return each[0]
    member = np.unique(y, return_inverse=True)[1]
    return cross_fitted(each, member, folds, judgeable(y, folds), weight)


def _but(judged: NDArray[np.bool_], part: NDArray[np.int64]) -> NDArray[np.int64]:
    """The parts, counted from 0 again, without the images that cannot be judged."""
    found = np.full(len(part), -1)
    found[judged] = np.unique(part[judged], return_inverse=True)[1]
    return found


def first_layer(
    records: Sequence[Record],
    rows: NDArray[np.bool_],
    folds: NDArray[np.int64],
    *,
    store: FeatureStore,
    tap: str,
    Cs: Sequence[float],
    weight: NDArray[np.float64] | None = None,
) -> Head:
    """The linear SVM on the features of a tap, scaled so that its softmax fits.

    C and the factor come from cross-validation within `rows`, over the folds that are there.
    """
    if weight is not None:
        rows = rows & (weight > 0)
    taken = [r for r, is_taken in zip(records, rows, strict=True) if is_taken]
    y = np.array([r.label for r in taken])
    within = np.unique(folds[rows], return_inverse=True)[1]
    if within.max() < 1:  # two folds, of which one is held out
        within = np.arange(len(y)) % 2
    goal = Goal(weight=None if weight is None else weight[rows])
    layer = fit_best(store.read([r.digest for r in taken], tap), y, within, Cs=Cs, goal=goal)
    return layer.coef, layer.intercept
