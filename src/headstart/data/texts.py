"""One call from a table of labelled texts, or a name, to an index like that of images."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msgspec.structs import replace as replace_fields

from headstart.data import labels
from headstart.data.records import DuplicateGroup, Example, Examples
from headstart.data.sides import name_val_as_test, with_sides
from headstart.data.sources import counted, missing_path, shown
from headstart.data.summary import DataSummary, WordCounts
from headstart.data.tables import (
    LABEL_NAMES,
    SPREADSHEETS,
    Columns,
    Table,
    find_column,
    find_group,
    find_split,
    find_weight,
    group_cells,
    notes_on_columns,
    split_words,
)
from headstart.data.targets import are_numbers, as_lists
from headstart.data.texttables import TEXT_NAMES, TEXT_SUFFIXES, at, looks_like_texts, read_texts
from headstart.data.weights import weight_cells
from headstart.errors import DataError, InputError, argument, one_line
from headstart.home import expand
from headstart.progress import Progress, silent

# Whole numbers may name classes; more different ones than this are an amount.
MOST_NUMBERED_CLASSES = 100
MORE_LABEL_NAMES = ["sentiment", "topic", "intent", "polarity", "tag", "author", "language"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextRecord(Example):
    """One labelled text.

    Its name says where it stands: ``line 17`` of a CSV, TSV or JSON lines file (that on which the
    row begins, the header counted), ``row 17`` of a Parquet file or of a named set. Its digest is
    that of the text's UTF-8.
    """

    text: str  # without white space at its ends


@dataclass(frozen=True, kw_only=True, slots=True)
class TextIndex(Examples[TextRecord]):
    """All that is known of labelled texts; records are in the order of the table."""

    # text_column, label_column: where texts and labels stand
    text_column: str = ""
    label_column: str = ""

    def summary(self) -> DataSummary:
        """What was found, as results keep it."""
        lengths = sorted(len(r.text.split()) for r in self.records)
        return replace_fields(
            Examples.summary(self),
            noun="text",
            n_texts=len(self.records),
            n_words=WordCounts(median=lengths[len(lengths) // 2], most=lengths[-1]),
            text_column=self.text_column,
            label_column=self.label_column,
        )


def is_text_table(
    data: str, *, text_column: str | None = None, image_column: str | None = None
) -> bool:
    """Whether `data` is a table of texts, or a named set of them, rather than images.

    A table is recognised by its cells: see :func:`headstart.data.texttables.looks_like_texts`. A path
    that exists wins over a name.

    `data`: as the user gave it. `text_column`, `image_column`: where one is named, there is nothing
    to tell.
    """
    from headstart.data.textsets import names_a_text_set

    if text_column is not None or image_column is not None:
        return text_column is not None
    path = expand(data)
    try:
        if path.exists():
            return path.is_file() and looks_like_texts(path)
    except OSError:
        return False
    return names_a_text_set(data)


def index_texts(
    path: str | Path,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    weight_column: str | None = None,
    merge_labels: bool = False,
    test_size: float = 0.2,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = silent,
) -> TextIndex:
    """Read a table of labelled texts, find copies, and give every text a side.

    Raises DataError where the table cannot be used; the message names row and column.

    Parameters
    ----------
    path
        A CSV, TSV, JSON lines or Parquet file in UTF-8, or the name of a set: ``"trec"``, ``"mr"``,
        or ``"trec:/a/local/copy"``.
    text_column, label_column, split_column
        Columns, where their names are not among the usual ones. A split column says train, val or
        test in each row; ``"none"``: none does, and a split is made.
    group_column
        Column that names what must stay together in split and folds: an author, a conversation.
    weight_column
        Column that says how often each text counts: numbers of 0 or more.
    merge_labels
        As for :func:`headstart.data.index`.
    test_size
        Share of each class to test on, in (0, 1), where Headstart makes the split: stratified, and
        with copies of a text on one side.
    seed
        Of the split that Headstart makes.
    cache
        Where downloads of named sets go; None: nothing is downloaded.
    progress
        Told of the stage ``"download"`` in bytes.
    """
    from headstart.data.textsets import list_text_set, names_a_text_set

    where = expand(path)
    if not where.exists() and names_a_text_set(str(path)):
        for name, column in (("group_column", group_column), ("weight_column", weight_column)):
            if column is not None:
                raise InputError(
                    f"{argument(name)} {column!r} names a column of a table, and {path} is a named set"
                )
        found = list_text_set(str(path), cache=cache, progress=progress)
    else:
        found = _read(where, text_column, label_column, split_column, group_column, weight_column)
    read, notes = list(found.records), list(found.notes)
    if merge_labels:
        read, merged = labels.merge_labels(read, "text")
        notes += merged
    notes += labels.label_notes([r.label for r in read], "text")
    records = tuple(name_val_as_test(read, notes))
    _check_classes(found, records)
    named = replace(found, records=records, notes=tuple(notes), duplicates=find_copies(records))
    return with_sides(named, test_size=test_size, seed=seed, noun="text")


def make_record(
    text: str, label: str, name: str, split: str = "", group: str = "", weight: float = 1.0
) -> TextRecord:
    """A record with the digest of its text."""
    clean = text.strip()
    digest = hashlib.sha256(clean.encode()).hexdigest()
    return TextRecord(
        name=name, label=label, digest=digest, split=split, group=group, weight=weight, text=clean
    )


def find_copies(records: Sequence[TextRecord]) -> tuple[DuplicateGroup, ...]:
    """Texts that are the same, and texts of the same words: case and punctuation aside."""
    exact: dict[str, list[TextRecord]] = defaultdict(list)
    near: dict[str, list[TextRecord]] = defaultdict(list)
    for record in records:
        exact[record.digest].append(record)
        words = " ".join(re.findall(r"\w+", record.text.casefold()))
        near[words or record.text].append(record)
    copies = [_group(g, "exact") for g in exact.values() if len(g) > 1]
    alike = [_group(g, "near") for g in near.values() if len({r.digest for r in g}) > 1]
    return (*copies, *alike)


def _group(records: Iterable[TextRecord], kind: Any) -> DuplicateGroup:
    members = list(records)
    return DuplicateGroup(
        names=tuple(r.name for r in members),
        splits=tuple(r.split for r in members),
        labels=tuple(r.label for r in members),
        kind=kind,
    )


def _read(
    path: Path,
    text: str | None,
    label: str | None,
    split: str | None,
    group: str | None,
    weight: str | None,
) -> TextIndex:
    if not path.exists():
        from headstart.data.textsets import text_set_names

        raise missing_path(path, what="table or data set", also=text_set_names())
    if path.is_dir():
        raise DataError(
            f"{shown(path)} is a folder: expected a table of texts (.csv, .tsv, .jsonl or .parquet)"
        )
    if path.suffix.lower() in SPREADSHEETS:
        raise DataError(
            f"{shown(path)} is a spreadsheet, which is not read: save it as CSV (UTF-8)"
        )
    if path.suffix.lower() not in TEXT_SUFFIXES:
        raise DataError(
            f"{shown(path)} is not a table of texts: expected a .csv, .tsv, .jsonl or .parquet file"
        )
    table = read_texts(path)
    at_text = find_column(table, text, TEXT_NAMES, "text", argument("text"))
    at_label = find_column(
        table, label, [*LABEL_NAMES, *MORE_LABEL_NAMES], "label", argument("label")
    )
    at_split = find_split(table, split)
    if at_text == at_label:
        raise DataError(
            f"{shown(path)}: {argument('text')} and {argument('label')} name the same column: choose two"
        )
    _require_full(table, at_text)
    _require_full(table, at_label)
    at_group = find_group(table, group)
    columns = Columns(image=-1, label=at_label, split=at_split, group=at_group)
    notes = [*table.notes, *notes_on_columns(table, columns, label, split, argument("label"))]
    notes += _check_labels(table, at_label)
    if table.encoding == "utf-16":
        notes.append(f"{shown(path.name)} is not UTF-8; it was read as UTF-16, as its mark says")
    splits = [""] * len(table.rows)
    if at_split >= 0 and any(table.column(at_split)):
        splits = split_words(table, at_split, table.places)
    cells = zip(
        table.column(at_text),
        table.column(at_label),
        table.places,
        splits,
        group_cells(table, at_group),
        weight_cells(table, find_weight(table, weight)),
        strict=True,
    )
    return TextIndex(
        root=path.resolve(),
        source="table of texts",
        records=tuple(make_record(*row) for row in cells),
        notes=tuple(notes),
        text_column=table.header[at_text],
        label_column=table.header[at_label],
    )


def _require_full(table: Table, column: int) -> None:
    empty = [row for row, cell in enumerate(table.column(column)) if not cell]
    if empty:
        more = f" (and in {counted(len(empty) - 1, 'more row')})" if len(empty) > 1 else ""
        raise DataError(
            f"{at(table, empty[0], column)} is empty{more}: fill it in or remove the row"
        )


def _check_labels(table: Table, column: int) -> list[str]:
    """Refuse labels that are amounts; a note where whole numbers name the classes."""
    labels = table.column(column)
    if as_lists(labels) is not None:
        longest = one_line(max(labels, key=len), limit=60)
        raise DataError(
            f"{at(table, 0, column)} and on are lists, such as {longest}: a text has one class, written without "
            "brackets"
        )
    if not are_numbers(labels):
        return []
    for row, label in enumerate(labels):
        if not float(label).is_integer():
            raise DataError(
                f"{at(table, row, column)} holds the number {label}: a label must name a class, "
                "not give an amount; put the amounts into classes such as low and high first"
            )
    n = len(set(labels))
    if n > MOST_NUMBERED_CLASSES:
        raise DataError(
            f"{at(table, 0, column)} and on are numbers, {n:,} different ones: a label must name a "
            "class, not give an amount; put them into a few classes first"
        )
    return [f"the labels in column {shown(table.header[column], 60)} are numbers; each is a class"]


def _check_classes(found: TextIndex, records: Sequence[TextRecord]) -> None:
    counts = Counter(r.label for r in records)
    if len(counts) < 2:
        raise DataError(
            f"{shown(found.root)}, column {shown(found.label_column, 60)} has one class only "
            f"({shown(next(iter(counts)))}): at least two classes are needed"
        )
    if len(records) > 10 and len(counts) > 0.5 * len(records):
        raise DataError(
            f"{shown(found.root)}, column {shown(found.label_column, 60)} has {len(counts):,} "
            f"different labels in {len(records):,} rows (first: "
            f"{shown(records[0].label, 60)}): name the column of the classes with {argument('label')}"
        )
