"""The sides of a data set's split: those that it came with, checked, or made here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from headstart.data.groups import group_notes
from headstart.data.labels import twin_hint
from headstart.data.records import DuplicateGroup, Example, Examples, R
from headstart.data.sources import counted, shown, some
from headstart.data.split import make_split
from headstart.data.targets import check_numbers, kind_of, label_sizes, names_of, without_labels
from headstart.errors import DataError, argument

S = TypeVar("S", bound=Examples[Any])

_N_NAMED = 2  # a note has to fit into a line of a terminal's log


def name_val_as_test(records: list[R], notes: list[str]) -> list[R]:
    """Held-out data is the test side, whatever it is called, where there is no other."""
    splits = {r.split for r in records}
    if splits != {"train", "val"}:
        return records
    notes.append("the data has no test split: its validation split is used as the test split")
    return [replace(r, split="test") if r.split == "val" else r for r in records]


def with_sides(
    found: S, *, test_size: float, seed: int, noun: str = "image", where: Path | None = None
) -> S:
    """Check the split that came with the data, or make one; `where` is the table, for errors.

    Raises DataError where there is no training side, or a class is missing from it.
    """
    found = replace(found, notes=(*found.notes, *group_notes(found.records)))
    splits = {r.split for r in found.records}
    if splits == {""} or splits == {"train"}:
        made, more = _make_sides(found, test_size, seed, noun)
        notes = (*found.notes, *more)
        if splits == {"train"}:
            notes += (
                f"the data has training {noun}s only: a part of them was split off to test on",
            )
        found = replace(found.with_split(made), split_made=True, notes=notes)
        return _learnable(_share_noted(found, test_size, noun), noun, where)
    if "train" not in splits:
        named = ", ".join(sorted(splits))
        place = shown(where or found.root)
        raise DataError(f"{place} has no training {noun}s: its split has only {named}")
    return check_sides(found, noun=noun, where=where)


def check_sides(found: S, *, noun: str = "image", where: Path | None = None) -> S:
    """Note the classes that a held-out side lacks, and those with one training example.

    Raises DataError where a class is missing from the training side.
    """
    found = _learnable(found, noun, where)
    counts, kind = found.counts(), "label" if found.kind == "labels" else "class"
    untrained = [c for c, n in counts.items() if not n["train"]]
    if untrained:
        unusable = ""
        if lost := found.quarantine:
            first = f"{shown(lost[0].name)}: {lost[0].reason}"
            unusable = f" ({counted(len(lost), 'file')} could not be used, first {first})"
        trained = [c for c in counts if c not in untrained]
        raise DataError(
            f"no training {noun}s of {counted(len(untrained), kind)}: {some(untrained, is_counted=True)}"
            f"{unusable}: add some, or remove the {kind} from the other splits."
            f"{twin_hint(untrained, trained)}"
        )
    names = {"val": "validation", "test": "test"}
    there = {r.split for r in found.records}
    lacking = [
        _note(f"no {name} {noun}s of", [c for c, n in counts.items() if not n[side]], kind)
        for side, name in names.items()
        if side in there
    ]
    few = [c for c, n in counts.items() if n["train"] == 1]
    said = [*lacking, _note(f"one training {noun} only of", few, kind)]
    return replace(found, notes=tuple(dict.fromkeys((*found.notes, *filter(None, said)))))


def _make_sides(
    found: Examples[Any], test_size: float, seed: int, noun: str
) -> tuple[dict[str, str], tuple[str, ...]]:
    """A split, and a note where it could not keep near duplicates together."""
    groups = found.duplicates
    try:
        return make_split(found.records, groups, test_size=test_size, seed=seed, noun=noun), ()
    except DataError:
        exact = [group for group in groups if group.kind == "exact"]
        if len(exact) == len(groups):
            raise
        made = make_split(found.records, exact, test_size=test_size, seed=seed, noun=noun)
    note = (
        f"near duplicates could not all be kept on one side of the split: a class would have had {noun}s "
        f"on one side only. The accuracy without such {noun}s is the one to trust"
    )
    return made, (note,)


def alike_notes(alike: Sequence[DuplicateGroup], records: Sequence[Example]) -> list[str]:
    """What is to be known of images too much alike and too many to be kept together, or nothing."""
    if not alike:
        return []
    of = {record.name: record for record in records}
    held = Counter(label for group in alike for n in group.names for label in names_of(of[n]))
    sizes = Counter(label for record in records for label in names_of(record))
    named = [f"{shown(c, 30)}: {held[c]} of {sizes[c]}" for c in sorted(held)[:_N_NAMED]]
    kind = kind_of(records[0].target)
    if len(held) > _N_NAMED:
        named.append(f"{len(held) - _N_NAMED} more {'classes' if kind == 'classes' else 'labels'}")
    parts = f" ({', '.join(named)})" if named else ""
    n, holds = sum(len(group.names) for group in alike), "the accuracy holds"
    note = (
        f"{n:,} images look almost the same, as from a fixed camera{parts}, and count as separate images: "
        f"{holds if kind == 'classes' else 'the figures hold'} for more of the same scenes and may be "
        f"{'lower' if kind == 'classes' else 'worse'} for others; a split with each part, patient or day on "
        f"one side ({argument('split')}) would tell"
    )
    return [note]


def _share_noted(found: S, test_size: float, noun: str) -> S:
    """Note a test side much larger than was asked for: each rare label, or large group, adds to it."""
    n, n_test = len(found.records), len(found.test)
    if found.kind == "classes" or n_test <= max(1.15 * test_size * n, test_size * n + 1):
        return found
    note = (
        f"the test side holds {100 * n_test / n:.0f} % of the {noun}s, where {100 * test_size:g} % were "
        "asked for: rare labels and large groups are kept on both sides"
    )
    return replace(found, notes=(*found.notes, note))


def _learnable(found: S, noun: str, where: Path | None) -> S:
    """Leave out labels that no training example or each of them has; refuse numbers that are all the same.

    Raises DataError.
    """
    train, place = found.train, where or found.root
    if not train and found.kind != "classes":
        raise DataError(f"{shown(place)}: no training {noun} is left that can be used")
    if found.kind == "numbers":
        check_numbers(place, train, f"training {noun}")
    if found.kind != "labels":
        return found
    sizes = label_sizes(train)
    left_out = {
        f"no training {noun} has": [name for name in found.classes if name not in sizes],
        f"every training {noun} has": [k for k, n in sizes.items() if n == len(train)],
    }
    records, notes = without_labels(place, found.records, left_out)
    return replace(found, records=tuple(records), notes=(*found.notes, *notes)) if notes else found


def _note(what: str, classes: Sequence[str], kind: str) -> str:
    return (
        f"{what} {counted(len(classes), kind)}: {some(classes, is_counted=True)}" if classes else ""
    )
