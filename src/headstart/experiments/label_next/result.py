"""What `label-next` chose."""

from __future__ import annotations

from msgspec import Struct

from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.label_next.settings import Settings
from headstart.results import Difference


class Played(Struct, frozen=True, kw_only=True):
    """One strategy on the run's own labelled images.

    Attributes
    ----------
    accuracy : float
        Balanced accuracy with the labels that it chose.
    gain : Difference
        Over as many random labels.
    worth : float or None
        Random labels that reach the same; None where no number of those at hand does.
    is_better : bool
        Significantly, after correction for several strategies.
    """

    name: str
    accuracy: float
    gain: Difference
    worth: float | None
    is_better: bool


class Chosen(Struct, frozen=True, kw_only=True):
    """One image to label.

    Attributes
    ----------
    predicted : str
        The class that is most probable by what is labelled.
    margin : float
        Difference of its two highest scores: small where it is unsure.
    """

    name: str
    path: str
    predicted: str
    margin: float


class LabelNextResult(ExperimentResult, frozen=True, kw_only=True, tag="label_next"):
    """Images to label, in this order.

    Attributes
    ----------
    n_labelled, n_unlabelled : int
        Images with labels, and usable ones without.
    n_overlap, n_unreadable : int
        Images of the folder that are left out: those of the run, with those that it left out, and
        damaged ones.
    n_played : int
        Labelled images of the replay: all, or a sample of many in which each class has its share.
    n_start, n_chosen, n_judged : int
        Of the replay: labels at the start, labels added, images judged.
    start, random : float
        Balanced accuracy at the start, and with random labels.
    played : tuple of Played
        The best first; empty where there are too few labelled images.
    strategy : str
        The one that was used.
    """

    settings: Settings
    n_labelled: int
    n_unlabelled: int
    n_overlap: int
    n_unreadable: int
    n_played: int = 0
    n_start: int
    n_chosen: int
    n_judged: int
    start: float
    random: float
    played: tuple[Played, ...]
    strategy: str
    chosen: tuple[Chosen, ...]
