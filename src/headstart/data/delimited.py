"""Split delimited text (CSV, TSV) into rows without losing rows to stray quotation marks.

Quotation marks follow RFC 4180, across lines if a cell contains line breaks. But many files are written
without quoting, and texts in them may begin with a quotation mark. If the marks do not follow the rule,
or following it would join lines that are rows by themselves, a line is a row and its marks are text;
such lines are noted. A line that can be read in neither way is an error.

pandas and pyarrow join such rows or drop them as bad lines.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from headstart.data.sources import counted, shown
from headstart.errors import DataError, one_line

DELIMITERS = ",\t;|"
# A chapter of a novel fits into a cell; the rest of a table after an unclosed mark does not.
MOST_CHARACTERS = 100_000
# Number of lines listed in a note.
N_NAMED = 5

Row = tuple[str, ...]


@dataclass(slots=True)
class Rows:
    """The rows of a file, and observations from reading them."""

    # The cells of each row. Rows without content are left out.
    rows: list[Row] = field(default_factory=list)
    # line number of the first line of each row, from 1
    lines: list[int] = field(default_factory=list)
    # numbers of lines that begin with ``#`` outside a quoted cell; they are also in `rows`
    hashed: set[int] = field(default_factory=set)
    n_empty: int = 0  # number of rows with only empty cells
    # lines with quotation marks that do not quote a cell
    unquoted: list[int] = field(default_factory=list)
    # first and last line of rows that hold line breaks
    spanning: list[tuple[int, int]] = field(default_factory=list)

    def add(self, line: int, cells: Sequence[str]) -> None:
        """Add a row if it has content."""
        if any(cell.strip() for cell in cells):
            self.rows.append(tuple(cells))
            self.lines.append(line)
        elif len(cells) > 1:
            self.n_empty += 1

    def notes(self) -> list[str]:
        """Notes for the user on how rows were read."""
        found = []
        if self.unquoted:
            n = len(self.unquoted)
            found.append(
                f"{counted(n, 'line')} with quotation marks that do not enclose a cell ({numbers(self.unquoted)}): "
                "each line was read as one row, its quotation marks as text"
            )
        if self.spanning:
            places = [f"{first} to {last}" for first, last in self.spanning[:N_NAMED]]
            more = ", ..." if len(self.spanning) > N_NAMED else ""
            found.append(
                f"{counted(len(self.spanning), 'row')} with line breaks inside quotation marks "
                f"(lines {', '.join(places)}{more})"
            )
        if self.n_empty:
            found.append(f"left out {counted(self.n_empty, 'row')} whose cells are all empty")
        return found


def numbers(lines: Sequence[int]) -> str:
    """``line 7``, or ``lines 7, 9, 12, ...``."""
    more = ", ..." if len(lines) > N_NAMED else ""
    listed = ", ".join(map(str, lines[:N_NAMED]))
    return f"line{'' if len(lines) == 1 else 's'} {listed}{more}"


def find_delimiter(path: Path, text: str, *, comments: bool = False) -> tuple[str, str]:
    """The delimiter of a file, and its text without Excel's ``sep=`` line, which is left blank.

    The delimiter is that of the ``sep=`` line; a tab in a ``.tsv`` file with tabs; else the most
    frequent of comma, tab, semicolon and bar outside quotation marks in the first line with content.
    """
    if named := re.match(r"sep=(.)\r?\n", text):
        return named[1], text[named.end() - 1 :]
    head = io.StringIO(text, newline="")
    first = next(
        (line for line in head if line.strip() and not (comments and line.startswith("#"))), ""
    )
    outside = re.sub(r'"[^"]*"', "", first)
    if path.suffix.lower() == ".tsv" and "\t" in outside:
        return "\t", text
    return max(DELIMITERS, key=outside.count), text


def read_rows(path: Path, text: str, delimiter: str, *, comments: bool = False) -> Rows:
    """Split a text into rows of cells.

    Raises DataError where a quotation mark opens a cell and is not closed, and the line is not a
    row without it.

    Parameters
    ----------
    path
        For messages.
    text
        With any line ends.
    delimiter
        One character.
    comments
        Lines that begin with ``#`` may be comments: each is split by itself, ignoring quotation
        marks across lines.
    """
    has_comments = comments and re.search(r"^#", text, re.MULTILINE) is not None
    with _cells_of_any_length(text):
        found = None if has_comments else _by_rule(text, delimiter)
        return found or _ByLine(path, text, delimiter, comments=comments).read()


@contextmanager
def _cells_of_any_length(text: str) -> Iterator[None]:
    """Lift the csv module's limit; too long cells are reported later, with their column."""
    limit = csv.field_size_limit(len(text) + 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _by_rule(text: str, delimiter: str) -> Rows | None:
    """All rows by the csv module; None if a mark is stray or a cell contains a line break."""
    found = Rows()
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    last = 0
    try:
        for cells in reader:
            if reader.line_num != last + 1:
                return None
            last += 1
            found.add(last, cells)
    except csv.Error:
        return None
    return found


class _ByLine:
    """Reads row by row, and decides for each quotation mark whether it quotes."""

    def __init__(self, path: Path, text: str, delimiter: str, *, comments: bool) -> None:
        self.path, self.delimiter, self.comments = path, delimiter, comments
        self.physical = list(io.StringIO(text, newline=""))
        self.width = 0
        self.found = Rows()
        self._values: list[set[str]] | None = None

    def read(self) -> Rows:
        at = 0
        while at < len(self.physical):
            at += self._take(at)
        return self.found

    def _take(self, at: int) -> int:
        """Add the row that begins on a line; return its number of lines."""
        line, number = self.physical[at].rstrip("\r\n"), at + 1
        if self.comments and line.startswith("#"):
            self.found.hashed.add(number)
            self.found.add(number, self._alone(line) or self._plain(line))
            return 1
        cells, n = self._by_rule(at)
        if cells is None or (n > 1 and self._joins_rows(at, n, len(cells))):
            cells, n = self._unquoted(line, number), 1
        elif n > 1:
            self.found.spanning.append((number, number + n - 1))
        if not self.width and any(cell.strip() for cell in cells):
            self.width = len(cells)
        self.found.add(number, cells)
        return n

    def _by_rule(self, at: int) -> tuple[Sequence[str] | None, int]:
        """The row by strict csv rules, and its number of lines; None if it does not follow them."""
        if '"' not in self.physical[at]:
            return self._plain(self.physical[at].rstrip("\r\n")), 1
        reader = csv.reader(self._near(at), delimiter=self.delimiter, strict=True)
        try:
            cells = next(reader)
        except (csv.Error, StopIteration):
            return None, 0
        plain = self._plain(self.physical[at].rstrip("\r\n"))
        # A table of tabs without quoting: "so it began\tand "ended" with one.
        is_row = self.delimiter == "\t" and self.width == len(plain) != len(cells)
        return (None, 0) if is_row else (cells, reader.line_num)

    def _near(self, at: int) -> Iterator[str]:
        """Following lines, up to the limit of a cell."""
        n = 0
        while at < len(self.physical) and n <= MOST_CHARACTERS:
            yield self.physical[at]
            n += len(self.physical[at])
            at += 1

    def _joins_rows(self, at: int, n: int, n_cells: int) -> bool:
        """Whether each of some lines is a row by itself, so that a quotation mark does not quote."""
        lines = self.physical[at : at + n]
        is_short = any(line.count(self.delimiter) + 1 < self.width for line in lines)
        if self.width < 2 or (is_short and n_cells == self.width):
            return False
        parts = [self._row(line.rstrip("\r\n")) for line in lines]
        if n_cells != self.width:
            return parts[0] is not None
        if any(part is None for part in parts):
            return False
        if self.delimiter == "\t":
            return True
        # A text with line breaks may have as many commas a line by chance, but not a known label too.
        known = self._known()
        return any(
            all(part[c].strip() in known[c] for part in parts if part is not None)
            for c in range(self.width)
        )

    def _known(self) -> list[set[str]]:
        """Known values of each column, from lines without quotation marks."""
        if self._values is None:
            self._values = [set() for _ in range(self.width)]
            for line in self.physical[1:]:
                cells = self._plain(line.rstrip("\r\n"))
                if '"' not in line and len(cells) == self.width:
                    for values, cell in zip(self._values, cells, strict=True):
                        values.add(cell.strip())
            for values in self._values:
                values.discard("")
        return self._values

    def _unquoted(self, line: str, number: int) -> Sequence[str]:
        cells = self._row(line)
        if cells is None:
            raise DataError(
                f"{shown(self.path)}, line {number}: a quotation mark begins a cell and is not closed "
                f"at its end ({one_line(line, limit=60)!r}), and without it the line does not have the "
                f'{self.width} cells of the others: write "..." around the whole cell and "" for a '
                "quotation mark in it"
            )
        self.found.unquoted.append(number)
        return cells

    def _row(self, line: str) -> Sequence[str] | None:
        """The line as a single row; None if it does not have the right number of cells."""
        tries = (self._alone(line), self._plain(line), self._lenient(line))
        return next((c for c in tries if c is not None and len(c) == (self.width or len(c))), None)

    def _alone(self, line: str) -> Sequence[str] | None:
        """By the rule."""
        try:
            return next(csv.reader([line], delimiter=self.delimiter, strict=True), None)
        except csv.Error:
            return None

    def _plain(self, line: str) -> Sequence[str]:
        """Without quoting, except for cells enclosed in quotation marks."""
        if '"' not in line:
            return line.split(self.delimiter)
        return [
            c[1:-1] if len(c) > 1 and c[0] == c[-1] == '"' and '"' not in c[1:-1] else c
            for c in line.split(self.delimiter)
        ]

    def _lenient(self, line: str) -> Sequence[str] | None:
        """By the rule, with text after a closing quotation mark."""
        reader = csv.reader([line, ""], delimiter=self.delimiter)
        cells = next(reader, None)
        return cells if reader.line_num == 1 else None
