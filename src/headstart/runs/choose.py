"""Which layer at which resolution: the cheapest of those that may stand in for the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.probe.judging import Scores
from headstart.probe.rules import Choice, cheapest_tie
from headstart.runs.blocks import Blocks

RULE = (
    "The candidate with the highest cross-validated accuracy is the best. A candidate whose paired "
    "difference to it is within one standard error is a tie, and the cheapest tie "
    "(multiply-accumulates, then number of features) that is at most one point lower is chosen."
)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Features of certain taps and resolutions, judged by cross-validation.

    Attributes
    ----------
    blocks : Blocks
        The tap and resolution, or several joined; of texts what stands in their place.
    macs : int
        Multiply-accumulates of one image or text, up to the last tap needed.
    scores : Scores
        Number of features, best C, accuracy of every C, out-of-fold scores (n, K), and whether
        each image was recognised (n,).
    """

    blocks: Blocks
    macs: int
    scores: Scores

    @property
    def accuracy(self) -> float:
        """Cross-validated accuracy."""
        return float(self.scores.correct.mean())

    @property
    def cost(self) -> tuple[int, int]:
        """What the choice calls cheap: first the network's work, then the head's."""
        return (self.macs, self.scores.n_features)


def choose(candidates: Sequence[Candidate]) -> Choice:
    """Apply :data:`RULE`.

    The rule is the one-standard-error rule of Breiman et al. (1984, Classification and Regression
    Trees, section 3.4.3), on paired differences: all candidates are judged on the same examples, so
    what they get wrong together cancels. A candidate that is more than a point behind is not chosen
    though it ties: with few examples nearly everything does.

    Parameters
    ----------
    candidates : sequence of Candidate, at least one

    Returns
    -------
    Choice
    """
    return cheapest_tie([c.scores.correct for c in candidates], [c.cost for c in candidates])
