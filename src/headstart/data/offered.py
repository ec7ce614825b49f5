"""What a table of images offers to predict, for a form in which people choose."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from headstart.data.annotations import ANNOTATION_SUFFIXES, annotated_parts, annotated_table
from headstart.data.packed import is_packed
from headstart.data.tables import (
    IMAGE_NAMES,
    LABEL_NAMES,
    SPLIT_NAMES,
    TABLE_SUFFIXES,
    find_column,
    read_table,
    usual_form,
)
from headstart.data.targets import SEVERAL_NAMES, are_flags, are_numbers, find_separator
from headstart.data.texttables import looks_like_texts
from headstart.errors import HeadstartError
from headstart.home import expand


@dataclass(frozen=True, kw_only=True)
class Offered:
    """Columns that may hold what is to be predicted."""

    columns: tuple[str, ...] = ()  # all but those of images and of the split; none of annotations
    has_images: bool = True  # whether the column of images has a usual name
    # label, several: the columns of one label and of several, by their usual names; "" for none
    label: str = ""
    several: str = ""
    separator: str = ""  # what seems to stand between the labels of `several`
    flags: tuple[str, ...] = ()  # columns of 1 and 0
    numbers: tuple[str, ...] = ()  # other columns of numbers


def offered_columns(data: str) -> Offered | None:
    """What a table, or annotations, offer; None of other data, and where the table cannot be read."""
    try:
        where = expand(data)
        if not data.strip() or is_packed(data):
            return None
        if where.is_dir():
            return Offered() if annotated_parts(where.resolve()) else None
        if not where.is_file():
            return None
        if where.suffix.lower() not in TABLE_SUFFIXES | ANNOTATION_SUFFIXES:
            return None
        return _offered(where, where.stat().st_mtime_ns)
    except (HeadstartError, OSError, ValueError):
        return None


@functools.lru_cache(maxsize=4)
def _offered(where: Path, _changed_at: int) -> Offered | None:
    if looks_like_texts(where):
        return None
    if where.suffix.lower() in ANNOTATION_SUFFIXES:
        table = annotated_table(where)
        if not table.takes_usual_split:  # made from boxes and classes, not a list of records
            return Offered()
    else:
        table = read_table(where)
    names = [name.strip() for name in table.header]
    image = find_column(table, None, IMAGE_NAMES, "")
    cells = {
        name: table.column(at)
        for at, name in enumerate(names)
        if at != image and usual_form(name) not in SPLIT_NAMES and name and names.count(name) == 1
    }
    if not cells:
        return None
    usual = {usual_form(name): name for name in reversed(cells)}
    label, several = (
        next((usual[n] for n in wanted if n in usual), "")
        for wanted in (LABEL_NAMES, [*SEVERAL_NAMES, *LABEL_NAMES])
    )
    flags = tuple(name for name, column in cells.items() if are_flags(column))
    return Offered(
        columns=tuple(cells),
        has_images=image >= 0,
        label=label,
        several=several,
        separator=find_separator(cells[several])[0] if several else "",
        flags=flags,
        numbers=tuple(n for n, column in cells.items() if n not in flags and are_numbers(column)),
    )
