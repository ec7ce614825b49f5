"""What `baseline sift` found."""

from __future__ import annotations

from msgspec import Struct

from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.settings import Settings as AnySettings
from headstart.experiments.sift.settings import Settings
from headstart.results import Difference, Interval


class Method(Struct, frozen=True, kw_only=True):
    """One method: chosen on the training images, scored once on the test images."""

    name: str  # the method in words
    kind: str  # {"pixels", "sift", "network"}
    detail: str  # what was chosen
    n_features: int
    cv_accuracy: float  # of the choice, on the training images
    tried: dict[str, float]  # cross-validated accuracy of each variant
    test: Interval
    # test accuracy less that of the last method, paired; None for the last
    difference: Difference | None = None
    p_value: float | None = None  # of the paired test


class BaselineResult(ExperimentResult, frozen=True, kw_only=True):
    """Methods on one split, the network last."""

    settings: AnySettings
    data: str
    backbone: str | None
    n_classes: int
    n_train: int
    n_test: int
    n_straddling: int  # groups of duplicates on both sides of the split
    methods: tuple[Method, ...]
    # the test of the differences: McNemar's, or Student's where images come in groups
    paired_test: str = "McNemar's exact test"


class SiftResult(BaselineResult, frozen=True, kw_only=True, tag="sift"):
    """The same with what was described."""

    settings: Settings
    n_descriptors: int
