"""Targets that are not one class an image: several labels, or a number, from columns of a table.

Several labels stand in one column, separated by a text, or in columns of their own that hold 0 or 1.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from headstart.data.sources import counted, shown, some
from headstart.errors import DataError, InputError, argument, did_you_mean

if TYPE_CHECKING:
    from headstart.data.records import Example
    from headstart.data.tables import Table

Target = tuple[str, ...] | float
"""The labels of an example, sorted, or its number."""

Kind = Literal["classes", "labels", "numbers"]

SEVERAL_NAMES = ["labels", "tags", "label", "attributes", "categories", "keywords"]
"""Usual names of columns that hold several labels."""

# Of an image with no label, for people.
NO_LABEL = "(no label)"
# Joins the labels of an example for people; what a table may hold between them.
JOIN = "; "
SEPARATORS = (";", "|", ",")
_YES = frozenset({"1", "1.0", "true", "t", "yes", "y"})
_NO = frozenset({"0", "0.0", "false", "f", "no", "n"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# So many images, or groups of images that belong together, a number can be learnt from.
FEWEST_NUMBERS = 20


@dataclass(frozen=True, kw_only=True)
class TargetColumns:
    """Which columns hold targets that are not classes.

    Parameters
    ----------
    separator : str, optional
        What separates the labels in the column of labels.
    label_columns : str, optional
        Names, or patterns such as ``is_*``, of columns that hold 0 or 1, separated by commas.
    number : str, optional
        The column of a number.

    Raises
    ------
    InputError
        More than one of them is given, or one is empty.
    """

    separator: str | None = None
    label_columns: str | None = None
    number: str | None = None

    def __post_init__(self) -> None:
        given = {
            "multi_label": self.separator,
            "label_columns": self.label_columns,
            "target_column": self.number,
        }
        names = [argument(name) for name, value in given.items() if value is not None]
        if len(names) > 1:
            raise InputError(f"{' and '.join(names)} exclude each other: give one of them")
        if self.separator == "":
            raise InputError(
                f"{argument('multi_label')} must be what separates the labels of a cell, such as ';'; "
                "got an empty text"
            )
        if self.separator is not None and any(map(str.isalnum, self.separator)):
            raise InputError(
                f"{argument('multi_label')} must be what separates the labels of a cell, such as ';'; "
                f"got {self.separator!r}, which labels themselves may hold. The column is named with "
                f"{argument('label_column')}"
            )
        for name in ("label_columns", "target_column"):
            if (value := given[name]) is not None and not value.strip(" ,"):
                raise InputError(f"{argument(name)} must name a column; got {value!r}")

    @property
    def is_asked(self) -> bool:
        """Whether anything is asked for."""
        return self != TargetColumns()

    @property
    def option(self) -> str:
        """The parameter that was given."""
        if self.separator is not None:
            return argument("multi_label")
        return argument("label_columns" if self.number is None else "target_column")


def kind_of(target: Target | None) -> Kind:
    """What an example's target is."""
    if target is None:
        return "classes"
    return "labels" if isinstance(target, tuple) else "numbers"


def names_of(example: Example) -> tuple[str, ...]:
    """The class of an example, or its labels; nothing where its target is a number."""
    if example.target is None:
        return (example.label,)
    return example.target if isinstance(example.target, tuple) else ()


def shown_labels(names: Iterable[str]) -> str:
    """Labels as one text, for people."""
    return JOIN.join(names) or NO_LABEL


def read_targets(table: Table, asked: TargetColumns, label: int) -> list[Target]:
    """The target of each row.

    Parameters
    ----------
    table : Table
    asked : TargetColumns
    label : int
        Position of the column of labels; -1 where there is none.

    Raises
    ------
    DataError
        A column is not there, or a cell cannot be read; the message names both.
    """
    if asked.number is not None:
        return list(_numbers(table, _position(table, asked.number.strip(), "target_column")))
    if asked.label_columns is not None:
        return list(_flags(table, _matching(table, asked.label_columns)))
    assert asked.separator is not None
    if label < 0:
        raise DataError(
            f"{shown(table.path)} has no column of labels that can be recognised by its name: name it "
            f"with {argument('label_column')}"
        )
    cells = table.column(label)
    return [
        tuple(sorted({part.strip() for part in cell.split(asked.separator)} - {""}))
        for cell in cells
    ]


def _position(table: Table, name: str, option: str) -> int:
    names = [h.strip() for h in table.header]
    if name not in names:
        raise DataError(
            f"{shown(table.path)} has no column {name!r} ({argument(option)}); it has "
            f"{some(names, n=8)}.{did_you_mean(name, names)}"
        )
    if names.count(name) > 1:
        raise DataError(
            f"{shown(table.path)} has {names.count(name)} columns called {shown(name, 60)}: rename "
            "all but one"
        )
    return names.index(name)


def _matching(table: Table, asked: str) -> dict[str, int]:
    """Names and positions of the columns that are asked for, by name or pattern."""
    names = [h.strip() for h in table.header]
    found: dict[str, int] = {}
    for pattern in filter(None, (p.strip() for p in asked.split(","))):
        if pattern in names or not set(pattern) & set("*?["):
            found[pattern] = _position(table, pattern, "label_columns")
            continue
        matched = [n for n in names if fnmatch.fnmatchcase(n, pattern)]
        if not matched:
            raise DataError(
                f"{shown(table.path)} has no column like {pattern!r} ({argument('label_columns')}); "
                f"it has {some(names, n=8)}"
            )
        found |= {name: _position(table, name, "label_columns") for name in matched}
    return found


def _flags(table: Table, columns: dict[str, int]) -> Iterable[tuple[str, ...]]:
    cells = {name: table.column(at) for name, at in columns.items()}
    for row in range(len(table.rows)):
        own = []
        for name, column in cells.items():
            cell = column[row].lower()
            if cell not in _YES | _NO:
                got = shown(column[row], 40) if cell else "an empty cell"
                raise DataError(
                    f"{shown(table.path)}, {table.places[row]}, column {shown(name, 60)}: expected 1 or "
                    f"0 (or true and false, yes and no); got {got}"
                )
            if cell in _YES:
                own.append(name)
        yield tuple(sorted(own))


def _numbers(table: Table, at: int) -> Iterable[float]:
    for row, cell in enumerate(table.column(at)):
        value = float(cell) if _NUMBER.fullmatch(cell) else math.nan
        if not math.isfinite(value):
            got = shown(cell, 40) if cell else "an empty cell"
            point = ". Write decimals with a point" if re.fullmatch(r"-?\d+,\d+", cell) else ""
            raise DataError(
                f"{shown(table.path)}, {table.places[row]}, column {shown(table.header[at], 60)}: "
                f"expected a number; got {got}: correct it, or remove the row{point}"
            )
        yield value


def check_targets(root: Any, records: Sequence[Example]) -> None:
    """Refuse targets that nothing can be learnt from.

    Raises
    ------
    DataError
        A label of one image or of all, no label at all, or numbers that are all the same.
    """
    if kind_of(records[0].target) == "numbers":
        values = {r.target for r in records}
        if len(values) == 1:
            raise DataError(
                f"{shown(root)}: the number is {values.pop()} for every image: there is nothing to predict"
            )
        if len(records) < FEWEST_NUMBERS:
            raise DataError(
                f"{shown(root)}: a number needs {FEWEST_NUMBERS} images or more; got {len(records)}"
            )
        return
    n, sizes = len(records), label_sizes(records)
    if not sizes:
        raise DataError(f"{shown(root)}: no image has a label: check the column and the separator")
    if n == 1:
        raise DataError(f"{shown(root)} has one image: several are needed to train and to test")
    for rare, what, todo in (
        ([k for k, m in sizes.items() if m == 1], "one image only has", "add images with"),
        ([k for k, m in sizes.items() if m == n], "every image has", "add images without"),
        (
            [k for k, m in sizes.items() if m == n - 1],
            "all images but one have",
            "add images without",
        ),
    ):
        if rare:
            it = "it" if len(rare) == 1 else "them"
            raise DataError(
                f"{shown(root)}: {what} the {'label' if len(rare) == 1 else 'labels'} {some(rare)}, "
                f"which cannot be trained and tested: {todo} {it}, or remove {it} from the table"
            )


def label_sizes(records: Sequence[Example]) -> dict[str, int]:
    """How many examples have each label, or are of each class, by name."""
    sizes = Counter(name for r in records for name in names_of(r))
    return dict(sorted(sizes.items()))


def target_hint(labels: Sequence[str]) -> str:
    """What to try where the classes look like several labels in a cell, or like numbers; else ""."""
    sizes = Counter(filter(None, labels))
    for separator in SEPARATORS:
        joined = [label for label in sizes if separator in label]
        parts = Counter(
            part for label in sizes for part in {p.strip() for p in label.split(separator)} if part
        )
        again = sum(n > 1 for part, n in parts.items())
        if len(joined) > 1 and 2 * again >= len(parts):
            return (
                f"{counted(len(joined), 'label')} {'hold' if len(joined) > 1 else 'holds'} "
                f"{separator!r} (such as {shown(max(joined, key=lambda x: sizes[x]), 60)}): "
                f"{argument('multi_label', separator)} takes them as several labels of an image"
            )
    is_number = all(map(_NUMBER.fullmatch, sizes))
    if is_number and len(sizes) > 10 and 2 * len(sizes) > len(labels):
        return (
            "the labels are numbers, nearly all different: "
            f"{argument('target_column')} names a column to predict the number itself"
        )
    return ""
