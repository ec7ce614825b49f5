"""What `slices` found."""

from __future__ import annotations

from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.slices.settings import Settings
from headstart.reliability.slices import Part
from headstart.results import Interval


class SlicesResult(ExperimentResult, frozen=True, kw_only=True, tag="slices"):
    """Accuracy in parts of the data."""

    settings: Settings
    n_train: int  # training images that were divided, judged by cross-validation
    n_test: int  # test images that were divided
    accuracy: Interval  # of all
    parts: tuple[Part, ...]  # significantly worse ones first
    too_small: tuple[str, ...] = ()  # values of the column that have too few images to be judged
    # where training images were not judged by the run's own model: by what, in a sentence
    judged_by: str = ""
