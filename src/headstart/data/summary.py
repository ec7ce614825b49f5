"""What was found in a data set, as reports show it and runs keep it."""

from __future__ import annotations

from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]


class ClassSize(msgspec.Struct, frozen=True, kw_only=True):
    """How many examples of a class are in each split."""

    name: str = msgspec.field(name="class")
    n_train: Count = 0
    n_val: Count = 0
    n_test: Count = 0


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A file that could not be used, and why."""

    name: str
    reason: str


class Duplicates(msgspec.Struct, frozen=True, kw_only=True):
    """A group of examples that are the same, or nearly so."""

    names: tuple[str, ...]
    splits: tuple[str, ...]
    labels: tuple[str, ...] = ()
    straddles: bool
    conflicting: bool

    def __post_init__(self) -> None:
        if len(self.names) != len(self.splits):
            raise ValueError("a group of duplicates must have a split for each name")


class WordCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Words of the median and of the longest text."""

    median: Count
    most: Count


class DataSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in the data."""

    root: str = ""
    source: str = ""
    noun: str = "image"
    n_train: Count
    n_val: Count
    n_test: Count
    n_images: Count | None = None
    n_texts: Count | None = None
    n_ignored: Count = 0
    n_quarantined: Count = 0
    n_words: WordCounts | None = None
    text_column: str | None = None
    label_column: str | None = None
    split_made: bool = False
    n_groups: Count = 0
    classes: tuple[ClassSize, ...] = ()
    imbalance: float
    quarantine: tuple[LeftOut, ...]
    exact_duplicates: tuple[Duplicates, ...]
    near_duplicates: tuple[Duplicates, ...]
    notes: tuple[str, ...] = ()

    @property
    def n_examples(self) -> int:
        """Images, or texts."""
        n = self.n_texts if self.noun == "text" else self.n_images
        return self.n_train + self.n_val + self.n_test if n is None else n

    @property
    def n_straddling(self) -> int:
        """Groups of duplicates on both sides of the split."""
        return sum(g.straddles for g in (*self.exact_duplicates, *self.near_duplicates))
