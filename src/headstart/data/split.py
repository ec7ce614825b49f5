"""A training and a test side, chosen by what the images are and not by what they are called."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from headstart.data.duplicates import merge_groups
from headstart.data.groups import together
from headstart.data.labels import twin_hint
from headstart.data.records import DuplicateGroup, Example
from headstart.data.sources import counted, shown
from headstart.data.stratify import iterative_stratification, target_counts
from headstart.errors import DataError


def make_split(
    records: Sequence[Example],
    duplicates: Sequence[DuplicateGroup] = (),
    *,
    test_size: float = 0.2,
    seed: int = 0,
    noun: str = "image",
) -> dict[str, str]:
    """Put every example in ``"train"`` or ``"test"``, stratified, copies kept together.

    The order of files, their names and their dates have no say: groups of duplicates are ordered
    by a hash of the seed and their digests, and taken for the test side while every class they
    touch has room.

    Parameters
    ----------
    records
        Usable and labelled. Those of one ``group`` go to one side.
    duplicates
        Exact and near groups by name; a group goes to one side whole.
    test_size
        Share of each class to test on, in (0, 1). A class of ``n`` images gives
        ``round(n * test_size)``, at least 1 and at most ``n - 1``; fewer where groups of
        duplicates do not fit, more where the only group that can be given is larger.
    seed
        Other seeds give other splits.
    noun
        What a record is called in errors.

    Returns
    -------
    dict
        Split by record name.

    Raises
    ------
    DataError
        Where a class cannot be on both sides: it has one image, or all its images are duplicates
        of each other, or of one group.
    """
    if not 0 < test_size < 1:
        raise DataError(f"test_size must lie between 0 and 1, not {test_size!r}; 0.2 is usual")
    groups = _Groups(records, duplicates, seed)
    if records[0].target is not None:
        return _split_targets(records, groups, test_size)
    _check_classes(records, groups, noun)
    sizes = Counter(r.label for r in records)
    target = {c: min(max(round(n * test_size), 1), n - 1) for c, n in sizes.items()}
    tested: Counter[str] = Counter()
    chosen: set[int] = set()
    for g in groups.order:
        labels = groups.labels[g]
        if all(tested[c] + n <= target[c] for c, n in labels.items()):
            chosen.add(g)
            tested.update(labels)
    if any(r.group for r in records):
        _fill_up(groups, target, sizes, tested, chosen)
    _give_untested_a_group(groups, sizes, tested, chosen, noun)
    return {
        name: "test" if g in chosen else "train" for g in groups.order for name in groups.names[g]
    }


def _split_targets(records: Sequence[Example], groups: _Groups, test_size: float) -> dict[str, str]:
    """The same where examples have labels or numbers: by iterative stratification."""
    number = {name: i for i, g in enumerate(groups.order) for name in groups.names[g]}
    if len(groups.order) < 2:
        raise DataError(
            "all images are copies of one another, or of one group, and cannot be split into a training "
            "and a test side: give smaller groups, or a split of your own"
        )
    unit_of = np.array([number[r.name] for r in records])
    counts, sizes = target_counts(records, unit_of, max(2, round(1 / test_size)))
    part = iterative_stratification(counts, sizes, [1 - test_size, test_size])
    for own in counts.T > 0:
        if own.any() and part[own].all():  # a label is trained before it is tested
            part[np.flatnonzero(own)[np.argmin(sizes[own])]] = 0
    if part.max() == part.min():
        part[-1] = 1 - part[-1]
    return {name: "test" if part[i] else "train" for name, i in number.items()}


class _Groups:
    """Merged duplicate groups: their names, label counts, and the seeded order of their ids."""

    def __init__(
        self, records: Sequence[Example], duplicates: Sequence[DuplicateGroup], seed: int
    ) -> None:
        of = {r.name: r for r in records}
        copies: dict[str, list[str]] = defaultdict(list)
        for record in records:
            copies[record.digest].append(record.name)
        kept = [g.names for g in duplicates] + list(copies.values()) + together(records)
        self.names = merge_groups(kept, list(of))
        self.labels = [Counter(of[name].label for name in names) for names in self.names]
        digests = [sorted(of[name].digest for name in names) for names in self.names]

        def rank(g: int) -> bytes:
            return hashlib.sha256(f"{seed}:{digests[g][0]}".encode()).digest()

        self.order = sorted(range(len(self.names)), key=rank)
        self.of_class: Mapping[str, list[int]] = defaultdict(list)
        for g in self.order:
            for label in self.labels[g]:
                self.of_class[label].append(g)


def _check_classes(records: Sequence[Example], groups: _Groups, noun: str) -> None:
    for label, members in sorted(groups.of_class.items()):
        if len(members) > 1:
            continue
        alike = [c for c, own in groups.of_class.items() if len(own) == 1 and c != label]
        more = f", and {counted(len(alike), 'other class')} likewise" if alike else ""
        twin = twin_hint([label], groups.of_class)
        names = sorted(r.name for r in records if r.label == label)
        named, first = shown(label), shown(names[0])
        if len(names) == 1:
            raise DataError(
                f"class {named} has one {noun} ({first}) and cannot be trained and tested{more}: "
                f"add {noun}s to {'each' if alike else 'it'} or remove the "
                f"{'classes' if alike else 'class'}.{twin}"
            )
        units = {r.group for r in records if r.label == label}
        if units != {""}:
            raise DataError(
                f"class {named} has its {len(names)} {noun}s in one group ({shown(min(units), 60)}, and "
                "those that share copies with it) and cannot be trained and tested: give smaller "
                "groups, remove the class, or give a split of your own"
            )
        raise DataError(
            f"class {named} has {len(names)} {noun}s that are all copies of one {noun} "
            f"({first}, ...) and cannot be trained and tested: add other {noun}s, remove the "
            "class, or give a split of your own"
        )


def _fill_up(
    groups: _Groups,
    target: Mapping[str, int],
    sizes: Mapping[str, int],
    tested: Counter[str],
    chosen: set[int],
) -> None:
    """Take more groups while the test side comes nearer to its target: groups may be large."""
    for g in groups.order:
        labels = groups.labels[g]
        if g in chosen or any(tested[c] + n >= sizes[c] for c, n in labels.items()):
            continue
        before = sum(abs(target[c] - tested[c]) for c in labels)
        after = sum(abs(target[c] - tested[c] - n) for c, n in labels.items())
        if after < before:
            chosen.add(g)
            tested.update(labels)


def _give_untested_a_group(
    groups: _Groups, sizes: Mapping[str, int], tested: Counter[str], chosen: set[int], noun: str
) -> None:
    """A class whose groups were all too large for its target still gets one on the test side."""
    for label in sorted(sizes):
        if tested[label]:
            continue
        fitting = [
            g
            for g in groups.of_class[label]
            if all(tested[c] + n < sizes[c] for c, n in groups.labels[g].items())
        ]
        if not fitting:
            raise DataError(
                f"class {shown(label)} cannot be on both sides of a split: its {noun}s "
                f"are duplicates of {noun}s in other classes; give a split of your own"
            )
        best = min(fitting, key=lambda g: sum(groups.labels[g].values()))
        chosen.add(best)
        tested.update(groups.labels[best])
