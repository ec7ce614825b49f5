"""What `label-next` chose."""

from __future__ import annotations

from msgspec import Struct

from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.label_next.settings import Settings
from headstart.results import Difference


class Played(Struct, frozen=True, kw_only=True):
    """One strategy on the run's own labelled images."""

    name: str
    accuracy: float  # balanced accuracy with the labels that it chose
    gain: Difference  # over as many random labels
    # random labels that reach the same; None where no number of those at hand does
    worth: float | None
    is_better: bool  # significantly, after correction for several strategies


class Chosen(Struct, frozen=True, kw_only=True):
    """One image to label."""

    name: str
    path: str
    predicted: str  # the class that is most probable by what is labelled
    margin: float  # difference of its two highest scores: small where it is unsure


class LabelNextResult(ExperimentResult, frozen=True, kw_only=True, tag="label_next"):
    """Images to label, in this order."""

    settings: Settings
    # n_labelled, n_unlabelled: images with labels, and usable ones without
    n_labelled: int
    n_unlabelled: int
    # n_overlap, n_unreadable: images of the folder that are left out: those of the run, with those
    # that it left out, and damaged ones
    n_overlap: int
    n_unreadable: int
    # labelled images of the replay: all, or a sample of many in which each class has its share
    n_played: int = 0
    # n_start, n_chosen, n_judged: of the replay: labels at the start, labels added, images judged
    n_start: int
    n_chosen: int
    n_judged: int
    # start, random: balanced accuracy at the start, and with random labels
    start: float
    random: float
    played: tuple[Played, ...]  # the best first; empty where there are too few labelled images
    strategy: str  # the one that was used
    chosen: tuple[Chosen, ...]
