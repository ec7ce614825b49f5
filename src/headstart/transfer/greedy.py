"""Greedy forward concatenation: which blocks of features to set side by side, by cross-validation.

The idea is Head2Toe's (Evci et al. 2022, "Head2Toe: utilizing intermediate representations for
better transfer learning"): what a task needs may lie in earlier layers. Here whole blocks are
chosen, not single features, and each counts the same. Sets are judged by a ridge classifier, whose
cross-validation has a closed form, so that each is judged on several divisions into folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.heads import PairedDifference, repeated_difference
from headstart.heads.ridge import cross_validate_ridge
from headstart.progress import Progress, silent

RIDGES = (0.1, 0.3, 1.0)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One block more.

    Attributes
    ----------
    added : int
        The candidate that gained most.
    correct : bool array (n_repeats, n)
        Held-out images recognised by the set with it.
    gain : PairedDifference, optional
        Over the set without it; None for the first.
    is_taken : bool
        Whether the gain is above the noise; a step that is not taken is the last.
    """

    added: int
    correct: NDArray[np.bool_]
    gain: PairedDifference | None
    is_taken: bool

    @property
    def accuracy(self) -> float:
        """Share of the held-out images recognised, over all divisions."""
        return float(self.correct.mean())


def forward_selection(
    grams: Sequence[NDArray[np.float32]],
    y: NDArray[np.str_],
    folds: NDArray[np.int64],
    *,
    max_blocks: int = 6,
    progress: Progress = silent,
) -> list[Step]:
    """Start from the best block, add the one that gains most, stop when the gain is inside the noise.

    Parameters
    ----------
    grams : sequence of arrays (n, n)
        Products of the rows of each candidate, each row of unit length.
    y : array (n,)
        Labels.
    folds : int array (n_repeats, n)
        The fold that holds each image out, in each of several divisions.
    max_blocks : int, default 6
    progress : Progress

    Returns
    -------
    list of Step
        The first is the best block alone. The last may be the one that was not taken: its gain was
        within one standard error of zero.
    """
    n_most = sum(len(grams) - i for i in range(min(max_blocks, len(grams))))
    n_done = 0
    # Rows keep unit length in every set, so that one ridge suits all sets.
    ridge = _best_ridge(grams[-1], y, folds)
    steps: list[Step] = []
    total = np.zeros_like(grams[0])
    left = list(range(len(grams)))
    while left and len(steps) < max_blocks:
        tried = []
        for i in left:
            mean = (total + grams[i]) / np.float32(len(steps) + 1)
            tried.append(cross_validate_ridge(mean, y, folds, ridge))
            n_done += 1
            progress("add blocks", n_done, n_most)
        best = int(np.argmax([correct.mean() for correct in tried]))
        gain = repeated_difference(tried[best], steps[-1].correct) if steps else None
        is_taken = gain is None or (gain.value > 0 and not gain.is_tie)
        steps.append(Step(added=left[best], correct=tried[best], gain=gain, is_taken=is_taken))
        if not is_taken:
            break
        total = total + grams[left.pop(best)]
    progress("add blocks", n_most, n_most)
    return steps


def _best_ridge(gram: NDArray[np.float32], y: NDArray[np.str_], folds: NDArray[np.int64]) -> float:
    accuracies = [cross_validate_ridge(gram, y, folds, ridge).mean() for ridge in RIDGES]
    return RIDGES[int(np.argmax(accuracies))]
