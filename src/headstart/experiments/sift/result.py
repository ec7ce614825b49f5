"""What `baseline sift` found."""

from __future__ import annotations

from msgspec import Struct

from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.settings import Settings as AnySettings
from headstart.experiments.sift.settings import Settings
from headstart.results import Difference, Interval


class Method(Struct, frozen=True, kw_only=True):
    """One method: chosen on the training images, scored once on the test images.

    Attributes
    ----------
    name, kind, detail : str
        ``kind`` is ``"pixels"``, ``"sift"`` or ``"network"``; ``detail`` says what was chosen.
    cv_accuracy : float
        Of the choice, on the training images.
    tried : dict of str to float
        Cross-validated accuracy of each variant.
    difference : Difference, optional
        Test accuracy less that of the last method, paired; None for the last.
    p_value : float, optional
        Of the paired test.
    """

    name: str
    kind: str
    detail: str
    n_features: int
    cv_accuracy: float
    tried: dict[str, float]
    test: Interval
    difference: Difference | None = None
    p_value: float | None = None


class BaselineResult(ExperimentResult, frozen=True, kw_only=True):
    """Methods on one split, the network last.

    Attributes
    ----------
    backbone : str, optional
    n_straddling : int
        Groups of duplicates on both sides of the split.
    paired_test : str
        The test of the differences: McNemar's, or Student's where images come in groups.
    """

    settings: AnySettings
    data: str
    backbone: str | None
    n_classes: int
    n_train: int
    n_test: int
    n_straddling: int
    methods: tuple[Method, ...]
    paired_test: str = "McNemar's exact test"


class SiftResult(BaselineResult, frozen=True, kw_only=True, tag="sift"):
    """The same with what was described."""

    settings: Settings
    n_descriptors: int
