"""The real sets that general claims are measured on: their folders, and what a split keeps together."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import SHARED

from headstart.data import Index, index
from headstart.data.samples import sample_folder
from headstart.features import cache_folder

SEED = 0


@dataclass(frozen=True, kw_only=True)
class RealSet:
    """A labelled set.

    Attributes
    ----------
    name : str
    folder : str
        In ../shared/data; empty: scikit-learn's digits, written as files.
    note : str
        What the images are.
    group_by : str, optional
        A regular expression over names whose groups stay on one side: films, people, patients.
    """

    name: str
    folder: str
    note: str
    group_by: str | None = None

    @property
    def path(self) -> Path:
        """Where the images are."""
        return SHARED / "data" / self.folder if self.folder else sample_folder("digits")

    def index(self) -> Index:
        """With a fifth of each class as test images."""
        return index(self.path, seed=SEED, group_by=self.group_by, cache=cache_folder())


SETS = (
    RealSet(name="scene15", folder="scene15", note="15-Scene: grey photographs of places"),
    RealSet(name="textures", folder="textures", note="ten classes of DTD, 20 images each"),
    RealSet(name="digits", folder="", note="scikit-learn's 8x8 handwritten digits"),
    RealSet(
        name="characters",
        folder="characters",
        note="handwritten characters of eight alphabets (Omniglot), split by drawer",
        group_by=r"^(\w+)_\d+/\d+_(\d+)",
    ),
    RealSet(name="flowers", folder="domains/flowers12", note="twelve species of Oxford Flowers 17"),
    RealSet(
        name="rice leaves",
        folder="domains/rice_leaves",
        note="leaf diseases of rice, field photographs",
    ),
    RealSet(
        name="chest X-rays",
        folder="domains/chest_xray",
        note="COVID-19, pneumonia, no findings, split by patient where known",
        group_by=r"/(p\d+)_|([^/]+)$",
    ),
    RealSet(
        name="sign digits",
        folder="domains/sign_digits",
        note="hand signs of the digits, split by person",
        group_by=r"(s\d+)_",
    ),
    RealSet(
        name="traffic signs",
        folder="domains/traffic_signs",
        note="twelve classes of GTSRB, 32 px, split by film",
        group_by=r"([^/]+/track\d+)_",
    ),
    RealSet(name="steel", folder="domains/neu_steel", note="surface defects of steel (NEU), grey"),
    RealSet(name="trash", folder="domains/trashnet", note="kinds of waste (TrashNet)"),
    RealSet(name="groceries", folder="domains/groceries", note="16 kinds of fruit in the shop"),
    RealSet(
        name="PACS photo",
        folder="domains/shift/pacs_photo",
        note="seven classes of PACS, photographs",
    ),
    RealSet(
        name="PACS art", folder="domains/shift/pacs_art", note="seven classes of PACS, paintings"
    ),
)
