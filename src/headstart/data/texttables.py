"""Reading tables of texts strictly: CSV, TSV, JSON lines and Parquet, in UTF-8.

A wrong letter in a path shows at once; in a text it would only make the classifier worse. So nothing
is guessed here: bytes that are not UTF-8, a row with too many cells, or a cell of a megabyte end the
reading with the line and the column. There are no comment lines: a text may begin with ``#``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.data.decode import is_image_name
from headstart.data.delimited import MOST_CHARACTERS, find_delimiter, read_rows
from headstart.data.imageparquet import holds_images
from headstart.data.sources import shown
from headstart.data.tablenames import is_there, with_suffix
from headstart.data.tables import (
    LABEL_NAMES,
    TABLE_SUFFIXES,
    Table,
    read_parquet,
    refuse_binary,
    usual_form,
)
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
# Sample rows for telling a table of texts from one of images.
N_SAMPLED = 200
N_TRIED = 10
SAMPLED_BYTES = 1 << 20


def read_texts(path: Path) -> Table:
    """Read a table of texts.

    Raises DataError where it cannot be read, is not UTF-8, is ragged, has a cell too long, or has
    no rows.
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

    A table with the bytes, names or ids of images never is, and other JSON lines always are. Of the
    rest, one with a column called ``text`` or the like is, and one with a column of which most cells
    have a space and differ: labels may have spaces too, but repeat.
    """
    if path.suffix.lower() in JSON_SUFFIXES:
        return not _lines_name_images(path)
    if path.suffix.lower() not in TEXT_SUFFIXES:
        return False
    if path.suffix.lower() in (".parquet", ".pq") and holds_images(path):
        return False
    try:
        header, columns = _sample(path)
    except (DataError, OSError, ValueError):
        return False
    if any(_share(cells, is_image_name) > 0.5 for cells in columns):
        return False
    if any(_name_images(path.parent, cells[:N_TRIED]) for cells in columns):
        return False
    if any(usual_form(name) in TEXT_NAMES for name in header):
        return True
    return any(
        _share(cells, lambda cell: " " in cell.strip()) > 0.5 and len(set(cells)) > 0.5 * len(cells)
        for name, cells in zip(header, columns, strict=True)
        if usual_form(name) not in LABEL_NAMES
    )


def at(table: Table, row: int, column: int) -> str:
    """``'reviews.csv', line 17, column 'review'``."""
    return f"{shown(table.path)}, {table.places[row]}, column {shown(table.header[column], 60)}"


def _share(cells: Sequence[str], test: Any) -> float:
    return sum(map(bool, map(test, cells))) / max(len(cells), 1)


def _name_images(folder: Path, cells: Sequence[str]) -> bool:
    """Whether most cells are names of images beside the table, less their suffix."""
    names = [cell.strip() for cell in cells if cell.strip()]
    return _share(names, lambda name: any(is_there(folder, n) for n in with_suffix(name))) > 0.5


def _lines_name_images(path: Path) -> bool:
    """Whether the first JSON lines name files of images."""
    try:
        with path.open("rb") as file:
            raw = file.read(SAMPLED_BYTES)
        # The last line may be cut off.
        whole = raw[: raw.rfind(b"\n")] if len(raw) == SAMPLED_BYTES and b"\n" in raw else raw
        lines = [line for line in whole.split(b"\n") if line.strip()][:N_TRIED]
        found = [f for f in map(json.loads, lines) if isinstance(f, dict)]
    except (OSError, ValueError, RecursionError):
        return False
    keys = {usual_form(str(key)) for f in found for key in f}
    if keys & {*TEXT_NAMES}:
        return False
    named = [any(_is_file_name(v) for v in f.values()) for f in found]
    return sum(named) > 0.5 * max(len(named), 1)


def _is_file_name(value: Any) -> bool:
    return isinstance(value, str) and is_image_name(value) and len(value.split()) == 1


def _sample(path: Path) -> tuple[Sequence[str], list[list[str]]]:
    """The header and some cells of each column."""
    if path.suffix.lower() in (".parquet", ".pq"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                batch = next(file.iter_batches(batch_size=N_SAMPLED), None)
        except pa.ArrowException as error:
            raise DataError(str(error)) from None
        if batch is None:
            return [], []
        return batch.schema.names, [list(map(str, c.to_pylist())) for c in batch.columns]
    with path.open("rb") as file:
        raw = file.read(SAMPLED_BYTES)
    utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = raw.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")
    if len(raw) == SAMPLED_BYTES and "\n" in text:
        text = text[: text.rindex("\n")]
    delimiter, text = find_delimiter(path, text)
    try:
        rows = read_rows(path, text, delimiter).rows[: N_SAMPLED + 1]
    except DataError:  # told when it is read in earnest
        rows = [tuple(line.split(delimiter)) for line in text.splitlines() if line.strip()]
    width = max(map(len, rows), default=0)
    body = rows[1 : N_SAMPLED + 1] or rows
    header = [*(rows[0] if rows else ()), *[""] * width][:width]
    return header, [[row[i] for row in body if i < len(row)] for i in range(width)]


def _decode(path: Path) -> tuple[str, str]:
    """The file's text; bytes that are not UTF-8 are kept as lone surrogates, and refused later."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {shown(path)}: {error.strerror}") from None
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        text, encoding = raw.decode("utf-16", errors="replace"), "utf-16"
    else:
        text, encoding = raw.decode("utf-8-sig", errors="surrogateescape"), "utf-8"
    if "\0" in text:
        refuse_binary(path, raw, text)
    return text, encoding


def _read_csv(path: Path, text: str, encoding: str) -> Table:
    delimiter, text = find_delimiter(path, text)
    found = read_rows(path, text, delimiter)
    if not found.rows:
        return Table(path, (), (), (), encoding)
    header = tuple(name.strip() for name in found.rows[0])
    places = tuple(f"line {line}" for line in found.lines[1:])
    table = Table(path, header, tuple(found.rows[1:]), places, encoding, tuple(found.notes()))
    for place, row in zip(places, table.rows, strict=True):
        if len(row) != len(header):
            raise DataError(
                f"{shown(path)}, {place} has {len(row)} cells and the header has {len(header)}: "
                'put a text that holds the separator, a line end or a quotation mark in "..." and '
                'write a quotation mark in it as ""'
            )
    return table


def read_json_lines(path: Path) -> Table:
    """JSON objects, one per line, as rows of text.

    Raises DataError where it cannot be read, or a line is not an object.
    """
    return _read_jsonl(path, *_decode(path))


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
                f"{shown(path)}, line {number} is not a JSON object: expected a line such as "
                '{"text": "...", "label": "..."}'
            )
        objects.append(found)
        places.append(f"line {number}")
    return table_of_objects(path, objects, places, encoding)


def table_of_objects(
    path: Path, objects: Sequence[Mapping[str, Any]], places: Sequence[str], encoding: str
) -> Table:
    """JSON objects as rows of text; a key that one lacks, and null, give ``""``."""
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
