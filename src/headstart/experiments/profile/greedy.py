"""Greedy forward concatenation: which blocks of features to set side by side, by cross-validation.

The idea is Head2Toe's (Evci et al. 2022, "Head2Toe: utilizing intermediate representations for
better transfer learning"): what a task needs may lie in earlier layers. Here whole blocks are
chosen, not single features, and each counts the same. Sets are judged by a ridge classifier, whose
cross-validation has a closed form, so that each is judged on several divisions into folds.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.heads import PairedDifference, repeated_difference
from headstart.heads.parallel import map_pieces
from headstart.heads.ridge import cross_validate_ridge
from headstart.probe.rules import first_tie
from headstart.progress import Progress, silent

RIDGES = (0.1, 0.3, 1.0)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One block more."""

    added: int  # the candidate that gained most
    correct: NDArray[np.bool_]  # (n_repeats, n); held-out images recognised by the set with it
    gain: PairedDifference | None  # over the set without it; None for the first
    is_taken: bool  # whether it is part of the set that was chosen

    @property
    def accuracy(self) -> float:
        """Share of the held-out images recognised, over all divisions."""
        return float(self.correct.mean())


def forward_selection(
    grams: Sequence[NDArray[np.float32]],
    y: NDArray[np.str_],
    folds: NDArray[np.int64],
    *,
    groups: Sequence[str] | None = None,
    max_blocks: int = 6,
    progress: Progress = silent,
) -> list[Step]:
    """Start from the best block, the last; add what gains most; take the smallest set as good as the best.

    Small gains may add up to a large one, so blocks are added as long as there is any gain; then
    the smallest set is taken that ties with the most accurate and is at most one point behind. The
    first step is the best block alone. Those after the set that was chosen are not taken: all that
    they bring together is within one standard error of nothing, and at most one point.

    Parameters
    ----------
    grams : sequence of arrays (n, n)
        Products of the rows of each candidate, each row of unit length; the last one is of the best.
    y : array (n,)
        Labels.
    folds : int array (n_repeats, n)
        The fold that holds each image out, in each of several divisions.
    groups : sequence of str, length n, optional
        Images of one group are not independent (:func:`headstart.heads.paired_gain`).
    max_blocks : int, default 6
    """
    n_most = 1 + sum(len(grams) - i for i in range(1, min(max_blocks, len(grams))))
    done = itertools.count(1)
    # Rows keep unit length in every set, so that one ridge suits all sets.
    ridge = _best_ridge(grams[-1], y, folds)

    def judge(total: NDArray[np.float32], n_blocks: np.float32, added: int) -> NDArray[np.bool_]:
        correct = cross_validate_ridge((total + grams[added]) / n_blocks, y, folds, ridge)
        progress("add blocks", next(done), n_most)
        return correct

    steps: list[Step] = []
    total = np.zeros_like(grams[0])
    left = list(range(len(grams)))
    while left and len(steps) < max_blocks:
        with_each = partial(judge, total, np.float32(len(steps) + 1))
        # Which single block is best is for the caller to say, by better models than these.
        some = left if steps else left[-1:]
        tried = map_pieces(with_each, some, torch.device("cpu"))
        best = int(np.argmax([correct.mean() for correct in tried]))
        added = some[best]
        gain = None
        if steps:
            gain = repeated_difference(tried[best], steps[-1].correct, groups=groups)
        steps.append(Step(added=added, correct=tried[best], gain=gain, is_taken=False))
        if gain is not None and gain.value <= 0:
            break
        total = total + grams[added]
        left.remove(added)
    progress("add blocks", n_most, n_most)
    n_taken = 1 + first_tie([step.correct for step in steps], groups)
    return [replace(step, is_taken=i < n_taken) for i, step in enumerate(steps)]


def _best_ridge(gram: NDArray[np.float32], y: NDArray[np.str_], folds: NDArray[np.int64]) -> float:
    accuracies = [cross_validate_ridge(gram, y, folds, ridge).mean() for ridge in RIDGES]
    return RIDGES[int(np.argmax(accuracies))]
