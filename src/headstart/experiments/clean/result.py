"""What `clean` found."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from headstart.data.fixes import Action
from headstart.experiments.clean.settings import Settings
from headstart.experiments.experiment import ExperimentResult
from headstart.results import Interval

Kind = Literal["copies", "label", "novel", "blank", "damaged"]


class Finding(Struct, frozen=True, kw_only=True):
    """One image to look at."""

    kind: Kind  # {"copies", "label", "novel", "blank", "damaged"}; the gravest reason
    name: str  # name of the image
    reason: str  # in words
    path: str = ""  # where the image is; empty for a damaged file
    digest: str = ""  # digest of the image; empty for a damaged file
    label: str = ""  # label of the image; empty for a damaged file
    split: str = ""  # side of the split that the image is on; empty for a damaged file
    suggested: str = ""  # the class that the others say it is
    probability: float | None = None  # of `suggested`, by a classifier that has not seen the image
    # score of the label less the largest other one; the smaller, the more suspicious
    margin: float | None = None
    is_counted: bool = False  # whether confident learning counts the label as wrong
    # of a label that was judged: how many other images are recognised thanks to it, in expectation;
    # negative where it costs
    worth: float | None = None


class LabelCost(Struct, frozen=True, kw_only=True):
    """Labels without which the other images are recognised better, as fresh folds confirmed."""

    names: tuple[str, ...]  # their images, those that cost most first
    # how much higher the balanced accuracy on fresh folds is without such labels, of a ridge
    # classifier on the run's features (at most 256 principal axes)
    gain: Interval


class ImageWorth(Struct, frozen=True, kw_only=True):
    """What one image adds to the others."""

    name: str
    label: str
    split: str
    # how many other images are recognised thanks to it, in expectation, where each class counts
    # alike; negative where it costs
    worth: float


class Decision(Struct, frozen=True, kw_only=True):
    """What was decided on an image before: by the fixes of the run, or those that were given."""

    name: str
    action: Action  # {"keep", "relabel", "drop"}
    label: str = ""  # the new label, of a relabelled image
    path: str = ""  # where the image is


class CleanResult(ExperimentResult, frozen=True, kw_only=True, tag="clean"):
    """Images to look at."""

    settings: Settings
    n_images: int  # usable images of the run
    n_judged: int  # images whose labels could be judged by others
    # classes whose labels could not: all their images are in one group or copies of each other, or
    # there is one only
    not_judged: tuple[str, ...]
    # Share of the judged labels that confident learning counts as wrong; those that were decided
    # before count as right. None where none could be judged.
    noise: Interval | None
    classes: tuple[str, ...]
    findings: tuple[Finding, ...]  # the gravest first, without images that were decided before
    decisions: tuple[Decision, ...] = ()  # what was decided before
    # how many training labels the run's report counts as wrong, of so many; None of an older run
    n_reported: int | None = None
    n_reported_of: int = 0
    cost: LabelCost | None = None  # None where fresh folds do not confirm that labels cost accuracy
    # of the judged images, or of a sample of them; the most costly first
    worth: tuple[ImageWorth, ...] = ()

    def of_kind(self, kind: str) -> list[Finding]:
        """The findings of one kind, in order."""
        return [f for f in self.findings if f.kind == kind]
