"""What `clean` found."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

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


class CleanResult(ExperimentResult, frozen=True, kw_only=True, tag="clean"):
    """Images to look at.

    Attributes
    ----------
    settings : Settings
    n_images : int
        Usable images of the run.
    noise : Interval
        Share of labels that confident learning counts as wrong.
    classes : tuple of str
    findings : tuple of Finding
        The gravest first.
    """

    settings: Settings
    n_images: int
    noise: Interval
    classes: tuple[str, ...]
    findings: tuple[Finding, ...]

    def of_kind(self, kind: str) -> list[Finding]:
        """The findings of one kind, in order."""
        return [f for f in self.findings if f.kind == kind]
