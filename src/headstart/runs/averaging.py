"""The mean of the calibrated scores of several candidates, which is a linear head itself.

How much each counts is decided by votes: the candidate that is the most accurate as a rule has some from
the beginning, as with few examples cross-validation flatters others by luck; the rest are given one after
another to the candidate that makes the mean predict best (ensemble selection, Caruana et al. 2004, "Ensemble
selection from libraries of models"). The votes that are kept are those by all held-out scores; the mean is
judged, fold by fold, with votes by the scores of the other folds.

The softmax of averaged calibrated scores is the weighted geometric mean of the candidates' probabilities,
scaled to sum to one: the logarithmic opinion pool of Genest and Zidek (1986, "Combining probability
distributions"). Each candidate's scores are linear in its own features, so their mean is linear in all
of them side by side, and everything that takes a linear head takes a mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.heads import fit_temperature
from headstart.heads.parallel import map_pieces
from headstart.probe.judging import ACCURATE, Goal, Scores, scores_of_divisions
from headstart.runs.choose import Candidate
from headstart.sources.blocks import Averaged, Blocks

Head = tuple[NDArray[np.float64], NDArray[np.float64]]
Weight = NDArray[np.float64] | None

VOTES_OF_PRIOR = 8
MORE_VOTES = 16
# Votes are given by no more probabilities than these: time grows with examples times classes.
MOST_PROBABILITIES = 1_000_000
# However many classes, folds and divisions there are, by so many examples where there are as many.
LEAST_VOTERS = 2_000


def average_best(
    candidates: Sequence[Candidate],
    prior: int,
    y: NDArray[np.str_],
    average: Callable[[Sequence[Blocks]], Averaged],
    divisions: Sequence[NDArray[np.integer]],
    *,
    goal: Goal = ACCURATE,
) -> Candidate | None:
    """The mean of the prior and of the candidates with which it predicts better.

    The prior has `VOTES_OF_PRIOR`; each of `MORE_VOTES` goes to the candidate with which the mean of all
    votes has the lowest log loss of held-out scores. What is kept are the votes by the scores of all
    examples; the mean is judged by :func:`cross_fitted` scores.

    Parameters
    ----------
    candidates : sequence of Candidate
    prior : int
        Position of the candidate that is the most accurate as a rule.
    y : array (n,)
        Labels.
    average : callable
        Gives the features of several candidates.
    divisions : sequence of int array (n,)
        The fold of each example; several of repeated cross-validation.
    goal : Goal, default accuracy
        What cross-validation optimises, and how often each example counts.

    Returns
    -------
    Candidate or None
        None where the prior gets all votes, or cross-validation could judge nothing.
    """
    judged, member = candidates[prior].judged, np.unique(y, return_inverse=True)[1]
    weight = goal.weight
    if not judged.any() or (weight is not None and not weight[judged].sum() > 0):
        return None
    first = candidates[prior]
    usable = [first]
    usable += [
        c
        for c in candidates
        if c is not first and not (c.scores.is_screened or c.blocks.is_network)
    ]
    calibrations = [_calibration(c.scores.decisions, judged, member, weight) for c in usable]
    rows = _some(judged, weight, MOST_PROBABILITIES // len(np.unique(y)))
    votes = _votes([c.scores.decisions for c in usable], calibrations, rows, member, weight)
    members = tuple(c for c, n in zip(usable, votes, strict=True) if n)
    if len(members) == 1:
        return None
    blocks = average([c.blocks for c in members])
    scores = _judged_mean(usable, y, divisions, judged, goal, sum(blocks.widths.values()))
    return Candidate(
        blocks=blocks,
        macs=0,
        scores=scores,
        judged=judged,
        members=members,
        votes=tuple(n for n in votes if n),
        groups=first.groups,
    )


def cross_fitted(
    decisions: Sequence[NDArray[np.floating]],
    member: NDArray[np.integer],
    folds: NDArray[np.integer],
    judged: NDArray[np.bool_],
    weight: Weight = None,
    *,
    most: int = MOST_PROBABILITIES,
) -> NDArray[np.float32]:
    """Scores (n, K) of a mean whose votes for each fold, and calibrations, come from the other folds.

    By the votes of all folds a mean is judged by the labels that chose them.

    Parameters
    ----------
    decisions : sequence of array (n, K)
        Held-out scores of each candidate, the prior first.
    member : int array (n,)
        Column of each example's class.
    folds : int array (n,)
    judged : bool array (n,)
        Which examples cross-validation could judge.
    weight : float64 array (n,), optional
        How often each example counts.
    most : int
        Probabilities that give votes, over all folds, unless they are of fewer than `LEAST_VOTERS`
        examples in a fold. Calibrations are by all examples.

    Returns
    -------
    float32 array (n, K)
    """
    found = np.zeros(decisions[0].shape, dtype=np.float32)
    numbers, n_classes = np.unique(folds), int(member.max()) + 1

    def judge_fold(fold: int) -> None:
        out = folds == fold
        voters = judged & ~out
        if not voters.any() or (weight is not None and not weight[voters].sum() > 0):
            found[out] = decisions[0][out]  # nobody has a vote but the prior
            return
        rows = _some(voters, weight, most // (len(numbers) * n_classes))
        calibrations = [_calibration(each, voters, member, weight) for each in decisions]
        votes = _votes(decisions, calibrations, rows, member, weight)
        found[out] = mean_scores([each[out] for each in decisions], _shares(votes, calibrations))

    map_pieces(judge_fold, numbers.tolist(), torch.device("cpu"))
    return found


def mean_scores(
    decisions: Sequence[NDArray[np.floating]], scales: Sequence[float]
) -> NDArray[np.float32]:
    """Sum of scores (n, K), each times its scale."""
    total = sum(scale * scores for scores, scale in zip(decisions, scales, strict=True))
    return np.asarray(total, dtype=np.float32)


def member_scales(mean: Candidate, y: NDArray[np.str_], weight: Weight = None) -> list[float]:
    """What the scores of each member of a mean are multiplied by: its calibration times its share."""
    member = np.unique(y, return_inverse=True)[1]
    calibrations = [
        _calibration(c.scores.decisions, c.judged, member, weight) for c in mean.members
    ]
    return _shares(mean.votes, calibrations)


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
    return summed_heads(mean, member_scales(mean, y, weight), [fit(c) for c in mean.members])


def summed_heads(mean: Candidate, scales: Sequence[float], heads: Iterable[Head]) -> Head:
    """Heads of the members of a mean, each times its scale, on the features of all side by side."""
    blocks = mean.blocks
    assert isinstance(blocks, Averaged)
    ends = np.cumsum(list(blocks.widths.values()))
    place = dict(zip(blocks.widths, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    n_outputs = mean.members[0].scores.decisions.shape[1]
    coef, intercept = np.zeros((n_outputs, ends[-1])), np.zeros(n_outputs)
    for c, scale, (own, constant) in zip(mean.members, scales, heads, strict=True):
        columns = np.concatenate([place[key] for key in c.blocks.keys])
        # A joined row has length one: of so many blocks, each is divided by the root of their number.
        longer = math.sqrt(len(place) / len(c.blocks.keys))
        coef[:, columns] += scale * longer * own
        intercept += scale * constant
    return coef, intercept


def _judged_mean(
    usable: Sequence[Candidate],
    y: NDArray[np.str_],
    divisions: Sequence[NDArray[np.integer]],
    judged: NDArray[np.bool_],
    goal: Goal,
    n_features: int,
) -> Scores:
    """The mean judged on each division into folds, as its members are."""
    member = np.unique(y, return_inverse=True)[1]
    each = [[c.scores.decisions] for c in usable]
    if len(divisions) > 1:
        known = [c.scores.of_divisions for c in usable]
        each = [list(scores) for scores in known if scores is not None]
        assert len(each) == len(usable)
    most = MOST_PROBABILITIES // len(divisions)
    found = [
        cross_fitted(decisions, member, folds, judged, goal.weight, most=most)
        for decisions, folds in zip(zip(*each, strict=True), divisions, strict=True)
    ]
    merits = [goal.merits(s, y, folds) for s, folds in zip(found, divisions, strict=True)]
    if len(divisions) > 1:
        return scores_of_divisions(
            y, math.nan, found, np.mean(merits, axis=0), n_features=n_features, Cs=(), accuracy=()
        )
    return Scores(
        n_features=n_features,
        C=math.nan,
        accuracy_by_C=(),
        decisions=found[0],
        correct=found[0].argmax(axis=1) == member,
        optimised=None if goal.is_plain else merits[0],
    )


def _some(judged: NDArray[np.bool_], weight: Weight, most: int) -> NDArray[np.intp]:
    """Rows that count, at most so many or `LEAST_VOTERS`."""
    rows = np.flatnonzero(judged if weight is None else judged & (weight > 0))
    most = max(most, LEAST_VOTERS)
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(0).permutation(rows)[:most])


def _votes(
    decisions: Sequence[NDArray[np.floating]],
    calibrations: Sequence[float],
    rows: NDArray[np.intp],
    member: NDArray[np.integer],
    weight: Weight,
) -> list[int]:
    """How many votes each candidate gets by the scores of some rows; the first is the prior."""
    counted = None if weight is None else weight[rows]
    truth = member[rows]
    scores = [
        np.float32(scale) * np.asarray(each)[rows]
        for each, scale in zip(decisions, calibrations, strict=True)
    ]
    votes = [VOTES_OF_PRIOR] + [0] * (len(scores) - 1)
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


def _calibration(
    decisions: NDArray[np.floating],
    rows: NDArray[Any],
    member: NDArray[np.integer],
    weight: Weight,
) -> float:
    counted = None if weight is None else weight[rows]
    return fit_temperature(decisions[rows], member[rows], counted).scale


def _shares(votes: Sequence[int], calibrations: Sequence[float]) -> list[float]:
    return [n / sum(votes) * scale for n, scale in zip(votes, calibrations, strict=True)]
