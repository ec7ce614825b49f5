"""What `transfer advice` found."""

from __future__ import annotations

from msgspec import Struct

from headstart.comparison.result import ComparisonResult
from headstart.experiments.advice.settings import Settings
from headstart.experiments.experiment import ExperimentResult
from headstart.heads import is_significant
from headstart.results import Difference, Interval

ADVICE: dict[tuple[bool, bool], str] = {
    (False, False): "a linear classifier on the penultimate layer",
    (True, False): "fine-tune a few layers, or all",
    (False, True): "a linear SVM on activations of earlier layers",
    (True, True): "fine-tune all layers, with care",
}
"""By (is there much data, is it unlike the source)."""


class Rule(Struct, frozen=True, kw_only=True):
    """Where a data set lies, and what the rule of CS231n advises there."""

    n_per_class: float  # training images per class, on average
    distance: float  # to the source: median over layers of the symmetric KL divergence
    much: float  # images per class from which data count as much
    far: float  # distance from which data count as unlike the source

    @property
    def quadrant(self) -> tuple[bool, bool]:
        """Is there much data, is it unlike the source?"""
        return self.n_per_class >= self.much, self.distance >= self.far

    @property
    def advice(self) -> str:
        """What the rule recommends."""
        return ADVICE[self.quadrant]


class Depth(Struct, frozen=True, kw_only=True):
    """The best earlier layer against the penultimate one, by the linear SVM in cross-validation."""

    early: str  # name of the best earlier layer
    late: str  # name of the penultimate layer
    early_cv: Interval
    late_cv: Interval
    gain: Difference  # accuracy of the earlier layer less that of the last, on the same images

    @property
    def is_earlier_better(self) -> bool | None:
        """None where the difference is not significant."""
        return self.gain.value > 0 if is_significant(self.gain) else None


class Regime(Struct, frozen=True, kw_only=True):
    """The arm that measured best, beside the best of those that the rule advises."""

    taken: str
    advised: str | None  # None where no arm does what the rule advises
    # validation accuracy of `taken` less that of `advised`; None where they are the same
    gain: Difference | None
    is_cheaper: bool


class AdviceResult(ExperimentResult, frozen=True, kw_only=True, tag="advice"):
    """Size and similarity of the data, the rule's advice, and what was measured."""

    settings: Settings
    data: str
    backbone: str
    rule: Rule
    advice: str
    has_much: bool
    is_far: bool
    # distances of photographs, digits and noise; empty where the distance was given
    references: dict[str, float]
    depth: Depth | None  # None with one layer only
    comparison: ComparisonResult | None = None  # None where nothing was trained
    regime: Regime | None = None
