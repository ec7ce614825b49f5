"""The mean of the calibrated scores of several candidates, which is a linear head itself.

The softmax of averaged calibrated scores is the geometric mean of the candidates' probabilities, scaled
to sum to one: the logarithmic opinion pool of Genest and Zidek (1986, "Combining probability
distributions"). Each candidate's scores are linear in its own features, so their mean is linear in all
of them side by side, and everything that takes a linear head takes a mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.heads import Temperature, fit_temperature
from headstart.probe.judging import Scores
from headstart.runs.choose import Candidate
from headstart.sources.blocks import Averaged, Blocks

Head = tuple[NDArray[np.float64], NDArray[np.float64]]
Weight = NDArray[np.float64] | None

# More make the fit longer and the mean no better.
MOST_AVERAGED = 10


def average_ties(
    candidates: Sequence[Candidate],
    prior: int,
    y: NDArray[np.str_],
    average: Callable[[Sequence[Blocks]], Averaged],
    *,
    weight: Weight = None,
    merits: Callable[[NDArray[np.floating]], NDArray[np.float64] | None] = lambda _: None,
) -> Candidate | None:
    """The mean of the candidates that predict no worse than the prior, within the noise.

    Those whose out-of-fold log loss is at most one standard error of the paired difference above that
    of the prior: of them the prior, and those with the least, up to `MOST_AVERAGED` in all.

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
        None where there is nothing to average with the prior.
    """
    judged, member = candidates[prior].judged, np.unique(y, return_inverse=True)[1]
    if not judged.any() or (weight is not None and not weight[judged].sum() > 0):
        return None
    usable = [c for c in candidates if not (c.scores.is_screened or c.blocks.is_network)]
    own = _losses(candidates[prior], member, weight)
    near = []
    for i, c in enumerate(usable):
        loss = _losses(c, member, weight)
        further = loss - own
        if c is not candidates[prior] and further.mean() <= further.std() / math.sqrt(len(own)):
            near.append((float(loss.mean()), i))
    if not near:
        return None
    others = [usable[i] for _, i in sorted(near)[: MOST_AVERAGED - 1]]
    members = (candidates[prior], *others)
    blocks = average([c.blocks for c in members])
    decisions = mean_scores(
        [c.scores.decisions for c in members], [_scale(c, member, weight) for c in members]
    )
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
    )


def mean_scores(
    decisions: Sequence[NDArray[np.floating]], scales: Sequence[float]
) -> NDArray[np.float32]:
    """Mean of calibrated scores (n, K)."""
    total = sum(scale * scores for scores, scale in zip(decisions, scales, strict=True))
    return np.asarray(total / len(scales), dtype=np.float32)


def member_scales(mean: Candidate, y: NDArray[np.str_], weight: Weight = None) -> list[float]:
    """The scale of each member of a mean, from its out-of-fold scores."""
    member = np.unique(y, return_inverse=True)[1]
    return [_scale(c, member, weight) for c in mean.members]


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
        coef[:, columns] += scale * longer / len(scales) * own
        intercept += scale / len(scales) * constant
    return coef, intercept


def _temperature(c: Candidate, member: NDArray[np.integer], weight: Weight) -> Temperature:
    counted = None if weight is None else weight[c.judged]
    return fit_temperature(c.scores.decisions[c.judged], member[c.judged], counted)


def _scale(c: Candidate, member: NDArray[np.integer], weight: Weight) -> float:
    return _temperature(c, member, weight).scale


def _losses(c: Candidate, member: NDArray[np.integer], weight: Weight) -> NDArray[np.float64]:
    """-log of the probability that each true class was given, calibrated, out of fold."""
    truth = member[c.judged]
    P = _temperature(c, member, weight).probabilities(c.scores.decisions[c.judged])
    losses = -np.log(np.clip(P[np.arange(len(truth)), truth], 1e-12, 1))
    if weight is not None:
        losses *= weight[c.judged] / weight[c.judged].mean()
    return np.asarray(losses, dtype=np.float64)
