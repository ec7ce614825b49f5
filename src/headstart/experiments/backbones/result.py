"""What `compare` found."""

from __future__ import annotations

from msgspec import Struct

from headstart.experiments.backbones.settings import Settings
from headstart.experiments.experiment import ExperimentResult
from headstart.results import Difference, Interval


class Candidate(Struct, frozen=True, kw_only=True):
    """One backbone's last layer, with the linear SVM."""

    name: str
    tap: str
    size_px: int
    C: float
    n_parameters: int  # parameters of the whole network
    macs: int  # multiply-accumulates of the whole network for one image at this resolution
    images_per_s: float  # on this machine, decoding included
    cv: Interval  # cross-validated accuracy on the training images
    test: Interval | None  # None without test images
    behind: Difference  # cross-validated accuracy less that of the best, on the same images
    is_best: bool  # whether it is the most accurate in cross-validation
    # whether it is the cheapest that ties with the best and is at most one point lower
    is_chosen: bool
    is_on_front: bool  # whether none of equal or lower cost is as accurate


class Round(Struct, frozen=True, kw_only=True):
    """One round of a race: the training images of it, who ran, and how long all took."""

    n_images: int
    names: tuple[str, ...]
    seconds: float


class Left(Struct, frozen=True, kw_only=True):
    """A backbone that left a race."""

    name: str
    n_images: int  # training images of the round after which it left
    cv: Interval  # its cross-validated accuracy on them
    leader: str  # the most accurate of that round
    behind: Difference  # accuracy less that of the leader, on the same images
    # {"behind", "budget"}; more than a point behind beyond the noise; or the least accurate where
    # the time was short
    reason: str


class Race(Struct, frozen=True, kw_only=True):
    """The rounds before all images, and who left after them."""

    rounds: tuple[Round, ...]
    left: tuple[Left, ...]
    seconds: float


class BackbonesResult(ExperimentResult, frozen=True, kw_only=True, tag="backbones"):
    """Candidates in order of multiply-accumulates."""

    settings: Settings
    data: str
    n_train: int
    n_test: int
    candidates: tuple[Candidate, ...]  # those that were judged on all images
    race: Race | None = None  # how the others left

    @property
    def best(self) -> Candidate:
        """The most accurate in cross-validation; of equals, the cheapest."""
        return next(c for c in self.candidates if c.is_best)

    @property
    def chosen(self) -> Candidate:
        """The cheapest that ties with the best and is at most one point lower."""
        return next(c for c in self.candidates if c.is_chosen)
