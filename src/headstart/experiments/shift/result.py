"""What `transfer shift` found."""

from __future__ import annotations

from msgspec import Struct

from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.shift.settings import Settings
from headstart.results import Difference, Interval

PLAIN, CONTROL, BOUND = "no adaptation", "DANN, no adversary", "labelled target"
ADAPTED = ("AdaBN", "CORAL", "DANN")
LINES: dict[str, str] = {
    PLAIN: "linear SVM trained on the source",
    "AdaBN": "the same with BatchNorm statistics of each side's own images (Li 2016)",
    "CORAL": "source features given the target's mean and covariance (Sun 2016)",
    "DANN": "a transform that hides the domain, learnt by gradient reversal (Ganin 2016)",
    CONTROL: "the network of DANN with lambda 0: what the adversary itself brings",
    BOUND: "linear SVM trained on labelled target images: what there is to win",
}
"""What is measured on the target's held-out images."""


class Method(Struct, frozen=True, kw_only=True):
    """One method on the target's held-out images.

    Attributes
    ----------
    accuracy : Interval, optional
        Mean of the seeds; None where the method is not available.
    gain : Difference, optional
        Over no adaptation, paired; the intervals of the adaptations hold together (Bonferroni).
    absent : str
        Why it is not available.
    """

    name: str
    line: str
    accuracy: Interval | None
    gain: Difference | None
    by_seed: tuple[float, ...]
    absent: str = ""


class ShiftResult(ExperimentResult, frozen=True, kw_only=True, tag="shift"):
    """What each method reached on the target.

    Attributes
    ----------
    source : Interval
        Accuracy on the source's held-out images.
    cost : Difference
        Accuracy on the source less that on the target; the images are not the same.
    adabn_at_home : Difference, optional
        Accuracy on the source with its own statistics less that with the network's.
    adversary : Difference
        What the adversary of DANN brings over the same network without it.
    difference_level : float
        Level of each gain.
    n_train, n_test : (int, int)
        Images of source and target.
    """

    settings: Settings
    source_name: str
    target_name: str
    backbone: str
    tap: str
    size_px: int
    source: Interval
    cost: Difference
    methods: tuple[Method, ...]
    adabn_at_home: Difference | None
    adversary: Difference
    difference_level: float
    seeds: tuple[int, ...]
    n_train: tuple[int, int]
    n_test: tuple[int, int]
    notes: tuple[str, ...] = ()

    def method(self, name: str) -> Method:
        """One of the methods."""
        return next(m for m in self.methods if m.name == name)

    def gains(self) -> dict[str, Difference]:
        """The gains of the adaptations that are available."""
        found = {name: self.method(name).gain for name in ADAPTED}
        return {name: gain for name, gain in found.items() if gain is not None}
