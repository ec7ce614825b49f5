"""What `slices` found."""

from __future__ import annotations

from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.slices.settings import Settings
from headstart.reliability.slices import Part
from headstart.results import Interval


class SlicesResult(ExperimentResult, frozen=True, kw_only=True, tag="slices"):
    """Accuracy in parts of the data.

    Attributes
    ----------
    n_train, n_test : int
        Images that were divided: training ones by cross-validation, and test ones.
    accuracy : Interval
        Of all.
    parts : tuple of Part
        Significantly worse ones first.
    too_small : tuple of str
        Values of the column that have too few images to be judged.
    judged_by : str
        Where training images were not judged by the run's own model: by what, in a sentence.
    """

    settings: Settings
    n_train: int
    n_test: int
    accuracy: Interval
    parts: tuple[Part, ...]
    too_small: tuple[str, ...] = ()
    judged_by: str = ""
