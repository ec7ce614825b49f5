"""Read Parquet files, and Arrow files as Hugging Face's ``datasets`` saves them, with the bytes of images."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.data.decode import Undecodable, opened
from headstart.data.parts import PART_IMAGES, Part, Sample, open_url
from headstart.data.sources import SPLIT_WORDS, counted, printable, shown, some
from headstart.data.tables import (
    IMAGE_NAMES,
    LABEL_NAMES,
    Table,
    find_column,
    find_split,
    usual_form,
)
from headstart.errors import DataError, argument, did_you_mean, one_line

if TYPE_CHECKING:
    import pyarrow as pa

_ARROW_FILE = b"ARROW1"
_READ_ROWS = 32
_TRIED_ROWS = 8


def holds_images(path: Path) -> bool:
    """Whether a Parquet file has a column of image bytes; False if it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = _byte_columns(file.schema_arrow)
            if not columns or not file.metadata.num_rows:
                return bool(columns)
            batch = next(file.iter_batches(batch_size=_TRIED_ROWS, columns=columns))
    except (OSError, pa.ArrowException, StopIteration):
        return False
    return any(_is_image(_bytes(v)) for c in batch.columns for v in c.to_pylist())


def parquet_parts(
    whole: Part,
    *,
    image_column: str | None,
    label_column: str | None,
    split_column: str | None = None,
) -> Iterator[Part]:
    """The row groups of a file, joining neighbours until they have enough rows.

    Raises DataError where it cannot be read, or a column is missing.
    """
    import pyarrow.parquet as pq

    try:
        with open_url(whole.url) as stream, pq.ParquetFile(stream) as file:
            schema, meta = file.schema_arrow, file.metadata
            sizes = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    except Exception as error:  # each kind of storage has its own exceptions
        reason = one_line(str(error), limit=120)
        raise DataError(f"{shown(whole.name)} is not a readable Parquet file: {reason}") from None
    columns = _columns(whole.name, schema, image_column, label_column, split_column)
    first, row, n_rows = 0, 0, 0
    for group, size in enumerate(sizes):
        n_rows += size
        if n_rows and (n_rows >= PART_IMAGES or group == len(sizes) - 1):
            yield dataclasses.replace(
                whole, groups=(first, group + 1), first_row=row, columns=columns, n_images=n_rows
            )
            first, row, n_rows = group + 1, row + n_rows, 0


def read_parquet_part(part: Part) -> Iterator[Sample]:
    """The images of some row groups, in order."""
    import pyarrow.parquet as pq

    wanted = [c for c in part.columns if c]
    with open_url(part.url) as stream, pq.ParquetFile(stream) as file:
        groups = list(range(*part.groups))
        batches = file.iter_batches(_READ_ROWS, row_groups=groups, columns=wanted)
        yield from _samples(part, file.schema_arrow, batches)


def arrow_part(
    whole: Part,
    *,
    image_column: str | None,
    label_column: str | None,
    split_column: str | None = None,
) -> Part:
    """An Arrow file as one part: a stream, which is read from its beginning.

    Raises DataError where it cannot be read, or a column is missing.
    """
    try:
        with open_url(whole.url) as stream, _open_arrow(stream) as (schema, _):
            pass
    except Exception as error:  # each kind of storage has its own exceptions
        reason = one_line(str(error), limit=120)
        raise DataError(f"{shown(whole.name)} is not a readable Arrow file: {reason}") from None
    columns = _columns(whole.name, schema, image_column, label_column, split_column)
    return dataclasses.replace(whole, columns=columns)


def read_arrow_part(part: Part) -> Iterator[Sample]:
    """The images of an Arrow file, in order."""
    wanted = [c for c in part.columns if c]
    with open_url(part.url) as stream, _open_arrow(stream) as (schema, batches):
        some_rows = (
            batch.select(wanted).slice(start, _READ_ROWS)
            for batch in batches
            for start in range(0, len(batch), _READ_ROWS)
        )
        yield from _samples(part, schema, some_rows)


@contextmanager
def _open_arrow(stream: Any) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Schema and batches of either of Arrow's formats: ``datasets`` writes streams."""
    import pyarrow as pa

    is_file = stream.read(len(_ARROW_FILE)) == _ARROW_FILE
    stream.seek(0)
    if is_file:
        with pa.ipc.open_file(stream) as file:
            yield file.schema, (file.get_batch(i) for i in range(file.num_record_batches))
    else:
        with pa.ipc.open_stream(stream) as reader:
            yield reader.schema, iter(reader)


def _samples(part: Part, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[Sample]:
    image, label, split = part.columns
    words = _class_names(schema, label)
    row = part.first_row
    for batch in batches:
        pictures = batch.column(image).to_pylist()
        labels = batch.column(label).to_pylist()
        splits = batch.column(split).to_pylist() if split else [part.split] * len(batch)
        for picture, value, side in zip(pictures, labels, splits, strict=True):
            row += 1
            name = _name(part, row, picture)
            text, data = _text(value, words), _bytes(picture)
            if not text or not data:
                yield Sample(name, reason=_what_is_missing(picture, data))
            else:
                word, reason = _side(side, split, part)
                yield Sample(name, text, word, b"" if reason else data, reason)


def _what_is_missing(picture: Any, data: bytes) -> str:
    if data:
        return "its label is missing"
    if isinstance(picture, dict) and picture.get("path"):
        return "its image is missing: only the path of a file is there"
    return "its image is missing"


def _side(value: Any, column: str, part: Part) -> tuple[str, str]:
    """The split of a row, or the reason for none; fold numbers are legal and mean none."""
    word = "" if value is None else str(value).strip().lower()
    is_fold = usual_form(column) == "fold" and word.removesuffix(".0").isdecimal()
    if not word or is_fold:
        return part.split, ""
    if word in SPLIT_WORDS:
        return SPLIT_WORDS[word], ""
    return "", (
        f"unknown split {shown(word, 40)} in column {shown(column, 40)}; expected train, val or test "
        f"({argument('split_column', 'none')} makes a split)"
    )


def _columns(
    name: str,
    schema: pa.Schema,
    image_column: str | None,
    label_column: str | None,
    split_column: str | None,
) -> tuple[str, str, str]:
    """Image, label and split column."""
    table = Table(Path(name), tuple(schema.names), (), (), "parquet")
    byte_columns = _byte_columns(schema)
    if image_column is not None and image_column not in byte_columns:
        has = f"; it has {some(byte_columns, n=8)}" if byte_columns else ""
        raise DataError(
            f"{shown(name)} has no column of image bytes called {image_column!r}{has}."
            f"{did_you_mean(image_column, byte_columns)}"
        )
    if not byte_columns:
        raise DataError(
            f"{shown(name)} has no column of image bytes; it has {some(schema.names, n=8)}: a table "
            "of paths must lie on this machine beside its images"
        )
    usual = [c for c in byte_columns if c.lower() in IMAGE_NAMES]
    image = image_column or (usual or byte_columns)[0]
    if image_column is None and not usual and len(byte_columns) > 1:
        raise DataError(
            f"{shown(name)} has {counted(len(byte_columns), 'column')} of bytes "
            f"({some(byte_columns, is_counted=True)}): name that of the images with {argument('image_column')}"
        )
    label = schema.names[
        find_column(table, label_column, LABEL_NAMES, "label", argument("label_column"))
    ]
    split = find_split(table, split_column)
    return image, label, "" if split < 0 else schema.names[split]


def _byte_columns(schema: pa.Schema) -> list[str]:
    """Columns of bytes, or of Hugging Face's ``{bytes, path}``."""
    import pyarrow.types as types

    def is_bytes(kind: pa.DataType) -> bool:
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    return [
        f.name
        for f in schema
        if is_bytes(f.type)
        or (
            types.is_struct(f.type)
            and any(
                g.name == "bytes" and is_bytes(g.type)
                for g in map(f.type.field, range(f.type.num_fields))
            )
        )
    ]


def _bytes(cell: Any) -> bytes:
    found = cell.get("bytes") if isinstance(cell, dict) else cell
    return found if isinstance(found, bytes) else b""


def _is_image(data: bytes) -> bool:
    try:
        with opened(data):
            return True
    except Undecodable:
        return False


def _class_names(schema: pa.Schema, label: str) -> list[str]:
    """Names of numbered classes from Hugging Face's metadata, if any."""
    try:
        known = json.loads((schema.metadata or {})[b"huggingface"])
        names = known["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def _text(value: Any, words: list[str]) -> str:
    if value is None or isinstance(value, dict | list | bytes):
        return ""
    if words and isinstance(value, int):  # -1: without a label
        return words[value] if 0 <= value < len(words) else ""
    return str(value).strip()


def _name(part: Part, row: int, picture: Any) -> str:
    own = picture.get("path") if isinstance(picture, dict) else None
    return printable(f"{part.name}/{row:06d}" + (f" {Path(str(own)).name}" if own else ""))
