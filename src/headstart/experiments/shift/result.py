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
    """One method on the target's held-out images."""

    name: str
    line: str
    accuracy: Interval | None  # mean of the seeds; None where the method is not available
    # over no adaptation, paired; the intervals of the adaptations hold together (Bonferroni)
    gain: Difference | None
    by_seed: tuple[float, ...]
    absent: str = ""  # why it is not available


class ShiftResult(ExperimentResult, frozen=True, kw_only=True, tag="shift"):
    """What each method reached on the target."""

    settings: Settings
    source_name: str
    target_name: str
    backbone: str
    tap: str
    size_px: int
    source: Interval  # accuracy on the source's held-out images
    cost: Difference  # accuracy on the source less that on the target; the images are not the same
    methods: tuple[Method, ...]
    # accuracy on the source with its own statistics less that with the network's
    adabn_at_home: Difference | None
    adversary: Difference  # what the adversary of DANN brings over the same network without it
    difference_level: float  # level of each gain
    seeds: tuple[int, ...]
    n_train: tuple[int, int]  # (int, int); training images of source and target
    n_test: tuple[int, int]  # (int, int); test images of source and target
    notes: tuple[str, ...] = ()

    def method(self, name: str) -> Method:
        """One of the methods."""
        return next(m for m in self.methods if m.name == name)

    def gains(self) -> dict[str, Difference]:
        """The gains of the adaptations that are available."""
        found = {name: self.method(name).gain for name in ADAPTED}
        return {name: gain for name, gain in found.items() if gain is not None}
