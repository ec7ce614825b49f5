"""Reading tables of image paths and labels: CSV in any common encoding, TSV, Parquet.

A table may have a header or none. Text is read as UTF-8 (with or without a mark), UTF-16 where the
file says so, and Windows-1252 otherwise.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.data.decode import is_image_name
from headstart.data.sources import SPLIT_WORDS, Listed, Listing, shown, some
from headstart.errors import DataError, did_you_mean, one_line

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".parquet", ".pq"})
IMAGE_NAMES = [
    "image",
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "image_path",
    "imagepath",
    "image_file",
    "img",
    "img_path",
    "image_name",
    "picture",
    "photo",
]
LABEL_NAMES = [
    "label",
    "class",
    "category",
    "target",
    "labels",
    "class_name",
    "classname",
    "label_name",
    "species",
    "y",
]
SPLIT_NAMES = ["split", "set", "subset", "fold", "partition", "phase", "usage"]


# A Parquet file may have this many cells, and more if it has as many bytes.
_MOST_CELLS = 10_000_000


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text; ``header`` is empty where the file has none; ``places`` is for messages."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    places: tuple[str, ...]
    encoding: str

    @property
    def n_columns(self) -> int:
        """Columns of the widest row."""
        return max((len(r) for r in self.rows), default=len(self.header))

    def column(self, at: int, n: int | None = None) -> list[str]:
        """One column or its first ``n`` cells, stripped; a row too short gives ``""``."""
        return [row[at].strip() if at < len(row) else "" for row in self.rows[:n]]


@dataclass(frozen=True, slots=True)
class Columns:
    """Positions of the columns that matter; -1 where there is none."""

    image: int
    label: int
    split: int


def read_table(path: Path) -> Table:
    """Read a table file.

    Raises
    ------
    DataError
        Where it cannot be read, parsed, or has no rows.
    """
    if path.suffix.lower() in (".parquet", ".pq"):
        table = read_parquet(path)
    else:
        table = _read_text(path)
    if not table.rows:
        raise DataError(f"{shown(path)} has no rows: expected an image and its label in each")
    return table


def find_columns(
    table: Table,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    need_label: bool = True,
) -> Columns:
    """Which column is which: by the name asked for, a usual name, or the looks of the rows."""
    if not table.header:
        for option, name in (("image_column", image_column), ("label_column", label_column)):
            if name is not None:
                raise DataError(
                    f"{shown(table.path)} has no header line, so {option} {name!r} is not in it"
                )
        return _columns_by_looks(table, need_label)
    split = find_column(table, None, SPLIT_NAMES, "")
    # A split file with a header has no labels: the folder of each file is its class.
    label_role = "label" if need_label and split < 0 else ""
    return Columns(
        image=find_column(table, image_column, IMAGE_NAMES, "image"),
        label=find_column(table, label_column, LABEL_NAMES, label_role),
        split=split,
    )


def list_table(
    path: Path, *, image_column: str | None = None, label_column: str | None = None
) -> Listing:
    """The images a table names; relative paths start at the table's own folder.

    A table whose rows are ``train|test,Class/file`` gives the label by the folder of the file.

    Raises
    ------
    DataError
        Missing columns, a row without label or path, a file named twice, an unknown split word, or
        rows with a split beside rows without one.
    """
    table = read_table(path)
    columns = find_columns(table, image_column=image_column, label_column=label_column)
    images = [clean_name(name) for name in table.column(columns.image)]
    labels = table.column(columns.label) if columns.label >= 0 else [_parent(n) for n in images]
    splits = [""] * len(images)
    if columns.split >= 0 and any(table.column(columns.split)):
        splits = split_words(table, columns.split, images)
    _check_rows(table, images, labels)
    root = path.parent.resolve()
    items = [
        Listed(_under(root, image), image, label, split)
        for image, label, split in zip(images, labels, splits, strict=True)
    ]
    if not any(map(_is_there, (item.path for item in items))):
        raise DataError(
            f"none of the {len(items)} files that {shown(path)} names exists (first: "
            f"{shown(items[0].path)}): paths are relative to the table's folder; for a split of "
            "a folder give the folder as data and this file as split"
        )
    source = "table" if columns.label >= 0 else "split file"
    listing = Listing(root, source, items)
    if table.encoding not in ("utf-8", "parquet"):
        listing.notes.append(f"{shown(path.name)} is not UTF-8; it was read as {table.encoding}")
    return listing


def split_words(table: Table, column: int, images: Sequence[str]) -> list[str]:
    """The split of each row as ``"train"``, ``"val"`` or ``"test"``."""
    found = []
    for row, word in enumerate(table.column(column)):
        split = SPLIT_WORDS.get(word.lower())
        if split is None and word:
            raise DataError(
                f"{_at(table, row)}: unknown split {shown(word)}; expected train, val or test."
                f"{did_you_mean(word.lower(), SPLIT_WORDS)}"
            )
        if split is None:
            raise DataError(
                f"{_at(table, row)}: {shown(images[row])} has no split while other rows have one: "
                "fill in train, val or test, or remove the row"
            )
        found.append(split)
    return found


def refuse_twice(table: Table, names: Sequence[str]) -> None:
    """Raise where a file is named twice."""
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        if name in first:
            raise DataError(
                f"{_at(table, row)}: {shown(name)} is there twice (first in "
                f"{table.places[first[name]]}): remove one of the two"
            )
        first[name] = row


def clean_name(text: str) -> str:
    """A path as people write it (``.\\a\\b.jpg``) in the posix form of record names."""
    name = text.replace("\\", "/") if "/" not in text else text
    while name.startswith("./"):
        name = name[2:]
    return name


def _check_rows(table: Table, images: Sequence[str], labels: Sequence[str]) -> None:
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        if not image or not label:
            what = "path of the image" if not image else f"label of {shown(image)}"
            raise DataError(f"{_at(table, row)}: the {what} is missing: fill it in or remove it")
    refuse_twice(table, images)


def find_column(
    table: Table, asked: str | None, usual: Sequence[str], role: str, option: str = ""
) -> int:
    """Position of a column: by the name asked for, or a usual one; -1 where `role` is "" and there is none.

    Raises
    ------
    DataError
        The name asked for is not there, or none is usual; `option` names a column.
    """
    names = [h.strip() for h in table.header]
    if asked is not None:
        if asked in names:
            return names.index(asked)
        raise DataError(
            f"{shown(table.path)} has no column {asked!r}; it has {some(names, n=8)}."
            f"{did_you_mean(asked, names)}"
        )
    lower = [n.lower().replace(" ", "_").replace("-", "_") for n in names]
    for name in usual:
        if name in lower:
            return lower.index(name)
    if not role:
        return -1
    raise DataError(
        f"{shown(table.path)} has no {role} column that can be told by its name; it has "
        f"{some(names, n=8)}: name it with {option or f'--{role}-column'}"
    )


def _columns_by_looks(table: Table, need_label: bool) -> Columns:
    """Columns of a table without header: split words, names with an image's suffix, the rest."""
    sample = table.rows[:200]

    def share(at: int, test: set[str] | None) -> float:
        cells = table.column(at, len(sample))
        hits = [c.lower() in test if test is not None else is_image_name(c) for c in cells]
        return sum(hits) / len(hits)

    at = list(range(table.n_columns))
    image = max(at, key=lambda i: share(i, None))
    rest = [i for i in at if i != image]
    split = next((i for i in rest if share(i, set(SPLIT_WORDS)) > 0.5), -1)
    if split < 0 and len(rest) == 1 and not need_label:
        split = rest[0]  # words that are no split; they will be named
    others = [i for i in rest if i != split]
    if share(image, None) < 0.5 or (split < 0 and not others):
        raise DataError(
            f"{shown(table.path)}: expected a column of image paths and one of labels (or lines "
            f"'train,Class/file'), and found {one_line(','.join(table.rows[0]), limit=80)!r}"
        )
    return Columns(image=image, label=others[0] if others else -1, split=split)


def read_parquet(path: Path) -> Table:
    """A Parquet file as rows of text; an empty cell gives ``""``.

    Columns of lists or of structures, such as pictures kept as bytes, are passed over.

    Raises
    ------
    DataError
        It cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            flat = [f for f in file.schema_arrow if not pa.types.is_nested(f.type)]
            _check_amount(file.metadata.num_rows, len(flat), path)
        # As a dictionary: what is there again and again is in memory once.
        texts = [f.name for f in flat if pa.types.is_string(f.type)]
        data = pq.read_table(path, columns=[f.name for f in flat], read_dictionary=texts)
        data.validate(full=True)
        columns = [[cell for chunk in c.chunks for cell in _cells(chunk)] for c in data.columns]
    except (OSError, pa.ArrowException, ValueError, OverflowError) as error:
        reason = one_line(str(error), limit=120)
        raise DataError(f"{shown(path)} is no readable Parquet file: {reason}") from None
    rows = tuple(zip(*columns, strict=True))
    places = tuple(f"row {i + 1}" for i in range(len(rows)))
    return Table(path, tuple(data.column_names), rows, places, "parquet")


def _check_amount(n_rows: int, n_columns: int, path: Path) -> None:
    """Refuse a small file that holds more cells than can be of use: a bomb."""
    n_cells, n_bytes = n_rows * n_columns, path.stat().st_size
    if n_cells > max(_MOST_CELLS, n_bytes):
        raise DataError(
            f"{shown(path)} has {n_cells:,} cells in {n_bytes:,} bytes, which no table of different "
            "rows does: it is refused"
        )


def _cells(chunk: Any) -> list[str]:
    """A piece of a column as text; of a dictionary, each word is made once."""
    if hasattr(chunk, "dictionary"):
        words = ["" if v is None else str(v) for v in chunk.dictionary.to_pylist()]
        return ["" if i is None else words[i] for i in chunk.indices.to_pylist()]
    return ["" if v is None else str(v) for v in chunk.to_pylist()]


def _read_text(path: Path) -> Table:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {shown(path)}: {error.strerror}") from None
    text, encoding = _decode_text(raw)
    if "\0" in text:
        raise DataError(f"{shown(path)} is not a text table: it holds binary data")
    lines = text.splitlines()
    sample = lines[0] if lines else ""
    delimiter = max(",\t;|", key=sample.count)
    try:
        numbered = list(_rows(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)))
    except csv.Error as error:
        raise DataError(f"{shown(path)} cannot be read as a table: {error}") from None
    header: tuple[str, ...] = ()
    if numbered and _is_header(numbered[0][1]):
        header = numbered.pop(0)[1]
    places = tuple(f"line {line}" for line, _ in numbered)
    return Table(path, header, tuple(row for _, row in numbered), places, encoding)


def _rows(reader: Any) -> Iterator[tuple[int, tuple[str, ...]]]:
    for row in reader:
        if any(cell.strip() for cell in row) and not row[0].startswith("#"):
            yield reader.line_num, tuple(row)


def _is_header(row: Sequence[str]) -> bool:
    """No cell of a header is the name of an image file or a split word."""
    cells = [cell.strip() for cell in row]
    return not any(is_image_name(c) or c.lower() in SPLIT_WORDS for c in cells)


def _decode_text(raw: bytes) -> tuple[str, str]:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace"), "utf-16"
    try:
        return raw.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace"), "Windows-1252"


def _parent(name: str) -> str:
    parts = name.split("/")
    return parts[-2] if len(parts) > 1 else ""


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def _under(root: Path, name: str) -> Path:
    return Path(name) if Path(name).is_absolute() else root / name


def _at(table: Table, row: int) -> str:
    return f"{shown(table.path)}, {table.places[row]}"
