"""Reading tables of image paths and labels: CSV in any common encoding, TSV, Parquet.

A table may have a header or none. Text is read as UTF-8 (with or without a mark), UTF-16 where the
file says so, and Windows-1252 otherwise. Every line that is not used is noted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, TypedDict, Unpack

from headstart.data.decode import is_image_name
from headstart.data.delimited import Rows, find_delimiter, numbers, read_rows
from headstart.data.sources import SPLIT_WORDS, Listed, Listing, counted, shown, some
from headstart.data.tablenames import find_files, is_there
from headstart.data.targets import (
    SEVERAL_NAMES,
    Target,
    TargetColumns,
    read_targets,
    refuse_lists,
    shown_labels,
    target_hint,
)
from headstart.data.weights import weight_cells
from headstart.errors import DataError, argument, did_you_mean, one_line

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".parquet", ".pq"})
SPREADSHEETS = frozenset({".xlsx", ".xls", ".xlsm", ".ods", ".numbers"})
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
GROUP_NAMES = [
    "group",
    "patient",
    "patient_id",
    "subject",
    "subject_id",
    "specimen",
    "plant",
    "animal",
    "video",
    "camera",
    "site",
    "session",
    "author",
    "conversation",
]
"""Usual names of columns whose examples belong on one side of a split."""
NO_TARGETS = TargetColumns()
NO_COLUMN = ("", "none")
"""What takes no column for the split."""


# Where a table was taken for the other kind.
_OTHERWISE = {
    "image": f" (for a table of texts, name their column with {argument('text')})",
    "text": f" (for a table of images, name their column with {argument('image_column')})",
}
# A Parquet file may have this many cells, and more if it has as many bytes.
_MOST_CELLS = 10_000_000


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text; ``header`` is empty where the file has none; ``places`` is for messages.

    ``notes`` are sentences for the user: which lines were left out, and how others were read.
    ``takes_usual_split`` is False where a column is the split only if it is asked for.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    places: tuple[str, ...]
    encoding: str
    notes: tuple[str, ...] = ()
    takes_usual_split: bool = True

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
    group: int = -1
    weight: int = -1


class ColumnNames(TypedDict, total=False):
    """Columns that were asked for by name; usual names are found without."""

    image_column: str | None
    label_column: str | None
    split_column: str | None
    group_column: str | None
    weight_column: str | None


def read_table(path: Path, *, row: str = "an image and its label") -> Table:
    """Read a table file; `row` says what each row should hold.

    Raises DataError where it cannot be read, parsed, or has no rows.
    """
    if path.suffix.lower() in (".parquet", ".pq"):
        table = read_parquet(path)
    else:
        table = _read_text(path)
    if not table.rows:
        raise DataError(f"{shown(path)} has no rows: expected {row} in each")
    return table


def find_columns(
    table: Table,
    *,
    need_label: bool = True,
    targets: TargetColumns = NO_TARGETS,
    **names: Unpack[ColumnNames],
) -> Columns:
    """Which column is which: by the name asked for, a usual name, or the looks of the rows."""
    if not table.header:
        is_without_split = names.get("split_column") in NO_COLUMN
        asked = {**names, "label_columns": targets.label_columns, "target_column": targets.number}
        if is_without_split:
            del asked["split_column"]
        for option, name in asked.items():
            if name is not None:
                raise DataError(
                    f"{shown(table.path)} has no header line, so {argument(option)} {name!r} is not in "
                    "it: add a first line with the names of the columns"
                )
        found = _columns_by_looks(table, need_label)
        return replace(found, split=-1) if is_without_split else found
    split = find_split(table, names.get("split_column"))
    # A split file with a header has no labels: the folder of each file is its class.
    is_split_file = any(usual_form(h) in SPLIT_NAMES for h in table.header)
    label_role = "label" if need_label and split < 0 and not is_split_file else ""
    usual = LABEL_NAMES if targets.separator is None else [*SEVERAL_NAMES, *LABEL_NAMES]
    return Columns(
        image=find_column(table, names.get("image_column"), IMAGE_NAMES, "image"),
        label=find_column(table, names.get("label_column"), usual, label_role),
        split=split,
        group=find_group(table, names.get("group_column")),
        weight=find_weight(table, names.get("weight_column")),
    )


def list_table(
    path: Path, *, targets: TargetColumns = NO_TARGETS, **names: Unpack[ColumnNames]
) -> Listing:
    """The images a table names; relative paths start at the table's own folder.

    A table whose rows are ``train|test,Class/file`` gives the label by the folder of the file. Names
    without suffix are looked for beside the table and in its sub-folders.

    Raises DataError where columns are missing, a row has no label or path, a file is named twice, a
    split word is unknown, or only some rows have a split.
    """
    return list_rows(read_table(path), path.parent.resolve(), targets=targets, **names)


def list_rows(
    table: Table,
    root: Path,
    *,
    targets: TargetColumns = NO_TARGETS,
    **names: Unpack[ColumnNames],
) -> Listing:
    """The images of a table whose relative paths start at `root`; else as `list_table`."""
    need_label = targets.label_columns is None and targets.number is None
    columns = find_columns(table, need_label=need_label, targets=targets, **names)
    images = [clean_name(name) for name in table.column(columns.image)]
    found: list[Target | None] = [None] * len(images)
    target_notes: list[str] = []
    if targets.is_asked:
        others = (columns.image, columns.split, columns.group, columns.weight)
        read, target_notes = read_targets(table, targets, columns.label, others)
        found = [*read]
        labels = [shown_labels(t) if isinstance(t, tuple) else f"{t:g}" for t in found]
    else:
        labels = table.column(columns.label) if columns.label >= 0 else [_parent(n) for n in images]
        refuse_lists(table, columns.label, labels)
    splits = [""] * len(images)
    if columns.split >= 0 and any(table.column(columns.split)):
        splits = split_words(table, columns.split, images)
    _check_rows(table, images, labels)
    notes = [
        *table.notes,
        *target_notes,
        *notes_on_columns(table, columns, names.get("label_column"), names.get("split_column")),
    ]
    files, note = find_files(root, images, table)
    refuse_twice(table, files)
    items = [
        Listed(_under(root, file), file, label, split, group, weight, target)
        for file, label, split, group, weight, target in zip(
            files,
            labels,
            splits,
            group_cells(table, columns.group),
            weight_cells(table, columns.weight),
            found,
            strict=True,
        )
    ]
    source = "table" if columns.label >= 0 or targets.is_asked else "split file"
    return Listing(root, source, items, notes=notes + ([note] if note else []))


def cells_by_name(path: Path, column: str, *, image_column: str | None = None) -> dict[str, str]:
    """The cell of a column in each row, by the name of the row's image; ``""`` where it is empty.

    Raises DataError as of `list_table`; the column is that of `group_column`.
    """
    return table_cells(read_table(path), path.parent.resolve(), column, image_column=image_column)


def table_cells(
    table: Table, root: Path, column: str, *, image_column: str | None = None
) -> dict[str, str]:
    """The same of a table whose relative paths start at `root`."""
    columns = find_columns(
        table,
        image_column=image_column,
        split_column="none",
        group_column=column,
        need_label=False,
    )
    images = [clean_name(name) for name in table.column(columns.image)]
    files = find_files(root, images, table)[0]
    return dict(zip(files, table.column(columns.group), strict=True))


def find_group(table: Table, asked: str | None) -> int:
    """Position of the column of groups that was asked for; -1 where none was.

    Raises DataError where the table does not have it.
    """
    if asked is None:
        return -1
    return find_column(table, asked, GROUP_NAMES, "group", argument("group_column"))


def find_weight(table: Table, asked: str | None) -> int:
    """Position of the column of weights that was asked for; -1 where none was.

    Raises DataError where the table does not have it.
    """
    if asked is None:
        return -1
    return find_column(table, asked, [], "weight", argument("weight_column"))


def group_cells(table: Table, column: int) -> list[str]:
    """The group of each row, ``""`` where there is no column of groups.

    Raises DataError where a row does not name its group.
    """
    if column < 0:
        return [""] * len(table.rows)
    cells = table.column(column)
    for row, cell in enumerate(cells):
        if not cell:
            raise DataError(
                f"{_at(table, row)}: column {shown(table.header[column], 60)} is empty: name the group "
                "in every row"
            )
    return cells


def find_split(table: Table, asked: str | None, option: str = argument("split_column")) -> int:
    """Position of the split column; -1 where there is none or it is to be skipped.

    A column called ``fold`` with numbers is one of cross-validation, which is made here: it is passed
    over, unless asked for.

    `asked`: a name, or one of `NO_COLUMN`: no column is taken. `option`: how the user names a
    column.
    """
    names = [h.strip() for h in table.header]
    if asked is not None and asked not in names and asked.strip().lower() in NO_COLUMN:
        return -1
    if asked is not None:
        return find_column(table, asked, SPLIT_NAMES, "split", option)
    if not table.takes_usual_split:
        return -1
    for name in SPLIT_NAMES:
        at = find_column(table, None, [name], "")
        if at >= 0 and not (name == "fold" and _has_fold_numbers(table, at)):
            return at
    return -1


def notes_on_columns(
    table: Table,
    columns: Columns,
    label: str | None,
    split: str | None,
    option: str = argument("label_column"),
) -> list[str]:
    """What was decided on columns that nobody named."""
    found = []
    for at, name in enumerate(table.header):
        is_free = split is None and at not in (columns.split, columns.label)
        if is_free and usual_form(name) == "fold" and _has_fold_numbers(table, at):
            found.append(
                f"column {shown(name, 60)} holds numbers of folds, not train, val or test: it is not "
                "used"
            )
    for at, name in enumerate(table.header):
        if columns.group < 0 and usual_form(name) in GROUP_NAMES and at != columns.label:
            n = len(set(table.column(at)))
            if 1 < n < len(table.rows):
                found.append(
                    f"column {shown(name, 60)} may name groups ({n:,} of them) that belong on one side "
                    f"of the split: {argument('group_column', name)} keeps them together"
                )
    others = [h for h in table.header if usual_form(h) in LABEL_NAMES]
    if label is None and columns.label >= 0 and len(others) > 1:
        taken = table.header[columns.label]
        rest = [h for h in others if h != taken]
        if rest:
            found.append(
                f"the labels are those in column {shown(taken, 60)}; {some(rest)} could hold them too: "
                f"{option} names another"
            )
    return found


def usual_form(name: str) -> str:
    """A column's name as the lists of usual names have it."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _has_fold_numbers(table: Table, at: int) -> bool:
    cells = [cell for cell in table.column(at) if cell]
    return bool(cells) and all(c.removesuffix(".0").lstrip("-").isdecimal() for c in cells)


def split_words(table: Table, column: int, images: Sequence[str]) -> list[str]:
    """The split of each row as ``"train"``, ``"val"`` or ``"test"``."""
    found = []
    for row, word in enumerate(table.column(column)):
        split = SPLIT_WORDS.get(word.lower())
        if split is None and word:
            name = f" in column {shown(table.header[column], 60)}" if table.header else ""
            raise DataError(
                f"{_at(table, row)}: unknown split {shown(word)}{name}; expected train, val or test."
                f"{did_you_mean(word.lower(), SPLIT_WORDS)}"
                + (
                    f" For a split made here, give {argument('split_column', 'none')}"
                    if name
                    else ""
                )
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
            hint = target_hint(labels) if image else ""
            raise DataError(
                f"{_at(table, row)}: the {what} is missing: fill it in or remove it"
                f"{f'. Also, {hint}' if hint else ''}"
            )
    refuse_twice(table, images)


def find_column(
    table: Table, asked: str | None, usual: Sequence[str], role: str, option: str = ""
) -> int:
    """Position of a column: by the name asked for, or a usual one; -1 where `role` is "" and there is none.

    Raises DataError where the name asked for is not there, or none is usual; `option` names a
    column.
    """
    names = [h.strip() for h in table.header]
    if asked is not None:
        if asked in names:
            return _only(table.path, names, asked)
        raise DataError(
            f"{shown(table.path)} has no column {asked!r}; it has {some(names, n=8)}."
            f"{did_you_mean(asked, names)}"
        )
    lower = [usual_form(n) for n in names]
    for name in usual:
        if name in lower:
            return _only(table.path, names, names[lower.index(name)])
    if not role:
        return -1
    otherwise = _OTHERWISE.get(role, "")
    if role == "label" and not option:
        otherwise = (
            f" (labels in several columns of 0 and 1: {argument('label_columns')}; a number to predict: "
            f"{argument('target_column')})"
        )
    raise DataError(
        f"{shown(table.path)} has no {role} column that can be recognised by its name; it has "
        f"{some(names, n=8)}: name it with {option or argument(f'{role}_column')}"
        f"{otherwise}"
    )


def _only(path: Path, names: Sequence[str], name: str) -> int:
    """Position of a name that is there once."""
    places = [i + 1 for i, n in enumerate(names) if n == name]
    if len(places) > 1:
        raise DataError(
            f"{shown(path)} has {len(places)} columns called {shown(name, 60)} (columns "
            f"{', '.join(map(str, places))}): rename all but one"
        )
    return places[0] - 1


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
        split = rest[0]  # words that are not split names; they will be named
    others = [i for i in rest if i != split]
    if share(image, None) < 0.5 or (split < 0 and not others):
        raise DataError(
            f"{shown(table.path)}: expected a column of image paths and one of labels (or lines "
            f"'train,Class/file'), and found {one_line(','.join(table.rows[0]), limit=80)!r}"
        )
    return Columns(image=image, label=others[0] if others else -1, split=split)


def read_parquet(path: Path) -> Table:
    """A Parquet file as rows of text; an empty cell gives ``""``.

    Columns of lists or of structures, such as pictures kept as bytes, are skipped.

    Raises DataError where it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            flat = [f for f in file.schema_arrow if not pa.types.is_nested(f.type)]
            _check_amount(file.metadata.num_rows, len(flat), path)
        _refuse_duplicate_names(path, [f.name for f in flat])
        # As a dictionary: what is there again and again is in memory once.
        texts = [f.name for f in flat if pa.types.is_string(f.type)]
        data = pq.read_table(path, columns=[f.name for f in flat], read_dictionary=texts)
        data.validate(full=True)
        columns = [[cell for chunk in c.chunks for cell in _cells(chunk)] for c in data.columns]
    except (OSError, pa.ArrowException, ValueError, OverflowError) as error:
        reason = one_line(str(error), limit=120)
        raise DataError(f"{shown(path)} is not a readable Parquet file: {reason}") from None
    rows = tuple(zip(*columns, strict=True))
    places = tuple(f"row {i + 1}" for i in range(len(rows)))
    return Table(path, tuple(data.column_names), rows, places, "parquet")


def _refuse_duplicate_names(path: Path, names: Sequence[str]) -> None:
    for name in dict.fromkeys(names):
        _only(path, names, name)


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
    text, encoding = decode_text(path, raw)
    delimiter, text = find_delimiter(path, text, comments=True)
    rows = read_rows(path, text, delimiter, comments=True)
    n_noted = len(notes := rows.notes())
    header, kept = _settle_hashes(path, rows, notes)
    if encoding != "utf-8":
        notes.insert(n_noted, f"{shown(path.name)} is not UTF-8; it was read as {encoding}")
    table = Table(
        path,
        header,
        tuple(rows.rows[i] for i in kept),
        tuple(f"line {rows.lines[i]}" for i in kept),
        encoding,
        tuple(notes),
    )
    _refuse_long_rows(table)
    return table


def _settle_hashes(path: Path, rows: Rows, notes: list[str]) -> tuple[tuple[str, ...], list[int]]:
    """The header, and which rows are rows: of the lines that begin with ``#`` most are comments.

    One is a row where it has the cells of one and nothing speaks for a row that was commented out.
    """
    plain = [i for i, line in enumerate(rows.lines) if line not in rows.hashed]
    hashed = [i for i, line in enumerate(rows.lines) if line in rows.hashed]
    width = len(rows.rows[plain[0]]) if plain else 0
    header: tuple[str, ...] = ()
    header_at = -1
    above = [i for i in hashed if plain and i < plain[0] and len(rows.rows[i]) == width]
    if above and _names_columns(rows.rows[above[-1]]) and not _names_columns(rows.rows[plain[0]]):
        header_at = above[-1]
        hashed.remove(header_at)
        header = (rows.rows[header_at][0].lstrip("# "), *rows.rows[header_at][1:])
    elif plain and _is_header(rows.rows[plain[0]]):
        header_at = plain.pop(0)
        header = rows.rows[header_at]
    firsts = {rows.rows[i][0].strip() for i in plain}
    used: list[int] = []
    passed: list[int] = []
    for i in hashed:
        cells = rows.rows[i]
        is_row = len(cells) == (width or len(cells)) > 1 and (
            any(map(is_image_name, cells)) or -1 < header_at < i
        )
        chosen = used if is_row and not _is_commented_out(path, rows, i, firsts) else passed
        chosen.append(i)
    if passed:
        first = one_line(",".join(rows.rows[passed[0]]), limit=40)
        notes.append(
            f"skipped {counted(len(passed), 'comment line')} that begin{'s' if len(passed) == 1 else ''} "
            f"with '#': {numbers([rows.lines[i] for i in passed])} (first: {first!r})"
        )
    if used:
        notes.append(
            f"{counted(len(used), 'row')} whose first cell begins with '#' "
            f"{'is' if len(used) == 1 else 'are'} used: {numbers([rows.lines[i] for i in used])}"
        )
    return header, sorted([*plain, *used])


def _is_commented_out(path: Path, rows: Rows, at: int, firsts: set[str]) -> bool:
    """Whether a line like a row is one that somebody put ``#`` before.

    Raises DataError where it may be either.
    """
    first = rows.rows[at][0].strip()
    bare = first.lstrip("#").strip()
    if is_image_name(first):
        return not is_there(path.parent, clean_name(first))
    if bare.lower() in SPLIT_WORDS:
        return True
    if bare in firsts:
        raise DataError(
            f"{shown(path)}, line {rows.lines[at]}: {shown(first, 60)} may begin a row or a comment, "
            f"because {shown(bare, 60)} begins a row too: put it in quotation marks to use the row, or "
            "remove the line"
        )
    return False


def _refuse_long_rows(table: Table) -> None:
    """Raise where a row has more cells than the header, or than most rows: a separator too many."""
    widths = Counter(map(len, table.rows))
    width = len(table.header) or (widths.most_common(1)[0][0] if widths else 0)
    for row, cells in enumerate(table.rows):
        if any(cell.strip() for cell in cells[width:]):
            than = "the header has" if table.header else "most rows have"
            raise DataError(
                f"{_at(table, row)} has {counted(len(cells), 'cell')} and {than} {width}: put a cell "
                'that holds the separator in "..."'
            )


def _is_header(row: Sequence[str]) -> bool:
    """A header has no image's name, and no split word unless beside a usual name of a column."""
    cells = [cell.strip() for cell in row]
    if any(map(is_image_name, cells)):
        return False
    return not any(c.lower() in SPLIT_WORDS for c in cells) or _names_columns(cells)


def _names_columns(cells: Sequence[str]) -> bool:
    known = {*IMAGE_NAMES, *LABEL_NAMES, *SPLIT_NAMES}
    return any(usual_form(cell.lstrip("# ")) in known for cell in cells)


def decode_text(path: Path, raw: bytes) -> tuple[str, str]:
    """The text of a file and its encoding.

    Raises DataError where it holds binary data.
    """
    text, encoding = _decode_text(raw)
    if "\0" in text:
        refuse_binary(path, raw, text)
    return text, encoding


def refuse_binary(path: Path, raw: bytes, text: str) -> NoReturn:
    """Raise: the text of a table holds NUL."""
    if raw.startswith(b"PK\x03\x04"):
        raise DataError(
            f"{shown(path)} is not a text table but a zip archive or an Excel workbook: save it as CSV"
        )
    sample = raw[:4096]
    if len(sample) > 3 and max(sample[::2].count(0), sample[1::2].count(0)) > 0.4 * len(
        sample[::2]
    ):
        raise DataError(
            f"{shown(path)} looks like UTF-16 without its byte order mark: save it as UTF-8"
        )
    line = text.count("\n", 0, text.index("\0")) + 1
    raise DataError(
        f"{shown(path)} is not a text table: it holds binary data (a NUL byte in line {line})"
    )


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


def _under(root: Path, name: str) -> Path:
    return Path(name) if Path(name).is_absolute() else root / name


def _at(table: Table, row: int) -> str:
    return f"{shown(table.path)}, {table.places[row]}"
