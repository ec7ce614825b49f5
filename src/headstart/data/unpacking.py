"""Packed images as files on this machine, so that everything that wants files can be done with them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from headstart.data.decode import is_image_name
from headstart.data.packed import find_parts, read_part
from headstart.data.parts import Part
from headstart.data.sources import Listed, Listing, counted, shown, some
from headstart.errors import DataError
from headstart.files import whole_folder
from headstart.progress import Progress, silent

_ITEMS = "items.json"


@dataclass(frozen=True, slots=True)
class _Item:
    """One image of a part as `_ITEMS` has it; `file` is empty where there is a `reason`."""

    name: str
    label: str
    split: str
    file: str
    reason: str


def list_packed(
    data: str,
    *,
    cache: Path | None,
    image_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    classes_from: str = "auto",
    progress: Progress = silent,
) -> Listing:
    """Unpack a source of :mod:`headstart.data.packed`, each part once, and list its images.

    A kill costs the part in hand; a part that is there already is not read again.

    Raises DataError where the source cannot be used, or there is no `cache`; OutputError where the
    disk is full or read-only.

    `data`, `image_column`, `label_column`, `split_column`, `classes_from`: as for
    :func:`headstart.data.packed.find_parts`. `cache`: files go to ``datasets/unpacked`` under it.
    `progress`: told of the stage ``"unpack"``, in parts.
    """
    if cache is None:
        raise DataError(f"{shown(data)} has to be unpacked: give a cache folder to unpack it to")
    notes: list[str] = []
    parts = find_parts(
        data,
        image_column=image_column,
        label_column=label_column,
        split_column=split_column,
        classes_from=classes_from,
        notes=notes,
    )
    listing = Listing(Path(data), "packed images", notes=notes)
    seen: dict[str, int] = {}
    for done, part in enumerate(parts, start=1):
        folder = cache / "datasets" / "unpacked" / part.digest[:32]
        for item in _unpacked(part, folder):
            seen[item.name] = n = seen.get(item.name, 0) + 1
            name = item.name if n == 1 else f"{item.name} ({n})"
            if item.reason:
                listing.refused[name] = item.reason
            else:
                path = folder / item.file
                listing.items.append(Listed(path, name, item.label, item.split))
        progress("unpack", done, len(parts))
    _check(listing, data)
    return listing


def _unpacked(part: Part, folder: Path) -> list[_Item]:
    if not (folder / _ITEMS).is_file():
        with whole_folder(folder) as scratch:
            items = []
            for i, sample in enumerate(read_part(part)):
                file = ""
                if not sample.reason:
                    # A name of our own: those in an archive may lead anywhere.
                    suffix = Path(sample.name).suffix.lower()
                    file = f"{i:06d}{suffix if is_image_name(sample.name) else '.img'}"
                    (scratch / file).write_bytes(sample.data)
                item = _Item(sample.name, sample.label, sample.split, file, sample.reason)
                items.append([item.name, item.label, item.split, item.file, item.reason])
            (scratch / _ITEMS).write_text(json.dumps(items), encoding="utf-8")
    found = json.loads((folder / _ITEMS).read_text(encoding="utf-8"))
    return [_Item(*item) for item in found]


def _check(listing: Listing, data: str) -> None:
    if not listing.items:
        first = next(iter(listing.refused.items()), None)
        because = f" (first: {shown(first[0])}: {first[1]})" if first else ""
        raise DataError(f"{shown(data)} has no image that can be used{because}")
    without = [item.name for item in listing.items if not item.split]
    if without and len(without) < len(listing.items):
        raise DataError(
            f"{shown(data)}: {counted(len(without), 'image')} without a split beside others that have "
            f"one: {some(without, is_counted=True)}; name all shards train-..., val-... or test-..., or none"
        )
