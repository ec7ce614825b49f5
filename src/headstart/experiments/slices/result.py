"""What `slices` found."""

from __future__ import annotations

from msgspec import Struct

from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.slices.settings import Settings
from headstart.results import Interval


class Part(Struct, frozen=True, kw_only=True):
    """One part of the images.

    Attributes
    ----------
    by, value : str
        What the images were divided by, and which part it is.
    n : int
    accuracy : Interval
        The intervals of all parts together hold with 95 % confidence.
    rest : float
        Accuracy of all other images.
    p_value : float
        Fisher's exact test against the others, times the number of parts; 1 at most.
    is_worse, is_better : bool
        Significantly.
    """

    by: str
    value: str
    n: int
    accuracy: Interval
    rest: float
    p_value: float
    is_worse: bool
    is_better: bool


class SlicesResult(ExperimentResult, frozen=True, kw_only=True, tag="slices"):
    """Accuracy in parts of the data.

    Attributes
    ----------
    settings : Settings
    n_train, n_test : int
        Images that were divided: training ones by cross-validation, and test ones.
    accuracy : Interval
        Of all.
    parts : tuple of Part
        Significantly worse ones first.
    too_small : tuple of str
        Values of the column that have too few images to be judged.
    """

    settings: Settings
    n_train: int
    n_test: int
    accuracy: Interval
    parts: tuple[Part, ...]
    too_small: tuple[str, ...] = ()
