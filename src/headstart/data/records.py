"""What an index is made of: plain frozen values, with no reading of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Literal, Self, TypeVar

from msgspec.structs import replace as replace_fields

from headstart.data.summary import ClassSize, DataSummary, Duplicates, LeftOut
from headstart.data.targets import Kind, Target, kind_of, names_of

SPLITS = ("train", "val", "test")
"""The split names, in the order in which they are shown."""

# Largest class over the smallest, above which classes count as uneven and balanced accuracy leads.
UNEVEN = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One labelled thing, image or text: all that splits and folds look at."""

    name: str  # what a person is shown; unique in its data set
    label: str  # class name; ``""`` where unlabelled
    digest: str  # SHA-256 of the bytes, 64 hexadecimal digits
    split: str  # ``"train"``, ``"val"``, ``"test"``, or ``""`` before a split is made
    # what a split and the folds keep together: a patient, a plant, a camera; ``""`` for none
    group: str = ""
    weight: float = 1.0  # how often it counts, in training and in figures; 0 or more
    # its labels, or its number, where it is not of one class; `label` then says the same in words
    target: Target | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Record(Example):
    """One usable image.

    Its name is the posix path relative to the root of the index. It may hold anything a file name
    may, newlines and markup too: escape it before showing it.

    Attributes
    ----------
    path
        Absolute path of the file.
    width, height
        Pixels, after EXIF rotation.
    """

    path: Path
    width: int
    height: int


R = TypeVar("R", bound=Example)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quarantined:
    """One file or row that cannot be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DuplicateGroup:
    """Examples that are the same bytes (``exact``) or nearly the same (``near``).

    ``names``, ``splits`` and ``labels`` are parallel, sorted by name. A near group lists the exact
    copies of its members too.
    """

    names: tuple[str, ...]
    splits: tuple[str, ...]
    labels: tuple[str, ...]
    kind: Literal["exact", "near"]

    @property
    def straddles(self) -> bool:
        """Whether the group lies on more than one side of the split."""
        return len(set(self.splits)) > 1

    @property
    def conflicting(self) -> bool:
        """Whether the same picture carries more than one label."""
        return len(set(self.labels)) > 1

    def summary(self) -> Duplicates:
        """The group as results keep it."""
        return Duplicates(
            names=self.names,
            splits=self.splits,
            labels=self.labels,
            straddles=self.straddles,
            conflicting=self.conflicting,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples(Generic[R]):
    """A labelled data set with its split, whatever its records are."""

    root: Path  # where it is
    source: str  # where its labels come from, in words
    # those that can be used; this order is the row order of every feature matrix
    records: tuple[R, ...]
    quarantine: tuple[Quarantined, ...] = ()  # those that cannot, with the reason, sorted by name
    duplicates: tuple[DuplicateGroup, ...] = ()  # groups of exact and of near duplicates
    notes: tuple[str, ...] = ()  # notes for the user: what was left out, assumed or looks odd
    # Whether Headstart made the split. Then no group straddles it, but for near duplicates where a
    # note says so.
    split_made: bool = False

    def __len__(self) -> int:
        return len(self.records)

    @property
    def kind(self) -> Kind:
        """What is to be predicted: the class of an example, its labels or its number."""
        return kind_of(self.records[0].target) if self.records else "classes"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or labels, sorted; none where the target is a number."""
        return tuple(sorted({name for r in self.records for name in names_of(r)}))

    def of_split(self, split: str) -> tuple[R, ...]:
        """The records of one split, in index order."""
        return tuple(r for r in self.records if r.split == split)

    @property
    def train(self) -> tuple[R, ...]:
        """The training records."""
        return self.of_split("train")

    @property
    def val(self) -> tuple[R, ...]:
        """The validation records; empty unless the data came with some."""
        return self.of_split("val")

    @property
    def test(self) -> tuple[R, ...]:
        """The test records."""
        return self.of_split("test")

    def counts(self) -> dict[str, dict[str, int]]:
        """Examples of each class in each split: ``{class: {"train": n, "val": n, "test": n}}``."""
        n = Counter((name, r.split) for r in self.records for name in names_of(r))
        return {c: {s: n[c, s] for s in SPLITS} for c in self.classes}

    @property
    def imbalance(self) -> float:
        """Largest class of the training split over its smallest, >= 1 (1: balanced)."""
        some = self.train or self.records
        sizes = Counter(name for r in some for name in names_of(r)).values()
        return max(sizes) / min(sizes) if sizes else 1.0

    @property
    def is_uneven(self) -> bool:
        """Whether the largest class has more than :data:`UNEVEN` times the examples of the smallest.

        On the training side, or among the classes of the test side.
        """
        tested = Counter(r.label for r in self.test).values()
        of_test = max(tested) / min(tested) if tested else 1.0
        return max(self.imbalance, of_test) > UNEVEN

    @property
    def straddling(self) -> tuple[DuplicateGroup, ...]:
        """Duplicate groups with members on more than one side of the split."""
        return tuple(g for g in self.duplicates if g.straddles)

    @property
    def conflicting(self) -> tuple[DuplicateGroup, ...]:
        """Duplicate groups whose members carry different labels."""
        return tuple(g for g in self.duplicates if g.conflicting)

    def with_split(self, splits: Mapping[str, str]) -> Self:
        """The same examples under another split.

        `splits`: split of each record by name; a name left out keeps its split.
        """
        records = tuple(replace(r, split=splits.get(r.name, r.split)) for r in self.records)
        of = {r.name: r.split for r in records}
        groups = tuple(
            replace(g, splits=tuple(of[name] for name in g.names)) for g in self.duplicates
        )
        return replace(self, records=records, duplicates=groups)

    def summary(self) -> DataSummary:
        """What was found, as results keep it."""
        return DataSummary(
            root=str(self.root),
            source=self.source,
            n_train=len(self.train),
            n_val=len(self.val),
            n_test=len(self.test),
            n_quarantined=len(self.quarantine),
            split_made=self.split_made,
            n_groups=len({r.group for r in self.records if r.group}),
            classes=tuple(
                ClassSize(name=c, **{f"n_{s}": n for s, n in by.items()})
                for c, by in self.counts().items()
            ),
            imbalance=self.imbalance,
            quarantine=tuple(LeftOut(name=q.name, reason=q.reason) for q in self.quarantine),
            exact_duplicates=tuple(g.summary() for g in self.duplicates if g.kind == "exact"),
            near_duplicates=tuple(g.summary() for g in self.duplicates if g.kind == "near"),
            notes=tuple(self.notes),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Index(Examples[Record]):
    """All that is known of a data set of images without running a network.

    ``root`` is the folder that record names are relative to; ``source`` is ``"folder"``, ``"split
    folders"``, ``"table"``, ``"split file"``, or a named set's name; records are sorted by name.

    Attributes
    ----------
    ignored
        How many files were skipped because their suffix is not that of an image.
    """

    ignored: int = 0

    def summary(self) -> DataSummary:
        """What was found, as results keep it."""
        return replace_fields(
            Examples.summary(self), n_images=len(self.records), n_ignored=self.ignored
        )
