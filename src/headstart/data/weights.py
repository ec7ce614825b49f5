"""How much examples count: a column of weights, weights of classes, and costs of confusions."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.data.sources import counted, shown, some
from headstart.data.targets import are_numbers
from headstart.errors import DataError, argument, did_you_mean, one_line
from headstart.home import expand

if TYPE_CHECKING:
    from headstart.data.records import Example
    from headstart.data.tables import Table

# Files of weights and costs are small; more is a mistake.
MOST_BYTES = 16 * 2**20


def weight_cells(table: Table, column: int) -> list[float]:
    """The weight of each row, 1 where there is no column of weights.

    Raises DataError where a cell is not a number of 0 or more.
    """
    if column < 0:
        return [1.0] * len(table.rows)
    found = []
    for row, cell in enumerate(table.column(column)):
        where = (
            f"{shown(table.path)}, {table.places[row]}, column {shown(table.header[column], 60)}"
        )
        found.append(_weight(cell, where))
    return found


def example_weights(records: Sequence[Example]) -> NDArray[np.float64] | None:
    """The weights of examples, (n,); None where all are 1.

    Raises DataError where all weights are zero, or those of all examples of a class.
    """
    weights = np.array([r.weight for r in records], dtype=np.float64)
    if (weights == 1).all():
        return None
    mass: dict[str, float] = {}
    for record in records:
        mass[record.label] = mass.get(record.label, 0.0) + record.weight
    empty = sorted(label for label, total in mass.items() if not total > 0)
    if len(empty) == len(mass):
        raise DataError(
            f"{argument('weight_column')}: the weights of all training examples are 0: at least two "
            "classes need one above 0"
        )
    if empty:
        raise DataError(
            f"{argument('weight_column')}: the weights of all training examples of "
            f"{counted(len(empty), 'class')} are 0 ({some(empty, is_counted=True)}): leave them out, or give a weight "
            "above 0"
        )
    return weights


def balanced_weights(
    labels: Sequence[str], weights: NDArray[np.float64] | None
) -> Mapping[str, float]:
    """Weights under which every class counts the same, ``n / (n_classes * count)``.

    As ``class_weight="balanced"`` of scikit-learn, with examples counted by their own weights.
    """
    classes, member = np.unique(np.asarray(labels), return_inverse=True)
    mass = np.bincount(member.reshape(-1), weights=weights, minlength=len(classes)).astype(float)
    total = mass.sum() / len(classes)
    return {str(name): float(total / m) for name, m in zip(classes, mass, strict=True)}


def read_class_weights(path: str, classes: Sequence[str]) -> dict[str, float]:
    """Weights of classes from a file of lines ``class,weight``; classes not in it have weight 1.

    Raises DataError where the file cannot be read, names an unknown class or one twice, or a weight
    is not a number of 0 or more, or all are 0.

    `path`: a CSV file; a first line that names no class and no number is taken for a header.
    """
    rows = csv_rows(path, argument("class_weight"))
    if rows and rows[0][1][0] not in classes and not are_numbers(rows[0][1][-1:]):
        rows = rows[1:]
    found: dict[str, float] = {}
    for place, cells in rows:
        if len(cells) != 2:
            raise DataError(
                f"{place} has {counted(len(cells), 'cell')}: expected a class and its weight, such as "
                f"{_example(classes[0])},2.5"
            )
        name = known_class(cells[0], classes, place)
        if name in found:
            raise DataError(f"{place}: class {shown(name, 60)} is there twice: remove one line")
        found[name] = _weight(cells[1], place)
    if not found:
        raise DataError(
            f"{shown(path)} names no class: expected lines such as {_example(classes[0])},2"
        )
    weights = {name: found.get(name, 1.0) for name in classes}
    zero = [name for name, weight in weights.items() if weight == 0]
    if len(zero) > len(classes) - 2:
        raise DataError(
            f"{shown(path)}: {counted(len(zero), 'class')} of {len(classes)} have weight 0: at least "
            "two need a weight above 0"
        )
    if zero:
        raise DataError(
            f"{shown(path)}: {counted(len(zero), 'class')} {'has' if len(zero) == 1 else 'have'} weight "
            f"0 ({some(zero, is_counted=True)}) and could not be learnt: leave the examples out, or give a weight above 0"
        )
    return weights


def read_costs(path: str, classes: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    """Costs of confusions from a table: a row for each true class, a column for each predicted one.

    Raises DataError where the file cannot be read, lacks a class or names an unknown one, or a cost
    is not a number of 0 or more, or a right answer costs more than a wrong one, or all costs are 0.
    Rows and columns are in the order of `classes`.

    `path`: a CSV file. Its first line names the predicted classes after one cell that may be empty;
    each further line begins with the true class. All classes must be there, in any order.
    """
    rows = csv_rows(path, argument("costs"))
    if len(rows) < 2 or len(rows[0][1]) < 2:
        raise DataError(
            f"{shown(path)} is not a table of costs: expected a first line with the predicted classes "
            "and a line for each true class"
        )
    place, header = rows[0]
    columns = [known_class(name, classes, place) for name in header[1:]]
    _complete(columns, classes, f"{place}, the predicted classes")
    found: dict[str, dict[str, float]] = {}
    for place, cells in rows[1:]:
        true = known_class(cells[0], classes, place)
        if true in found:
            raise DataError(f"{place}: class {shown(true, 60)} is there twice: remove one line")
        if len(cells) != len(header):
            raise DataError(f"{place} has {len(cells)} cells and the first line has {len(header)}")
        found[true] = {
            name: _weight(cell, f"{place}, column {shown(name, 60)}", "cost")
            for name, cell in zip(columns, cells[1:], strict=True)
        }
    _complete(list(found), classes, f"{shown(path)}, the true classes")
    costs = tuple(tuple(found[true][said] for said in classes) for true in classes)
    for k, row in enumerate(costs):
        if row[k] > min(row):
            raise DataError(
                f"{shown(path)}: class {shown(classes[k], 60)} taken for itself costs {row[k]:g}, more "
                f"than a confusion ({min(row):g}): a right answer must cost least, usually 0"
            )
    if not any(max(row) > row[k] for k, row in enumerate(costs)):
        raise DataError(f"{shown(path)}: no confusion costs more than a right answer")
    return costs


def parse_order(given: str | Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    """The classes from the lowest to the highest.

    Raises DataError where a name is unknown, missing or there twice; or a class has no number, or
    that of another.

    `given`: the names, as a sequence or separated by commas (CSV), or ``"numbers"``: the names are
    numbers, or each holds one, and are ordered by it.
    """
    option = argument("ordered")
    if given == "numbers":
        return _by_number(classes)
    names = next(csv.reader([given])) if isinstance(given, str) else list(given)
    names = [name.strip() for name in names]
    for name in names:
        known_class(name, classes, option)
    _complete(names, classes, option)
    return tuple(names)


def _by_number(classes: Sequence[str]) -> tuple[str, ...]:
    option = argument("ordered", "numbers")
    values: dict[str, float] = {}
    for name in classes:
        found = (
            re.findall(r"(?:(?<!\w)-)?\d+(?:\.\d+)?", name) if not are_numbers([name]) else [name]
        )
        if len(found) != 1:
            what = "no number" if not found else f"{len(found)} numbers"
            raise DataError(
                f"{option}: class {shown(name, 60)} has {what} in its name: give the classes from the "
                f"lowest to the highest, {argument('ordered', ','.join(classes[:3]))}"
            )
        values[name] = float(found[0])
    order = sorted(classes, key=lambda name: values[name])
    for one, other in itertools.pairwise(order):
        if values[one] == values[other]:
            raise DataError(
                f"{option}: classes {shown(one, 60)} and {shown(other, 60)} have the same number"
            )
    return tuple(order)


def read_small(path: str, option: str) -> str:
    """The text of a small file that an option names.

    Raises DataError where it is not there, too large, or not UTF-8.
    """
    where = expand(path)
    try:
        if not where.is_file():
            raise DataError(f"{option}: there is no file {shown(path)}: check the path")
        if where.stat().st_size > MOST_BYTES:
            raise DataError(f"{option}: {shown(path)} is too large for such a file")
        return where.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{option}: cannot read {shown(path)}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{option}: {shown(path)} is not UTF-8: save it as UTF-8") from None


def csv_rows(path: str, option: str) -> list[tuple[str, list[str]]]:
    """The lines of a small CSV file that are not empty, each with its place; errors as of `read_small`."""
    text = read_small(path, option)
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        return [
            (f"{shown(path)}, line {reader.line_num}", [cell.strip() for cell in cells])
            for cells in reader
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise DataError(f"{option}: {shown(path)} is not CSV: {error}") from None


def known_class(name: str, classes: Sequence[str], place: str) -> str:
    """The name of a class, checked.

    Raises DataError where there is no such class.
    """
    if name not in classes:
        close = did_you_mean(name, classes)
        raise DataError(
            f"{place}: there is no class {shown(name, 60)}; there are {some(list(classes), n=8)}.{close}"
        )
    return name


def _complete(names: Sequence[str], classes: Sequence[str], place: str) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(
            f"{place}: class {shown(twice[0], 60)} is there twice: name each class once"
        )
    missing = [name for name in classes if name not in names]
    if missing:
        raise DataError(
            f"{place}: {counted(len(missing), 'class')} missing ({some(missing, is_counted=True)}): name each class once"
        )


def _weight(cell: str, place: str, what: str = "weight") -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise DataError(
            f"{place}: a {what} must be a number of 0 or more; got {one_line(cell, limit=40)!r}"
        )
    return value


def _example(name: str) -> str:
    return one_line(name, limit=40)
