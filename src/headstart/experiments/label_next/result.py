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


class UsedUnlabelled(Struct, frozen=True, kw_only=True):
    """Training on images without labels too, by one method, on the run's own labelled images."""

    # "propagation" over the graph of neighbours, or "pseudo-labels" of each class
    name: str
    accuracy: float  # balanced accuracy, pseudo-labels included in the training
    gain: Difference  # over the labelled images alone
    is_better: bool  # significantly, after correction for two methods
    right: float  # share of the pseudo-labels that were right


class PseudoLabel(Struct, frozen=True, kw_only=True):
    """A label that no person gave."""

    name: str
    path: str
    label: str
    weight: float  # how much it counts in training, beside 1 (or the mean weight) of an image with a label


class Labelled(Struct, frozen=True, kw_only=True):
    """An image of the run, beside which pseudo-labels are written."""

    path: str
    label: str
    split: str  # {"train", "val", "test"}
    group: str = ""  # empty where the run has no groups
    weight: float = 1.0


class LabelNextResult(ExperimentResult, frozen=True, kw_only=True, tag="label_next"):
    """Images to label, in this order."""

    settings: Settings
    n_labelled: (
        int  # the run's images with labels, without test images, which have no say in anything here
    )
    n_unlabelled: int  # usable images without labels
    n_overlap: int  # images of the folder left out because they are the run's, used or not
    n_unreadable: int  # damaged images of the folder, which are left out
    # labelled images of the replay: all, or a sample of many in which each class has its share
    n_played: int = 0
    n_start: int  # labels at the start of the replay
    n_chosen: int  # labels added in the replay
    n_judged: int  # images judged in the replay
    start: float  # balanced accuracy at the start of the replay
    random: float  # balanced accuracy with randomly chosen labels
    # the best first; empty where there are fewer than 20 labelled images, or fewer than 5 groups of them
    played: tuple[Played, ...]
    strategy: str  # the one that was used
    chosen: tuple[Chosen, ...]
    # training on images without labels too, in a replay: the best first; empty where there are fewer
    # than 50 labelled images, or fewer than 5 groups of them
    unlabelled: tuple[UsedUnlabelled, ...] = ()
    n_known: int = 0  # labelled images of that replay
    n_hidden: int = 0  # images of that replay whose labels were hidden
    labelled_alone: float = 0.0  # balanced accuracy of the labelled images alone in that replay
    # of the unlabelled images, by the best method; empty unless its gain is significant
    pseudo_labels: tuple[PseudoLabel, ...] = ()
    # the images with labels, beside which pseudo-labels are written, test images included
    labelled: tuple[Labelled, ...] = ()
