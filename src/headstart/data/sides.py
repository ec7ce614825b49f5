"""The sides of a data set's split: those that it came with, checked, or made here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from headstart.data.groups import group_notes
from headstart.data.labels import twin_hint
from headstart.data.records import DuplicateGroup, Example, Examples, R
from headstart.data.sources import counted, shown, some
from headstart.data.split import make_split
from headstart.data.targets import names_of
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


def with_sides(found: S, *, test_size: float, seed: int, noun: str = "image") -> S:
    """Check the split that came with the data, or make one.

    Raises
    ------
    DataError
        There is no training side, or a class is missing from it.
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
        _require_learnable(found, noun)
        return found
    if "train" not in splits:
        named = ", ".join(sorted(splits))
        raise DataError(f"{shown(found.root)} has no training {noun}s: its split has only {named}")
    return check_sides(found, noun=noun)


def check_sides(found: S, *, noun: str = "image") -> S:
    """Note the classes that a held-out side lacks, and those with one training example.

    Raises
    ------
    DataError
        A class is missing from the training side.
    """
    counts, kind = found.counts(), "label" if found.kind == "labels" else "class"
    untrained = [c for c, n in counts.items() if not n["train"]]
    if untrained:
        unusable = ""
        if lost := found.quarantine:
            first = f"{shown(lost[0].name)}: {lost[0].reason}"
            unusable = f" ({counted(len(lost), 'file')} could not be used, first {first})"
        trained = [c for c in counts if c not in untrained]
        raise DataError(
            f"no training {noun}s of {counted(len(untrained), kind)}: {some(untrained)}"
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
    _require_learnable(found, noun)
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
    held = Counter(label for group in alike for label in group.labels)
    sizes = Counter(record.label for record in records)
    named = [f"{shown(c, 30)}: {held[c]} of {sizes[c]}" for c in sorted(held)[:_N_NAMED]]
    if len(held) > _N_NAMED:
        named.append(f"{len(held) - _N_NAMED} more classes")
    note = (
        f"{held.total():,} images look almost the same, as from a fixed camera ({', '.join(named)}), and "
        "count as separate images: the accuracy holds for more of the same scenes and may be lower for "
        f"others; a split with each part, patient or day on one side ({argument('split')}) would tell"
    )
    return [note]


def _require_learnable(found: Examples[Any], noun: str) -> None:
    """Refuse labels that no training example or each of them has, and numbers that are all the same.

    Raises
    ------
    DataError
    """
    train = found.train
    if found.kind == "numbers" and len({r.target for r in train}) == 1:
        raise DataError(
            f"{shown(found.root)}: the number is {train[0].target} for every training {noun}: there is "
            "nothing to learn"
        )
    if found.kind != "labels":
        return
    sizes = Counter(name for r in train for name in names_of(r))
    never = [name for name in found.classes if not sizes[name]]
    always = [name for name, n in sizes.items() if n == len(train)]
    for named, what in ((never, "no training {} has"), (always, "every training {} has")):
        if named:
            raise DataError(
                f"{shown(found.root)}: {what.format(noun)} the "
                f"{'label' if len(named) == 1 else 'labels'} {some(sorted(named))}, which cannot be learnt: "
                f"add {noun}s, remove it from the table, or give another split"
            )


def _note(what: str, classes: Sequence[str], kind: str) -> str:
    return f"{what} {counted(len(classes), kind)}: {some(classes)}" if classes else ""
