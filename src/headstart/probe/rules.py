"""Selection rules: which of several candidates to take, all judged on the same examples.

Each rule has a name and one place; all work on paired differences, so that what two candidates get
wrong together cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from headstart.heads.accuracy import (
    ROUNDING,
    PairedDifference,
    is_significant,
    paired_gain,
    repeated_difference,
)

Merits = NDArray[Any]
"""What each example contributes to the metric that is optimised: zeros and ones of accuracy."""

# Times nearer than this count as one: the clock of another run would order them otherwise.
AS_QUICK = 1.25
AS_QUICK_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The outcome of a rule, parallel to the candidates."""

    # best, chosen: positions among the candidates
    best: int
    chosen: int
    differences: tuple[PairedDifference, ...]  # metric of each candidate minus that of the best
    # whether the usual candidate was chosen because cross-validation could not decide
    is_default: bool = False
    # what would be chosen for its cost, where something dearer was chosen for its accuracy
    cheap: int | None = None

    @property
    def ties(self) -> tuple[bool, ...]:
        """Whether each candidate is within one standard error of the best."""
        return tuple(d.is_tie for d in self.differences)


def most_accurate(merits: Sequence[Merits], costs: Sequence[Any] | None = None) -> int:
    """The candidate of the highest mean merit; of equals the cheapest, then the first.

    Parameters
    ----------
    merits : sequence of array (n,) or (n_repeats, n)
        Of each candidate: of accuracy, whether it classified each example correctly.
    costs : sequence of comparable, optional
        One a candidate.
    """
    price = costs if costs is not None else [0] * len(merits)
    return min(range(len(merits)), key=lambda i: (-round(float(merits[i].mean()), 12), price[i], i))


def cheapest_tie(
    merits: Sequence[Merits],
    costs: Sequence[Any],
    screened: Sequence[bool] | None = None,
    groups: Sequence[str] | None = None,
) -> Choice:
    """The cheapest candidate within one standard error of the best, and at most one point behind.

    The one-standard-error rule of Breiman et al. (1984, Classification and Regression Trees, section
    3.4.3), on paired differences. The limit of one point is our own: with few examples nearly
    everything ties.

    Parameters
    ----------
    merits : sequence of array (n,)
    costs : sequence of comparable
        One a candidate.
    screened : sequence of bool, optional
        Candidates that screening ruled out, which are neither the best nor chosen.
    groups : sequence of str, length n, optional
        Examples that are not independent of one another (:func:`headstart.heads.paired_gain`).
    """
    out = screened if screened is not None else [False] * len(merits)
    judged = [i for i, is_out in enumerate(out) if not is_out]
    best = judged[most_accurate([merits[i] for i in judged], [costs[i] for i in judged])]
    differences = tuple(paired_gain(c, merits[best], groups=groups) for c in merits)
    among = [i for i in judged if differences[i].may_stand_in]
    chosen = min(among, key=lambda i: costs[i])
    return Choice(best=best, chosen=chosen, differences=differences)


def prior_unless_beaten(
    merits: Sequence[Merits],
    costs: Sequence[Any],
    prior: int,
    screened: Sequence[bool] | None = None,
    groups: Sequence[str] | None = None,
) -> Choice:
    """The candidate that is best as a rule, unless the most accurate is significantly better.

    The most accurate of many in cross-validation is in part a lucky one; what was best on many other
    sets is worth more than a difference that is not significant (``bench/few_images.py``).

    Parameters
    ----------
    merits : sequence of array (n,)
    costs : sequence of comparable
        One a candidate.
    prior : int
        Position of the candidate that is best as a rule.
    screened, groups : sequence, optional
        As for `cheapest_tie`.
    """
    choice = cheapest_tie(merits, costs, screened, groups)
    chosen = choice.best if is_significant(choice.differences[prior]) else prior
    return Choice(best=choice.best, chosen=chosen, differences=choice.differences)


def usual_unless_beaten(
    merits: Sequence[Merits],
    costs: Sequence[Any],
    usual: int,
    screened: Sequence[bool] | None = None,
    groups: Sequence[str] | None = None,
) -> Choice:
    """The usual candidate, unless the best is significantly more accurate; then `cheapest_tie`.

    For few examples per class, where the most accurate of many candidates in cross-validation is mostly
    a lucky one (``bench/few_images.py``).

    Parameters
    ----------
    merits : sequence of array (n,)
    costs : sequence of comparable
        One a candidate.
    usual : int
        Position of the usual candidate. Of equals it is the best.
    screened, groups : sequence, optional
        As for `cheapest_tie`.
    """
    choice = cheapest_tie(merits, costs, screened, groups)
    if is_significant(choice.differences[usual]):
        return choice
    is_best = abs(choice.differences[usual].value) < ROUNDING
    best = usual if is_best else choice.best
    differences = tuple(paired_gain(c, merits[best], groups=groups) for c in merits)
    return Choice(best=best, chosen=usual, differences=differences, is_default=True)


def quickest_tie(
    merits: Sequence[Merits], seconds: Sequence[float], groups: Sequence[str] | None = None
) -> int:
    """The quickest candidate within one standard error of the best.

    Of those that take about as long as it (within a quarter, or a second), the most accurate: so
    the clock of one run does not decide.

    Parameters
    ----------
    merits : sequence of array (n,)
    seconds : sequence of float
        One a candidate.
    groups : sequence of str, optional
        As for `cheapest_tie`.
    """
    best = most_accurate(merits)
    behind = [paired_gain(c, merits[best], groups=groups) for c in merits]
    tied = [i for i, d in enumerate(behind) if i == best or d.is_tie]
    least = min(seconds[i] for i in tied)
    limit = max(AS_QUICK * least, least + AS_QUICK_S)
    quick = [i for i in tied if seconds[i] <= limit]
    return quick[most_accurate([merits[i] for i in quick])]


def first_tie(merits: Sequence[Merits], groups: Sequence[str] | None = None) -> int:
    """The first candidate within one standard error of the best, and at most one point behind.

    Parameters
    ----------
    merits : sequence of array (n_repeats, n)
        In order of size: the same examples, judged by several divisions into folds.
    groups : sequence of str, optional
        As for `cheapest_tie`.
    """
    best = most_accurate(merits)
    return next(
        i
        for i, c in enumerate(merits)
        if i == best or repeated_difference(c, merits[best], groups=groups).may_stand_in
    )
