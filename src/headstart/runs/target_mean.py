"""The mean of what several candidates predict of labels, or of a number, which is a linear head itself.

Votes say how much each counts, as of :mod:`headstart.runs.averaging`, but by the squared error of held-out
predictions, so that one table of their products serves all votes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.probe.judging import Scores
from headstart.probe.targets import Truth
from headstart.runs.averaging import MORE_VOTES, VOTES_OF_PRIOR
from headstart.runs.choose import Candidate
from headstart.sources.blocks import Averaged, Blocks

Values = NDArray[np.float64]

# Predictions of all candidates that are in memory at once.
MOST_VALUES = 20_000_000


def average_targets(
    candidates: Sequence[Candidate],
    prior: int,
    truth: Truth,
    folds: NDArray[np.integer],
    average: Callable[[Sequence[Blocks]], Averaged],
) -> Candidate | None:
    """The mean of the prior and of the candidates with which it predicts better; None where none is.

    It is judged, fold by fold, with votes by the predictions of the other folds. Parameters are as of
    :func:`headstart.runs.averaging.average_best`.
    """
    first = candidates[prior]
    usable = [first, *(c for c in candidates if c is not first)]
    decisions = [c.scores.decisions for c in usable]
    targets = truth.targets
    products = {fold: _products(decisions, targets, folds == fold) for fold in np.unique(folds)}
    total = np.sum(list(products.values()), axis=0)
    votes = _votes(total)
    members = tuple(c for c, n in zip(usable, votes, strict=True) if n)
    if len(members) == 1:
        return None
    found = np.zeros(decisions[0].shape)
    for fold, own in products.items():
        out = folds == fold
        for each, n in zip(decisions, _votes(total - own), strict=True):
            found[out] += n / (VOTES_OF_PRIOR + MORE_VOTES) * each[out]
    blocks = dataclasses.replace(average([c.blocks for c in members]), of="ridge regression")
    scores = Scores(
        n_features=sum(blocks.widths.values()),
        C=math.nan,
        accuracy_by_C=(),
        decisions=found.astype(np.float32),
        correct=truth.correct(found),
        optimised=truth.merits(found),
    )
    return Candidate(
        blocks=blocks,
        macs=0,
        scores=scores,
        judged=first.judged,
        members=members,
        votes=tuple(n for n in votes if n),
    )


def _products(
    decisions: Sequence[NDArray[np.floating]], targets: Values, rows: NDArray[np.bool_]
) -> Values:
    """Sums of products of the errors of each two candidates on some rows, (m, m)."""
    at, m = np.flatnonzero(rows), len(decisions)
    found = np.zeros((m, m))
    n_rows = max(1, MOST_VALUES // (m * targets.shape[1]))
    for start in range(0, len(at), n_rows):
        some = at[start : start + n_rows]
        errors = np.stack([(each[some] - targets[some]).ravel() for each in decisions])
        found += errors @ errors.T
    return found


def _votes(products: Values) -> list[int]:
    """How many votes each candidate gets; the first is the prior."""
    votes = np.zeros(len(products), dtype=np.int64)
    votes[0] = VOTES_OF_PRIOR
    for _ in range(MORE_VOTES):
        # The squared error of all votes and one more, but for what is the same of every candidate.
        votes[int((2 * products @ votes + products.diagonal()).argmin())] += 1
    return votes.tolist()
