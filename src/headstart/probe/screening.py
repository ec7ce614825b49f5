"""Screening: which candidates are worth an SVM, judged by ridge classifiers at a small part of its cost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.heads.accuracy import paired_difference
from headstart.heads.examples import Normalize, Rows
from headstart.heads.ridge import sweep_ridge
from headstart.probe.judging import Scores, keep, recall, width

# Examples times classes up to which all candidates are judged by SVMs, which then takes seconds.
SMALL = 40_000
# A candidate is left out where it is behind the best by so many standard errors of the difference,
STANDARD_ERRORS = 2.0
# and by so many points: the ridge classifier and the SVM rank candidates a little differently.
MARGIN = 0.01


def is_small(n_samples: int, n_classes: int) -> bool:
    """Whether all candidates can be judged by SVMs in a few seconds."""
    return n_samples * n_classes <= SMALL


def screen(
    X: ArrayLike | Rows,
    y: ArrayLike,
    folds: NDArray[np.integer],
    *,
    normalize: Normalize = "l2",
    kept_at: Path | None = None,
) -> Scores:
    """Cross-validate a ridge classifier, as :func:`headstart.probe.judge` does an SVM.

    Returns
    -------
    Scores
        With ``is_screened``, without decisions, and NaN for C.
    """
    if kept_at is not None and (known := recall(kept_at)) is not None:
        return known
    path = sweep_ridge(X, y, folds, normalize=normalize)
    found = Scores(
        n_features=width(X),
        C=float("nan"),
        accuracy_by_C=(),
        decisions=np.zeros((0, 0), dtype=np.float32),
        correct=path.correct,
        is_screened=True,
    )
    if kept_at is not None:
        keep(kept_at, found)
    return found


def finalists(correct: Sequence[NDArray[np.bool_]], always: Collection[int] = ()) -> list[int]:
    """Candidates that screening cannot rule out as the best.

    Parameters
    ----------
    correct : sequence of bool array (n,)
        Whether each candidate's ridge classifier classified each held-out example correctly.
    always : collection of int
        Positions that are among them whatever they reached: the usual layer.

    Returns
    -------
    list of int
        Ascending.
    """
    best = max(range(len(correct)), key=lambda i: float(correct[i].mean()))
    behind = [paired_difference(c, correct[best]) for c in correct]
    return [
        i
        for i, d in enumerate(behind)
        if i in always or -d.value <= max(MARGIN, STANDARD_ERRORS * d.standard_error)
    ]
