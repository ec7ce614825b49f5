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
    """One image to look at.

    Attributes
    ----------
    kind : {"copies", "label", "novel", "blank", "damaged"}
        The gravest reason.
    name, path, digest, label, split : str
        The image; empty where a damaged file has none of these.
    suggested : str
        The class that the others say it is.
    probability : float or None
        Of `suggested`, by a classifier that has not seen the image.
    margin : float or None
        Score of the label less the largest other one; the smaller, the more suspicious.
    is_counted : bool
        Whether confident learning counts the label as wrong.
    worth : float or None
        Of a label that was judged: how many other images are recognised thanks to it, in expectation;
        negative where it costs.
    reason : str
        In words.
    """

    kind: Kind
    name: str
    reason: str
    path: str = ""
    digest: str = ""
    label: str = ""
    split: str = ""
    suggested: str = ""
    probability: float | None = None
    margin: float | None = None
    is_counted: bool = False
    worth: float | None = None


class LabelCost(Struct, frozen=True, kw_only=True):
    """Labels without which the other images are recognised better, as fresh folds confirmed.

    Attributes
    ----------
    names : tuple of str
        Their images, those that cost most first.
    gain : Interval
        How much higher the balanced accuracy on fresh folds is without such labels, of a ridge classifier on
        the run's features (at most 256 principal axes).
    """

    names: tuple[str, ...]
    gain: Interval


class ImageWorth(Struct, frozen=True, kw_only=True):
    """What one image adds to the others.

    Attributes
    ----------
    worth : float
        How many other images are recognised thanks to it, in expectation, where each class counts alike;
        negative where it costs.
    """

    name: str
    label: str
    split: str
    worth: float


class Decision(Struct, frozen=True, kw_only=True):
    """What was decided on an image before: by the fixes of the run, or those that were given.

    Attributes
    ----------
    action : {"keep", "relabel", "drop"}
    label : str
        The new label, of a relabelled image.
    path : str
        Where the image is.
    """

    name: str
    action: Action
    label: str = ""
    path: str = ""


class CleanResult(ExperimentResult, frozen=True, kw_only=True, tag="clean"):
    """Images to look at.

    Attributes
    ----------
    n_images : int
        Usable images of the run.
    n_judged : int
        Images whose labels could be judged by others.
    not_judged : tuple of str
        Classes whose labels could not: all their images are in one group or copies of each other, or
        there is one only.
    noise : Interval or None
        Share of the judged labels that confident learning counts as wrong; those that were decided
        before count as right. None where none could be judged.
    findings : tuple of Finding
        The gravest first, without images that were decided before.
    decisions : tuple of Decision
        What was decided before.
    cost : LabelCost or None
        None where fresh folds do not confirm that labels cost accuracy.
    worth : tuple of ImageWorth
        Of the judged images, or of a sample of them; the most costly first.
    """

    settings: Settings
    n_images: int
    n_judged: int
    not_judged: tuple[str, ...]
    noise: Interval | None
    classes: tuple[str, ...]
    findings: tuple[Finding, ...]
    decisions: tuple[Decision, ...] = ()
    cost: LabelCost | None = None
    worth: tuple[ImageWorth, ...] = ()

    def of_kind(self, kind: str) -> list[Finding]:
        """The findings of one kind, in order."""
        return [f for f in self.findings if f.kind == kind]
