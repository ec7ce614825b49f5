"""Apply a split file to the images of a folder."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from headstart.data.sources import Listing, counted, missing_path, shown, some
from headstart.data.tables import clean_name, find_columns, read_table, refuse_twice, split_words
from headstart.errors import DataError


def apply_split_file(
    listing: Listing, split: Path, *, same_name: Callable[[str], str] = lambda name: name
) -> Listing:
    """The listing, with the split of every image from a file.

    Raises DataError where the file names missing images, names one twice, omits images, or uses an
    unknown split.

    `listing`: the images of the folder. `split`: lines ``train,Class/file`` (or ``test``, ``val``),
    with columns in either order, optionally with a header; CSV, TSV or Parquet. Names are relative
    to the root of the listing. `same_name`: maps aliases of a name to one spelling.
    """
    if not split.is_file():
        raise missing_path(split, what="split file")
    table = read_table(split, row="an image and its split")
    columns = find_columns(table, need_label=False)
    if columns.split < 0:
        raise DataError(
            f"{shown(split)} has no split column: expected lines such as 'train,Class/file'"
        )
    written = [clean_name(name) for name in table.column(columns.image)]
    words = split_words(table, columns.split, written)

    def key(name: str) -> str:
        return same_name(unicodedata.normalize("NFC", name))

    known = {key(item.name): i for i, item in enumerate(listing.items)}
    missing = {key(name) for name in listing.missing}
    names = [_relative(key(name), known, listing.root) for name in written]
    refuse_twice(table, names)
    unknown = [
        w for w, n in zip(written, names, strict=True) if n not in known and n not in missing
    ]
    if unknown:
        raise DataError(
            f"{shown(split)} names {len(unknown)} of {len(names)} images that are not under "
            f"{shown(listing.root)}: {some(unknown, is_counted=True)}: correct the names or remove the lines"
        )
    of = dict(zip(names, words, strict=True))
    left = [item.name for item in listing.items if key(item.name) not in of]
    if left:
        raise DataError(
            f"{shown(split)} leaves out {counted(len(left), 'image')} under {shown(listing.root)}: "
            f"{some(left, is_counted=True)}: add them to it, move them away, or give the split file itself as the "
            "data to use only what it names"
        )
    items = [replace(item, split=of[key(item.name)]) for item in listing.items]
    return replace(listing, items=items, notes=[*listing.notes, *table.notes])


def _relative(name: str, known: dict[str, int], root: Path) -> str:
    """Accept absolute paths, and names that begin with the name of the root folder."""
    if name in known:
        return name
    if Path(name).is_absolute() and Path(name).is_relative_to(root):
        return Path(name).relative_to(root).as_posix()
    return name.removeprefix(f"{root.name}/")
