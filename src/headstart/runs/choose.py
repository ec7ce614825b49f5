"""Which layers at which resolution: what is the most accurate as a rule, or the cheapest tie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.probe.judging import Scores
from headstart.probe.rules import Choice, cheapest_tie, prior_unless_beaten, usual_unless_beaten
from headstart.probe.screening import contenders
from headstart.sources.blocks import Blocks

# Examples of a class below which it has few.
FEW = 5

# Rules in words, of the metric that is optimised and the test that compares it.
RULE = (
    "The candidate with the highest cross-validated {metric} is the best. A candidate whose paired "
    "difference to it is within one standard error is a tie, and the cheapest tie "
    "(multiply-accumulates, then number of features) that is at most one point lower is chosen."
)
RULE_OF_SINGLE = (
    "The last layers joined, at the two largest resolutions, are chosen: with few images cross-validation "
    "finds nothing better. Where the candidate with the highest cross-validated {metric} is "
    "significantly better ({test} at the 5 % level), that one is chosen instead."
)
RULE_OF_ENCODER = (
    "TF-IDF beside the last layers of the sentence encoder is chosen: on most tables of texts it is the most "
    "accurate, though not on every one. " + RULE_OF_SINGLE.partition(". ")[2]
)
RULE_OF_MEAN = (
    "The calibrated scores of several candidates are averaged. The last layers joined at the two largest "
    "resolutions start with a third of the weight. The rest is given out in 16 equal steps, each to the "
    "candidate with which the mean has the lowest log loss in cross-validation. Where the candidate with "
    "the highest cross-validated {metric} is significantly better than this mean ({test} at the 5 % "
    "level), that one is chosen instead."
)
RULE_OF_FEW = (
    f"Half of the classes or more have fewer than {FEW} training examples. Cross-validation of so few "
    "mostly finds a lucky candidate, so the usual one is chosen, unless the candidate with the highest "
    "cross-validated {metric} is significantly better ({test} at the 5 % level)."
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
    judged : bool array (n,)
        Which images cross-validation could judge (:func:`headstart.probe.judgeable`).
    members : tuple of Candidate
        Those whose calibrated scores it averages, where it is a mean.
    votes : tuple of int
        How much each of them counts.
    groups : sequence of str, optional
        The group of each image that was judged, of all images where none was.
    """

    blocks: Blocks
    macs: int
    scores: Scores
    judged: NDArray[np.bool_]
    members: tuple[Candidate, ...] = ()
    votes: tuple[int, ...] = ()
    groups: Sequence[str] | None = None

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each image that was judged was recognised; of all images where none was."""
        return self.scores.correct[self.judged] if self.judged.any() else self.scores.correct

    @property
    def merits(self) -> NDArray[Any]:
        """What each image that was judged contributes to the metric that is optimised."""
        merits = self.scores.merits
        return merits[self.judged] if self.judged.any() else merits

    @property
    def shares(self) -> NDArray[Any]:
        """In which share of the divisions into folds each image that was judged was recognised."""
        shares = self.scores.shares
        if shares is None:
            return self.correct
        return shares[self.judged] if self.judged.any() else shares

    @property
    def accuracy(self) -> float:
        """Cross-validated accuracy of the images that were judged."""
        return float(self.shares.mean())

    @property
    def cost(self) -> tuple[int, int]:
        """What the choice calls cheap: first the network's work, then the head's."""
        return (self.macs, self.scores.n_features)


def has_few(labels: Sequence[str]) -> bool:
    """Whether half of the classes or more have fewer than :data:`FEW` examples."""
    sizes = Counter(labels).values()
    return 2 * sum(n < FEW for n in sizes) >= len(sizes)


def join_worth_having(candidates: Sequence[Candidate], prior: int) -> int:
    """The join of backbones, without those that are far behind the best of them.

    A backbone stays where its own last layers err at most 1.5 times as often as those of the best
    one, or a paired test cannot tell them apart (:func:`headstart.probe.contenders`). Of the joins
    that were judged, the one of the most backbones that stay is taken; of one alone, its own layers.

    Parameters
    ----------
    candidates : sequence of Candidate
    prior : int
        Position of the join of all; of what is not a join, itself.

    Returns
    -------
    int
    """
    parts = candidates[prior].blocks.members
    at = {c.blocks: i for i, c in enumerate(candidates)}
    own = [at[part] for part in parts if part in at]
    if len(parts) == 1 or len(own) < len(parts):
        return prior
    near = contenders([candidates[i].correct for i in own], [candidates[i].merits for i in own])
    stays = {parts[i] for i in near}
    judged = [
        i
        for i, c in enumerate(candidates)
        if not c.scores.is_screened and c.blocks.members and stays.issuperset(c.blocks.members)
    ]
    if not judged:
        return prior
    return max(judged, key=lambda i: (len(candidates[i].blocks.members), candidates[i].accuracy))


def choose(
    candidates: Sequence[Candidate],
    labels: Sequence[str],
    usual: int,
    prior: int | None = None,
    groups: Sequence[str] | None = None,
) -> Choice:
    """Apply :data:`RULE_OF_MEAN` or :data:`RULE_OF_SINGLE` where there is a prior, else what is cheap.

    That is :data:`RULE`, or :data:`RULE_OF_FEW` where the classes have few examples.

    The rule is the one-standard-error rule of Breiman et al. (1984, Classification and Regression
    Trees, section 3.4.3), on paired differences: all candidates are judged on the same examples, so
    what they get wrong together cancels. A candidate that is more than a point behind is not chosen
    though it ties: with few examples nearly everything does.

    Parameters
    ----------
    candidates : sequence of Candidate, at least one
    labels : sequence of str
        Of the training examples.
    usual : int
        Position of the usual candidate.
    prior : int, optional
        Position of the candidate that is the most accurate as a rule: the last layers joined, or
        their mean with others.
    groups : sequence of str, optional
        Groups of the examples that were judged (:func:`headstart.heads.paired_gain`).

    Returns
    -------
    Choice
        Where there is a prior, with what would be chosen without one, if that is cheaper.
    """
    merits, costs = [c.merits for c in candidates], [c.cost for c in candidates]
    screened = [c.scores.is_screened for c in candidates]
    if prior is not None:
        choice = prior_unless_beaten(merits, costs, prior, screened, groups)
        # A mean is not among what is cheap, and comes last.
        single = [c for c in candidates if not c.members]
        cheap = choose(single, labels, usual, None, groups).chosen
        is_cheaper = costs[cheap] < costs[choice.chosen]
        return replace(choice, cheap=cheap if is_cheaper else None)
    if has_few(labels):
        return usual_unless_beaten(merits, costs, usual, screened, groups)
    return cheapest_tie(merits, costs, screened, groups)
