"""The mean of the calibrated scores of several candidates, which is a linear head itself.

How much each counts is decided by votes: the candidate that is the most accurate as a rule has some from
the beginning, as with few examples cross-validation flatters others by luck; the rest are given one after
another to the candidate that makes the mean predict best (ensemble selection, Caruana et al. 2004, "Ensemble
selection from libraries of models").

The softmax of averaged calibrated scores is the weighted geometric mean of the candidates' probabilities,
scaled to sum to one: the logarithmic opinion pool of Genest and Zidek (1986, "Combining probability
distributions"). Each candidate's scores are linear in its own features, so their mean is linear in all
of them side by side, and everything that takes a linear head takes a mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.heads import fit_temperature
from headstart.probe.judging import Scores
from headstart.runs.choose import Candidate
from headstart.sources.blocks import Averaged, Blocks

Head = tuple[NDArray[np.float64], NDArray[np.float64]]
Weight = NDArray[np.float64] | None

VOTES_OF_PRIOR = 8
MORE_VOTES = 16
# Votes are given by no more probabilities than these: time grows with examples times classes.
MOST_PROBABILITIES = 1_000_000


def average_best(
    candidates: Sequence[Candidate],
    prior: int,
    y: NDArray[np.str_],
    average: Callable[[Sequence[Blocks]], Averaged],
    *,
    weight: Weight = None,
    merits: Callable[[NDArray[np.floating]], NDArray[np.float64] | None] = lambda _: None,
) -> Candidate | None:
    """The mean of the prior and of the candidates with which it predicts better.

    The prior has `VOTES_OF_PRIOR`; each of `MORE_VOTES` goes to the candidate with which the mean of all
    votes has the lowest log loss of held-out scores.

    Parameters
    ----------
    candidates : sequence of Candidate
    prior : int
        Position of the candidate that is the most accurate as a rule.
    y : array (n,)
        Labels.
    average : callable
        Gives the features of several candidates.
    weight : float64 array (n,), optional
        How often each example counts.
    merits : callable
        Gives the merits of held-out scores where another metric than accuracy is optimised.

    Returns
    -------
    Candidate or None
        None where the prior gets all votes, or cross-validation could judge nothing.
    """
    judged, member = candidates[prior].judged, np.unique(y, return_inverse=True)[1]
    if not judged.any() or (weight is not None and not weight[judged].sum() > 0):
        return None
    first = candidates[prior]
    usable = [first]
    usable += [
        c
        for c in candidates
        if c is not first and not (c.scores.is_screened or c.blocks.is_network)
    ]
    votes = _votes(usable, member, weight)
    members = tuple(c for c, n in zip(usable, votes, strict=True) if n)
    if len(members) == 1:
        return None
    votes = [n for n in votes if n]
    blocks = average([c.blocks for c in members])
    scales = _scales(members, votes, member, weight)
    decisions = mean_scores([c.scores.decisions for c in members], scales)
    return Candidate(
        blocks=blocks,
        macs=0,
        scores=Scores(
            n_features=sum(blocks.widths.values()),
            C=math.nan,
            accuracy_by_C=(),
            decisions=decisions,
            correct=decisions.argmax(axis=1) == member,
            optimised=merits(decisions),
        ),
        judged=judged,
        members=members,
        votes=tuple(votes),
    )


def mean_scores(
    decisions: Sequence[NDArray[np.floating]], scales: Sequence[float]
) -> NDArray[np.float32]:
    """Sum of scores (n, K), each times its scale."""
    total = sum(scale * scores for scores, scale in zip(decisions, scales, strict=True))
    return np.asarray(total, dtype=np.float32)


def member_scales(mean: Candidate, y: NDArray[np.str_], weight: Weight = None) -> list[float]:
    """What the scores of each member of a mean are multiplied by: its calibration times its share."""
    return _scales(mean.members, mean.votes, np.unique(y, return_inverse=True)[1], weight)


def mean_head(
    mean: Candidate,
    y: NDArray[np.str_],
    fit: Callable[[Candidate], Head],
    weight: Weight = None,
) -> Head:
    """The head (K, d) and intercepts (K,) of a mean, on the features of all members side by side.

    Parameters
    ----------
    mean : Candidate
    y : array (n,)
    fit : callable
        Gives the head of a member on its own features.
    weight : float64 array (n,), optional
        How often each example counts.
    """
    blocks = mean.blocks
    assert isinstance(blocks, Averaged)
    ends = np.cumsum(list(blocks.widths.values()))
    place = dict(zip(blocks.widths, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    scales = member_scales(mean, y, weight)
    coef, intercept = np.zeros((len(np.unique(y)), ends[-1])), np.zeros(len(np.unique(y)))
    for c, scale in zip(mean.members, scales, strict=True):
        own, constant = fit(c)
        columns = np.concatenate([place[key] for key in c.blocks.keys])
        # A joined row has length one: of so many blocks, each is divided by the root of their number.
        longer = math.sqrt(len(place) / len(c.blocks.keys))
        coef[:, columns] += scale * longer * own
        intercept += scale * constant
    return coef, intercept


def _votes(
    candidates: Sequence[Candidate], member: NDArray[np.integer], weight: Weight
) -> list[int]:
    """How many votes each candidate gets, the first of which is the prior."""
    rows = np.flatnonzero(candidates[0].judged)
    if weight is not None:
        rows = rows[weight[rows] > 0]
    n_most = max(1, MOST_PROBABILITIES // candidates[0].scores.decisions.shape[1])
    if len(rows) > n_most:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:n_most])
    counted = None if weight is None else weight[rows]
    truth = member[rows]
    scores = [
        np.float32(_scale(c, member, weight)) * np.asarray(c.scores.decisions)[rows]
        for c in candidates
    ]
    votes = [VOTES_OF_PRIOR] + [0] * (len(candidates) - 1)
    total = VOTES_OF_PRIOR * scores[0]
    for n in range(VOTES_OF_PRIOR + 1, VOTES_OF_PRIOR + MORE_VOTES + 1):
        losses = [_log_loss((total + each) / n, truth, counted) for each in scores]
        best = int(np.argmin(losses))
        votes[best] += 1
        total = total + scores[best]
    return votes


def _log_loss(scores: NDArray[np.floating], truth: NDArray[np.integer], weight: Weight) -> float:
    """Of the softmax of scores."""
    top = scores.max(axis=1)
    losses = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top
    losses -= scores[np.arange(len(truth)), truth]
    return float(np.average(losses, weights=weight))


def _scale(c: Candidate, member: NDArray[np.integer], weight: Weight) -> float:
    counted = None if weight is None else weight[c.judged]
    return fit_temperature(c.scores.decisions[c.judged], member[c.judged], counted).scale


def _scales(
    members: Sequence[Candidate],
    votes: Sequence[int],
    member: NDArray[np.integer],
    weight: Weight,
) -> list[float]:
    return [n / sum(votes) * _scale(c, member, weight) for c, n in zip(members, votes, strict=True)]
