"""Reading tables of texts strictly: CSV, TSV, JSON lines and Parquet, in UTF-8.

A wrong letter in a path shows at once; in a text it would only make the classifier worse. So nothing
is guessed here: bytes that are no UTF-8, a row with too many cells, or a cell of a megabyte, which is
what a missing quotation mark looks like, end the reading with the line and the column.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from headstart.data.decode import is_image_name
from headstart.data.imageparquet import holds_images
from headstart.data.sources import shown
from headstart.data.tables import TABLE_SUFFIXES, Table, read_parquet
from headstart.errors import DataError, one_line

JSON_SUFFIXES = frozenset({".jsonl", ".ndjson"})
TEXT_SUFFIXES = TABLE_SUFFIXES | JSON_SUFFIXES
TEXT_NAMES = [
    "text",
    "sentence",
    "review",
    "comment",
    "message",
    "tweet",
    "content",
    "body",
    "question",
    "utterance",
    "headline",
    "title",
    "description",
    "abstract",
    "document",
    "query",
]
# A novel's chapter fits; an unclosed quotation mark in a table of any size does not.
MOST_CHARACTERS = 100_000
# Rows by which a table of texts is told from one of images.
N_SAMPLED = 200
SAMPLED_BYTES = 1 << 20


def read_texts(path: Path) -> Table:
    """Read a table of texts.

    Raises
    ------
    DataError
        It cannot be read, is not UTF-8, is ragged, has a cell too long, or has no rows.
    """
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".pq"):
        table = read_parquet(path)
    else:
        text, encoding = _decode(path)
        reader = _read_jsonl if suffix in JSON_SUFFIXES else _read_csv
        table = reader(path, text, encoding)
    if not table.rows:
        raise DataError(f"{shown(path)} has no rows: expected a text and its label in each")
    _check_cells(table)
    return table


def looks_like_texts(path: Path) -> bool:
    """Whether a table is one of texts rather than of image files; False where it cannot be read.

    Texts have spaces and do not end like an image's name. JSON lines are always texts, and a table
    with the bytes of images never is.
    """
    if path.suffix.lower() in JSON_SUFFIXES:
        return True
    if path.suffix.lower() not in TEXT_SUFFIXES:
        return False
    if path.suffix.lower() in (".parquet", ".pq") and holds_images(path):
        return False
    try:
        rows = _sample(path)
    except (DataError, OSError, csv.Error, ValueError):
        return False
    columns = list(zip(*rows[1:], strict=False)) or list(zip(*rows, strict=False))
    if any(_share(cells, is_image_name) > 0.5 for cells in columns):
        return False
    return any(_share(cells, lambda cell: " " in cell.strip()) > 0.5 for cells in columns)


def at(table: Table, row: int, column: int) -> str:
    """``'reviews.csv', line 17, column 'review'``."""
    return f"{shown(table.path)}, {table.places[row]}, column {shown(table.header[column], 60)}"


def _share(cells: Sequence[str], test: Any) -> float:
    return sum(map(bool, map(test, cells))) / max(len(cells), 1)


def _sample(path: Path) -> list[Sequence[str]]:
    if path.suffix.lower() in (".parquet", ".pq"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            batch = next(pq.ParquetFile(path).iter_batches(batch_size=N_SAMPLED), None)
        except pa.ArrowException as error:
            raise DataError(str(error)) from None
        columns = [] if batch is None else [list(map(str, c.to_pylist())) for c in batch.columns]
        return [[], *zip(*columns, strict=True)]
    with path.open("rb") as file:
        text = file.read(SAMPLED_BYTES).decode("utf-8", errors="replace")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(path, text))
    with _cells_of_any_length(text):
        return [row for row in islice(reader, N_SAMPLED) if row]


@contextmanager
def _cells_of_any_length(text: str) -> Iterator[None]:
    """csv has a limit of its own; cells too long are told later, with their column."""
    limit = csv.field_size_limit(len(text) + 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _decode(path: Path) -> tuple[str, str]:
    """The file's text; bytes that are no UTF-8 are kept as lone surrogates, and refused later."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {shown(path)}: {error.strerror}") from None
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        text, encoding = raw.decode("utf-16", errors="replace"), "utf-16"
    else:
        text, encoding = raw.decode("utf-8-sig", errors="surrogateescape"), "utf-8"
    if "\0" in text:
        raise DataError(f"{shown(path)} is not a table of texts: it holds binary data")
    return text, encoding


def _delimiter(path: Path, text: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    first = text.split("\n", 1)[0]
    return max(",\t;|", key=first.count)


def _read_csv(path: Path, text: str, encoding: str) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(path, text))
    try:
        with _cells_of_any_length(text):
            numbered = list(_numbered(reader))
    except csv.Error as error:
        raise DataError(f"{shown(path)}, line {reader.line_num}: {error}") from None
    if not numbered:
        return Table(path, (), (), (), encoding)
    header = tuple(name.strip() for name in numbered[0][1])
    places = tuple(f"line {line}" for line, _ in numbered[1:])
    table = Table(path, header, tuple(row for _, row in numbered[1:]), places, encoding)
    for place, row in zip(places, table.rows, strict=True):
        if len(row) != len(header):
            raise DataError(
                f"{shown(path)}, {place} has {len(row)} cells and the header has {len(header)}: "
                'put a text that holds the separator, a line end or a quotation mark in "..." and '
                'write a quotation mark in it as ""'
            )
    return table


def _numbered(reader: Any) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Rows that are not empty, with the line on which each begins."""
    line = 1
    for row in reader:
        if any(cell.strip() for cell in row):
            yield line, tuple(row)
        line = reader.line_num + 1


def _read_jsonl(path: Path, text: str, encoding: str) -> Table:
    objects, places = [], []
    # Not splitlines: JSON strings may hold other line ends, such as U+2028, as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = one_line(str(error), limit=120)
            raise DataError(f"{shown(path)}, line {number} is not JSON: {reason}") from None
        if not isinstance(found, dict):
            raise DataError(
                f"{shown(path)}, line {number} is no JSON object: expected a line such as "
                '{"text": "...", "label": "..."}'
            )
        objects.append(found)
        places.append(f"line {number}")
    header = tuple(dict.fromkeys(key for found in objects for key in found))
    rows = tuple(tuple(_plain(found.get(key)) for key in header) for found in objects)
    return Table(path, header, rows, tuple(places), encoding)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _check_cells(table: Table) -> None:
    for row, cells in enumerate(table.rows):
        for column, cell in enumerate(cells):
            if len(cell) > MOST_CHARACTERS:
                raise DataError(
                    f"{at(table, row, column)} has {len(cell):,} characters; at most "
                    f"{MOST_CHARACTERS:,} are taken: shorten it, or look for a quotation mark that "
                    "is not closed"
                )
            if not cell.isascii():
                _check_encoding(table, row, column, cell)


def _check_encoding(table: Table, row: int, column: int, cell: str) -> None:
    try:
        cell.encode("utf-8")
    except UnicodeEncodeError as error:
        # A surrogate that decoding left behind holds the byte; JSON may spell out others.
        code = ord(cell[error.start])
        what = f"byte 0x{code - 0xDC00:02X}" if 0xDC80 <= code <= 0xDCFF else f"U+{code:04X}"
        before = one_line(cell[max(0, error.start - 12) : error.start], limit=40)
        name = one_line(table.path.name)
        raise DataError(
            f"{at(table, row, column)} is not UTF-8 ({what} after {before!r}): save the table as "
            f"UTF-8, for example with `iconv -f WINDOWS-1252 -t UTF-8 {name} > utf8-{name}`"
        ) from None
