"""Targets other than one class per image: several labels, or a number, from columns of a table.

Several labels stand in one column, separated by a text, or in columns of their own that hold 0 or 1.
"""

from __future__ import annotations

import ast
import csv
import fnmatch
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from headstart.data.sources import counted, shown, some
from headstart.errors import DataError, InputError, argument, did_you_mean, one_line

if TYPE_CHECKING:
    from headstart.data.records import Example
    from headstart.data.tables import Table

R = TypeVar("R", bound="Example")

Target = tuple[str, ...] | float
"""The labels of an example, sorted, or its number."""

Kind = Literal["classes", "labels", "numbers"]

SEVERAL_NAMES = ["labels", "tags", "label", "attributes", "categories", "keywords"]
"""Usual names of columns that hold several labels."""

# How people are shown an example without labels, and the labels of one with several.
NO_LABEL, JOIN = "(no label)", "; "
# Separators that are looked for in the cells of a column of labels.
SEPARATORS = (";", "|", ",")
_YES = frozenset({"1", "1.0", "true", "t", "yes", "y"})
_NO = frozenset({"0", "0.0", "false", "f", "no", "n"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# Fewest images from which a number is learnt.
FEWEST_NUMBERS = 20
# Squares of larger numbers, and of smaller differences, are not finite or 0 as floats.
LARGEST, SMALLEST = 1e100, 1e-100
# Numbers whose spread is a smaller part of them lose the digits that differ.
MOST_OFFSET = 1e-10
# Further rows with a fault that a message names.
MOST_PLACES = 5


@dataclass(frozen=True, kw_only=True)
class TargetColumns:
    """Which columns hold targets that are not classes.

    Raises InputError where more than one of them is given, or one is empty.
    """

    separator: str | None = None  # what separates the labels in the column of labels
    # names, or patterns such as ``is_*``, of columns that hold 0 or 1, separated by commas; a name
    # that holds a comma stands in double quotes
    label_columns: str | None = None
    number: str | None = None  # the column of a number

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


def are_flags(cells: Iterable[str]) -> bool:
    """Whether all are 1 or 0, or true and false, yes and no."""
    return {cell.lower() for cell in cells} <= _YES | _NO


def are_numbers(cells: Iterable[str]) -> bool:
    """Whether all are finite numbers."""
    return all(_NUMBER.fullmatch(cell) and math.isfinite(float(cell)) for cell in cells)


def read_targets(
    table: Table, asked: TargetColumns, label: int, others: Collection[int] = ()
) -> tuple[list[Target], list[str]]:
    """The target of each row, and notes.

    Raises DataError where a column is not there, or a cell cannot be read; the message names both.

    `label`: position of the column of labels; -1 where there is none. `others`: positions of
    columns that hold something else: patterns leave them out.
    """
    if asked.number is not None:
        return list(_numbers(table, _position(table, asked.number.strip(), "target_column"))), []
    if asked.label_columns is not None:
        return list(_flags(table, _matching(table, asked.label_columns, others))), []
    assert asked.separator is not None
    if label < 0:
        raise DataError(
            f"{shown(table.path)} has no column of labels that can be recognised by its name: name it "
            f"with {argument('label_column')}"
        )
    cells = table.column(label)
    if (lists := as_lists(cells)) is not None:
        return [*lists], []
    notes = []
    if any(cells) and not any(asked.separator in cell for cell in cells):
        none = (
            f"no cell of column {shown(table.header[label] if table.header else str(label + 1), 60)} holds "
            f"{asked.separator!r} ({argument('multi_label')})"
        )
        if hint := _separated(cells, fewest=1):
            raise DataError(f"{shown(table.path)}: {none}, but {hint}")
        notes.append(f"{none}: each is taken as one label")
    found: list[Target] = [
        tuple(sorted({part.strip() for part in cell.split(asked.separator)} - {""}))
        for cell in cells
    ]
    return found, notes


def refuse_lists(table: Table, label: int, cells: Sequence[str]) -> None:
    """Raise where every label is a list, which as a class would be called ``[0, 1]``.

    Raises
    ------
    DataError
    """
    if label >= 0 and as_lists(cells) is not None:
        name = table.header[label] if table.header else str(label + 1)
        longest = one_line(max(cells, key=len), limit=60)
        raise DataError(
            f"{shown(table.path)}: the labels in {shown(name, 60)} are lists, such as {longest}: "
            f"{argument('multi_label', ';')} reads several labels per image; for one class per image, write it without brackets"
        )


def as_lists(cells: Sequence[str]) -> list[Target] | None:
    """The labels of cells that are lists, as pandas writes them: ``['dog', 'sofa']``; else None."""
    found: list[Target] = []
    for cell in cells:
        if cell and not (cell[0] == "[" and cell[-1] == "]"):
            return None
        try:
            names = ast.literal_eval(cell or "[]")
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
        if not all(isinstance(name, str | int) for name in names):
            return None
        found.append(tuple(sorted({str(name).strip() for name in names} - {""})))
    return found if any(cells) else None


def _position(table: Table, name: str, option: str) -> int:
    names = [h.strip() for h in table.header]
    if name not in names:
        quotes = ""
        if option == "label_columns" and any("," in n for n in names):
            quotes = " A name that holds a comma stands in double quotes."
        raise DataError(
            f"{shown(table.path)} has no column {name!r} ({argument(option)}); it has "
            f"{some(names, n=8)}.{did_you_mean(name, names)}{quotes}"
        )
    if names.count(name) > 1:
        raise DataError(
            f"{shown(table.path)} has {names.count(name)} columns called {shown(name, 60)}: rename "
            "all but one"
        )
    return names.index(name)


def joined_names(names: Iterable[str]) -> str:
    """Names as one text, as `TargetColumns` takes them."""
    return ",".join(
        '"{}"'.format(name.replace('"', '""')) if set(name) & set(',"\n\r') else name
        for name in map(str, names)
    )


def _matching(table: Table, asked: str, others: Collection[int]) -> dict[str, int]:
    """Names and positions of the columns that are asked for, by name or pattern."""
    names = [h.strip() for h in table.header]
    free = [h for at, h in enumerate(names) if at not in others]
    found: dict[str, int] = {}
    [patterns] = csv.reader([asked.replace("\n", " ")], skipinitialspace=True)
    for pattern in filter(None, map(str.strip, patterns)):
        if pattern in names or not set(pattern) & set("*?["):
            found[pattern] = _position(table, pattern, "label_columns")
            continue
        matched = [n for n in free if fnmatch.fnmatchcase(n, pattern)]
        if not matched:
            raise DataError(
                f"{shown(table.path)} has no column like {pattern!r} ({argument('label_columns')}); "
                f"it has {some(names, n=8)}"
            )
        found |= {name: _position(table, name, "label_columns") for name in matched}
    return found


def _flags(table: Table, columns: dict[str, int]) -> Iterable[tuple[str, ...]]:
    cells = {name: [c.lower() for c in table.column(at)] for name, at in columns.items()}
    wrong = [
        (row, name)
        for row in range(len(table.rows))
        for name, column in cells.items()
        if column[row] not in _YES | _NO
    ]
    if wrong:
        row, name = wrong[0]
        cell = table.column(columns[name])[row]
        raise DataError(
            f"{_cell(table, row, name)}: expected 1 or 0 (or true and false, yes and no); got {_got(cell)}"
            f"{_more(table, [r for r, _ in wrong])}"
        )
    for row in range(len(table.rows)):
        yield tuple(sorted(name for name, column in cells.items() if column[row] in _YES))


def _numbers(table: Table, at: int) -> Iterable[float]:
    cells = table.column(at)
    values = [float(cell) if _NUMBER.fullmatch(cell) else math.nan for cell in cells]
    wrong = [row for row, value in enumerate(values) if not math.isfinite(value)]
    if wrong:
        cell = cells[wrong[0]]
        point = ". Write decimals with a point" if re.fullmatch(r"-?\d+,\d+", cell) else ""
        raise DataError(
            f"{_cell(table, wrong[0], table.header[at])}: expected a number; got {_got(cell)}"
            f"{_more(table, wrong)}: correct it, or remove the row{point}"
        )
    large = [row for row, value in enumerate(values) if abs(value) > LARGEST]
    if large:
        raise DataError(
            f"{_cell(table, large[0], table.header[at])}: expected a number of at most {LARGEST:g}; got "
            f"{_got(cells[large[0]])}{_more(table, large)}: correct it, or give another unit"
        )
    return values


def _cell(table: Table, row: int, name: str) -> str:
    return f"{shown(table.path)}, {table.places[row]}, column {shown(name, 60)}"


def _got(cell: str) -> str:
    return shown(cell, 40) if cell else "an empty cell"


def _more(table: Table, rows: Sequence[int]) -> str:
    """Other rows with the same fault: how many, and where the first are."""
    others = [table.places[row] for row in dict.fromkeys(rows)][1:]
    if not others:
        return ""
    places = ", ".join(others[:MOST_PLACES]) + (", ..." if len(others) > MOST_PLACES else "")
    return f" ({counted(len(others), 'more row')} like it: {places})"


def check_numbers(root: Path, records: Sequence[Example], what: str = "image") -> None:
    """Refuse numbers that are all the same, or nearly, with a DataError."""
    values = [r.target for r in records if isinstance(r.target, float)]
    low, high = min(values), max(values)
    if low == high:
        raise DataError(
            f"{shown(root)}: the number is {low} for every {what}: there is nothing to predict"
        )
    spread = high - low
    if spread < SMALLEST:
        raise DataError(
            f"{shown(root)}: the numbers differ by {spread:.3g} at most: give them in another unit"
        )
    if spread < MOST_OFFSET * max(abs(low), abs(high)):
        raise DataError(
            f"{shown(root)}: the numbers differ by {spread:.3g} at most, which is lost beside their size "
            f"of {high:.3g}: subtract what they have in common"
        )


def check_targets(root: Path, records: Sequence[Example]) -> None:
    """Refuse targets that nothing can be learnt from.

    Raises DataError where there is no label at all, one image, or all numbers are the same.
    """
    if kind_of(records[0].target) == "numbers":
        check_numbers(root, records)
        if len(records) < FEWEST_NUMBERS:
            raise DataError(
                f"{shown(root)}: a number needs {FEWEST_NUMBERS} images or more; got {len(records)}"
            )
        return
    if len(records) == 1:
        raise DataError(f"{shown(root)} has one image: several are needed to train and to test")
    if not label_sizes(records):
        raise DataError(f"{shown(root)}: no image has a label: check the column and the separator")


def without_rare_labels(root: Path, records: Sequence[R]) -> tuple[list[R], list[str]]:
    """Leave out labels that cannot be both trained and tested; also gives notes.

    They are those of one image, of all images, and of all but one.

    Raises DataError where no label is left.
    """
    n, sizes = len(records), label_sizes(records)
    if not n or kind_of(records[0].target) != "labels":
        return list(records), []
    return without_labels(
        root,
        records,
        {
            "one image only has": [k for k, m in sizes.items() if m == 1],
            "every image has": [k for k, m in sizes.items() if m == n > 1],
            "all images but one have": [k for k, m in sizes.items() if 1 < m == n - 1],
        },
    )


def without_labels(
    root: Path, records: Sequence[R], left_out: Mapping[str, Sequence[str]]
) -> tuple[list[R], list[str]]:
    """Records without some labels, by the reason; also gives notes, errors as of `without_rare_labels`."""
    notes = []
    for reason, names in left_out.items():
        if names:
            one = len(names) == 1
            notes.append(
                f"{reason} {'the label' if one else f'each of {len(names):,} labels'} {some(names, is_counted=True)}: "
                f"{'it is' if one else 'they are'} left out, as {'it' if one else 'they'} cannot be both "
                "trained and tested"
            )
    gone = {name for names in left_out.values() for name in names}
    if not gone:
        return list(records), []
    kept = []
    for record in records:
        names = tuple(name for name in names_of(record) if name not in gone)
        same = names == record.target
        kept.append(record if same else replace(record, target=names, label=shown_labels(names)))
    if not any(r.target for r in kept):
        raise DataError(f"{shown(root)}: no label can be learnt: {'; '.join(notes)}")
    return kept, notes


def label_sizes(records: Sequence[Example]) -> dict[str, int]:
    """How many examples have each label, or are of each class, by name."""
    sizes = Counter(name for r in records for name in names_of(r))
    return dict(sorted(sizes.items()))


def target_hint(labels: Sequence[str]) -> str:
    """What to try where the classes look like several labels in a cell, or like numbers; else ""."""
    if hint := _separated(labels):
        return hint
    sizes = set(filter(None, labels))
    is_number = all(map(_NUMBER.fullmatch, sizes))
    if is_number and len(sizes) > 10 and 2 * len(sizes) > len(labels):
        return (
            "the labels are numbers, nearly all different: "
            f"{argument('target_column')} names a column to predict the number itself"
        )
    return ""


def _separated(labels: Sequence[str], fewest: int = 2) -> str:
    """The separator that seems to stand between labels in the cells, as a hint; else ""."""
    separator, example, n = find_separator(labels, fewest)
    if not separator:
        return ""
    return (
        f"{counted(n, 'label')} {'holds' if n == 1 else 'hold'} {separator!r} (such as {shown(example, 60)}): "
        f"{argument('multi_label', separator)} takes them as several labels of an image"
    )


def find_separator(labels: Sequence[str], fewest: int = 2) -> tuple[str, str, int]:
    """What seems to stand between labels in the cells, a cell with it, and how many differ; "" where nothing does."""
    sizes = Counter(filter(None, labels))
    for separator in SEPARATORS:
        joined = [label for label in sizes if separator in label]
        parts = Counter(
            part for label in sizes for part in {p.strip() for p in label.split(separator)} if part
        )
        again = sum(n > 1 for part, n in parts.items())
        if len(joined) >= fewest and 2 * again >= len(parts):
            return separator, max(joined, key=lambda x: sizes[x]), len(joined)
    return "", "", 0
