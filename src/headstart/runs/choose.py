"""Which layer at which resolution: the cheapest of those that the noise cannot tell from the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.heads.accuracy import PairedDifference, paired_difference
from headstart.runs.blocks import Blocks

RULE = (
    "The candidate with the highest cross-validated accuracy is the best. A candidate whose paired "
    "difference to it is within one standard error is a tie, and the cheapest tie "
    "(multiply-accumulates, then number of features) is chosen."
)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Features of certain taps and resolutions with their best C, judged on out-of-fold predictions.

    Attributes
    ----------
    blocks : Blocks
        The tap and resolution, or several joined.
    n_features : int
    macs : int
        Multiply-accumulates of one image, up to the last tap needed.
    C : float
    accuracy_by_C : tuple of float
        Cross-validated accuracy of every C tried, in the order of the settings.
    decisions : float32 array (n, K)
        Out-of-fold scores at ``C``.
    correct : bool array (n,)
        Whether the out-of-fold prediction was right.
    """

    blocks: Blocks
    n_features: int
    macs: int
    C: float
    accuracy_by_C: tuple[float, ...]
    decisions: NDArray[np.float32]
    correct: NDArray[np.bool_]

    @property
    def accuracy(self) -> float:
        """Cross-validated accuracy."""
        return float(self.correct.mean())

    @property
    def cost(self) -> tuple[int, int]:
        """What the choice calls cheap: first the network's work, then the head's."""
        return (self.macs, self.n_features)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The outcome, parallel to the candidates.

    Attributes
    ----------
    best, chosen : int
        Positions among the candidates.
    differences : tuple of Interval
        Accuracy of each candidate minus the best one's, paired, with a 95 % interval.
    ties : tuple of bool
        Whether the noise cannot tell the candidate from the best.
    """

    best: int
    chosen: int
    differences: tuple[PairedDifference, ...]
    ties: tuple[bool, ...]


def choose(candidates: Sequence[Candidate]) -> Choice:
    """Apply :data:`RULE`.

    The rule is the one-standard-error rule of Breiman et al. (1984, Classification and Regression
    Trees, section 3.4.3), on paired differences: all candidates are judged on the same images, so
    what they get wrong together cancels.

    Parameters
    ----------
    candidates : sequence of Candidate, at least one

    Returns
    -------
    Choice
    """
    best = max(
        range(len(candidates)), key=lambda i: (candidates[i].accuracy, _thrift(candidates[i]))
    )
    top = candidates[best].correct
    differences = tuple(paired_difference(c.correct, top) for c in candidates)
    ties = tuple(d.is_tie for d in differences)
    among = [i for i, tie in enumerate(ties) if tie]
    chosen = min(among, key=lambda i: candidates[i].cost)
    return Choice(best=best, chosen=chosen, differences=differences, ties=ties)


def _thrift(candidate: Candidate) -> tuple[int, int]:
    """Larger is cheaper."""
    return (-candidate.macs, -candidate.n_features)
