"""Corrections of labels, from a file, without a change of any image or folder."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from headstart.data.records import DuplicateGroup, Example, Examples
from headstart.data.sides import check_sides
from headstart.data.sources import counted, shown, some
from headstart.data.tables import Table, read_table
from headstart.errors import DataError, argument, did_you_mean, one_line

E = TypeVar("E", bound=Examples[Any])
Action = Literal["keep", "relabel", "drop"]
COLUMNS = ("name", "action", "label")


@dataclass(frozen=True, kw_only=True)
class Fix:
    """What is to be done with one example."""

    name: str  # as in the index
    action: Action  # {"keep", "relabel", "drop"}
    label: str = ""  # the new label; "" where there is none


def read_fixes(path: Path) -> tuple[Fix, ...]:
    """Corrections from a table with the columns ``name``, ``action`` and ``label``.

    Raises DataError where the table cannot be read or used; the message names the line.
    """
    where = one_line(str(path))
    if not path.is_file():
        what = f"{where} is a folder" if path.is_dir() else f"no such file of fixes: {where}"
        raise DataError(f"{what}. Check {argument('fixes')}")
    table = read_table(path, row="a name, an action and a label")
    at = {name: _column(table, name, where) for name in COLUMNS}
    found: dict[str, Fix] = {}
    for place, row in zip(table.places, table.rows, strict=True):
        # Spaces may be part of a name.
        name, action, label = (row[i] if i < len(row) else "" for i in at.values())
        place, action, label = f"{where}, {place}", action.strip(), label.strip()
        if action not in get_args(Action):
            legal = ", ".join(get_args(Action))
            raise DataError(
                f"{place}: the action must be one of {legal}; got {one_line(action)!r}."
                f"{did_you_mean(action, get_args(Action))}"
            )
        if action == "relabel" and not label:
            raise DataError(f"{place}: relabel needs the new label of {shown(name)}")
        fix = Fix(name=name, action=action, label=label if action == "relabel" else "")  # type: ignore[arg-type]
        if found.setdefault(name, fix) != fix:
            raise DataError(
                f"{place}: {shown(name)} comes twice, with different actions: keep one line of it"
            )
    return tuple(found.values())


def write_fixes(fixes: tuple[Fix, ...]) -> bytes:
    """The table that `read_fixes` reads, every cell in quotes: a name may begin with ``#``."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
    rows.writerows([COLUMNS, *((f.name, f.action, f.label) for f in fixes)])
    return buffer.getvalue().encode("utf-8", "surrogateescape")


def apply_fixes(index: E, fixes: tuple[Fix, ...], where: str) -> E:
    """The examples with their labels corrected, less those that are dropped; splits stay.

    Raises DataError where a fix names no example or no class, or fewer than two classes are left.

    `where`: the file that they come from.
    """
    names = {r.name for r in index.records}
    left_out = {q.name for q in index.quarantine}
    known = names | left_out
    wrong = [f.name for f in fixes if f.name not in known]
    if wrong:
        raise DataError(
            f"{where}: {counted(len(wrong), 'name')} not among the images of {one_line(str(index.root))} "
            f"(first: {shown(wrong[0])}).{did_you_mean(wrong[0], sorted(names))} Names are those of the "
            "index, with / between folder and file"
        )
    for fix in fixes:
        if fix.label and fix.label not in index.classes:
            raise DataError(
                f"{where}: {shown(fix.label)}, the new label of {shown(fix.name)}, is none of the classes "
                f"{some(list(index.classes))}.{did_you_mean(fix.label, index.classes)}"
            )
    new = {f.name: f.label for f in fixes if f.label}
    dropped = {f.name for f in fixes if f.action == "drop"}
    records = tuple(
        replace(r, label=new.get(r.name, r.label)) for r in index.records if r.name not in dropped
    )
    n_changed = sum(r.label != new.get(r.name, r.label) for r in index.records)
    n_dropped = len(index.records) - len(records)
    note = f"{counted(n_changed, 'label')} changed and {counted(n_dropped, 'image')} left out by {where}"
    fixed = replace(
        index,
        records=records,
        duplicates=_groups(index, records),
        notes=(*index.notes, note),
    )
    if len({r.label for r in fixed.train}) < 2:
        raise DataError(f"{where} leaves fewer than two classes to train on: drop fewer images")
    try:
        return check_sides(fixed)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _groups(index: Examples[Any], records: tuple[Example, ...]) -> tuple[DuplicateGroup, ...]:
    """The duplicates that are still there, with their new labels."""
    label_of = {r.name: r.label for r in records}
    found = []
    for group in index.duplicates:
        kept = [i for i, name in enumerate(group.names) if name in label_of]
        if len(kept) > 1:
            found.append(
                replace(
                    group,
                    names=tuple(group.names[i] for i in kept),
                    splits=tuple(group.splits[i] for i in kept),
                    labels=tuple(label_of[group.names[i]] for i in kept),
                )
            )
    return tuple(found)


def _column(table: Table, name: str, where: str) -> int:
    if name not in table.header:
        raise DataError(
            f"{where} has no column {name!r}: it needs {', '.join(COLUMNS)}; got "
            f"{some(list(table.header))}"
        )
    return list(table.header).index(name)
