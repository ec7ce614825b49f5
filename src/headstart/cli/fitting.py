"""Tables in terminals that are too narrow for them: no cell is cut off."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Column, Table
    from rich.text import Text

_FOLDED = 16  # columns that a long name is given at least
_GAP = "   "


def fitted(tables: Sequence[Table], out: Console) -> list[RenderableType]:
    """The tables with their columns narrowed to the terminal, or their rows one below the other.

    Numbers stay whole and text is wrapped between words. Where that is not enough for one of them, each
    row of all becomes a line with its name and below it its other cells, each after the header of its
    column.
    """
    if any(_spare(table, out) < 0 for table in tables):
        return [_stacked(table, out) for table in tables]
    return [_narrowed(table, out) for table in tables]


def _full_width(table: Table, out: Console) -> int:
    from rich.measure import Measurement

    options = out.options.update(max_width=100_000, width=100_000)
    return Measurement.get(out, options, table).maximum


def _widest(table: Table, out: Console) -> list[int]:
    return [max(map(_width, _lines(column, out)), default=0) for column in table.columns]


def _spare(table: Table, out: Console) -> int:
    """The columns of the terminal that are left over once each column of the table has its least."""
    full = _full_width(table, out)
    if full <= out.width:
        return 0
    between = full - sum(_widest(table, out))
    return out.width - between - sum(_least(column, out) for column in table.columns)


def _narrowed(table: Table, out: Console) -> RenderableType:
    full = _full_width(table, out)
    if full <= out.width:
        return _with_wide_caption(table, full, out)
    widest, spare = _widest(table, out), _spare(table, out)
    least = [_least(column, out) for column in table.columns]
    # Names are kept whole first, for other text wraps between words; then what needs little is given it.
    is_text = [column.overflow != "fold" for column in table.columns]
    for i in sorted(range(len(widest)), key=lambda i: (is_text[i], widest[i] - least[i])):
        more = min(widest[i] - least[i], spare)
        spare -= more
        column = table.columns[i]
        column.width, column.no_wrap, column.overflow = least[i] + more, False, "fold"
    return table


def _with_wide_caption(table: Table, width: int, out: Console) -> RenderableType:
    """The table; a caption that is wider stands below it in the terminal's width."""
    from rich.console import Group

    if not table.caption:
        return table
    caption = _text(table.caption, out)
    if max(map(_width, caption.plain.split("\n"))) <= width:
        return table
    alone = copy(table)
    alone.caption = None
    caption.style = caption.style or "table.caption"
    return Group(alone, caption)


def _text(cell: Any, out: Console) -> Text:
    return out.render_str(cell) if isinstance(cell, str) else cell


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _lines(column: Column, out: Console) -> list[str]:
    cells = (_text(cell, out).plain for cell in (column.header, *column.cells))
    return [line for cell in cells for line in cell.split("\n")]


def _least(column: Column, out: Console) -> int:
    """The columns that must be there: whole numbers, words of a text, the start of a long name."""
    header = max(map(_width, _text(column.header, out).plain.split()), default=0)
    cells = [line for c in column.cells for line in _text(c, out).plain.split("\n")]
    if column.justify != "right":
        words = [word for line in cells for word in line.split()]
        longest = max(map(_width, words), default=0)
        return max(header, min(longest, _FOLDED) if column.overflow == "fold" else longest)
    return max(header, max(map(_width, cells), default=0))


def _stacked(table: Table, out: Console) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    first, *others = table.columns
    headers = [" ".join(_text(column.header, out).plain.split()) for column in others]
    parts: list[RenderableType] = [""]
    if table.title:
        parts += [_text(table.title, out), ""]
    for row, name, *cells in zip(
        table.rows, first.cells, *(column.cells for column in others), strict=True
    ):
        said = [" ".join(_text(cell, out).plain.split()) for cell in cells]
        pairs = [f"{h}: {s}" if h else s for h, s in zip(headers, said, strict=True) if s]
        lines = [_text(name, out).plain or "-"]
        for line in _filled(pairs, out.width - 2):
            lines += wrap(line, out.width, initial_indent="  ", subsequent_indent="    ")
        parts.append(Text("\n".join(lines), style=row.style or "", overflow="fold"))
    parts.append("")
    if table.caption:
        parts.append(Text(" ".join(_text(table.caption, out).plain.split()), style="dim"))
    return Group(*parts)


def _filled(pairs: list[str], width: int) -> list[str]:
    """As many pairs in a line as fit."""
    lines: list[str] = []
    for pair in pairs:
        if lines and _width(lines[-1]) + len(_GAP) + _width(pair) <= width:
            lines[-1] += _GAP + pair
        else:
            lines.append(pair)
    return lines
