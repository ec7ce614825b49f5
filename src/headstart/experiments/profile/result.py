"""What `transfer profile` found."""

from __future__ import annotations

from msgspec import Struct

from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.profile.settings import Settings
from headstart.results import Difference, Interval


class Cell(Struct, frozen=True, kw_only=True):
    """One layer in one view, judged by cross-validation."""

    tap: str
    view: str
    n_features: int
    C: float
    cv: Interval
    is_best: bool  # whether it is the most accurate
    is_tie: bool  # whether it is within one standard error of the best
    behind: Difference  # accuracy less that of the best, on the same images


class Step(Struct, frozen=True, kw_only=True):
    """One block more in the concatenation: accuracy on held-out images, and its gain."""

    block: str
    cv: float
    gain: Difference | None
    is_taken: bool


class Model(Struct, frozen=True, kw_only=True):
    """``"usual layer"``, ``"best single block"`` or ``"concatenation"``; gains over the first."""

    name: str
    blocks: tuple[str, ...]
    n_features: int
    C: float
    cv: Interval
    cv_gain: Difference
    test: Interval | None
    test_gain: Difference | None


class ProfileResult(ExperimentResult, frozen=True, kw_only=True, tag="profile"):
    """What every layer and the concatenation reach."""

    settings: Settings
    data: str
    backbone: str
    taps: tuple[str, ...]  # names of the layers, in network order
    # how the layers are seen: resolutions, ``whole`` where all of the image is shown; of texts, how
    # a layer is pooled over the tokens
    views: tuple[str, ...]
    n_train: int
    n_test: int
    n_folds: int
    n_selected_on: int  # training images that the concatenation was chosen on
    cells: tuple[Cell, ...]  # tap by tap, each in every view
    steps: tuple[Step, ...]  # how the concatenation grew
    models: tuple[Model, ...]
    beside: tuple[Cell, ...] = ()  # features that are not of the network: TF-IDF of texts

    @property
    def best(self) -> Cell:
        """The most accurate layer; of equals, the first."""
        return next(c for c in self.cells if c.is_best)
