"""The 15-Scene data set with the same class names for every copy.

Lazebnik, Schmid, Ponce 2006, "Beyond bags of features: spatial pyramid matching for recognizing
natural scene categories" (CVPR), after Fei-Fei and Perona 2005 and Oliva and Torralba 2001. Its
copies name the classes by source (``MITcoast``), plainly (``Coast``), or by number.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from headstart.data.archives import download, unpack_zip
from headstart.data.folders import list_folder
from headstart.data.sources import Listing, counted, shown, some
from headstart.errors import DataError
from headstart.progress import Progress, silent

ARCHIVE_URL = "http://www-cvr.ai.uiuc.edu/ponce_grp/data/scene_categories/scene_categories.zip"
ARCHIVE_MD5 = "58828019197b2ad0a7efb472e7a85c2a"

CLASSES = (
    "Bedroom",
    "Coast",
    "Forest",
    "Highway",
    "Industrial",
    "InsideCity",
    "Kitchen",
    "LivingRoom",
    "Mountain",
    "Office",
    "OpenCountry",
    "Store",
    "Street",
    "Suburb",
    "TallBuilding",
)
"""The names that Headstart uses, sorted."""

# The order of folders in the original archive, which numbered copies use.
_NUMBERED = [
    "Bedroom",
    "Suburb",
    "Industrial",
    "Kitchen",
    "LivingRoom",
    "Coast",
    "Forest",
    "Highway",
    "InsideCity",
    "Mountain",
    "OpenCountry",
    "Street",
    "TallBuilding",
    "Office",
    "Store",
]
_OTHER_NAMES = {"city": "InsideCity", "tall": "TallBuilding", "country": "OpenCountry"}
_ALIASES = {
    **{name.lower(): name for name in CLASSES},
    **{f"{i:02d}": name for i, name in enumerate(_NUMBERED)},
    **_OTHER_NAMES,
}


def canonical_class(name: str) -> str | None:
    """The class that a folder name means, or None: ``MITcoast``, ``coast`` -> ``Coast``."""
    plain = re.sub(r"[\W_]+", "", name).lower()
    return _ALIASES.get(plain) or _ALIASES.get(re.sub(r"^(cal|mit|par)", "", plain))


def canonical_name(name: str) -> str:
    """``MITcoast/image_0001.jpg`` -> ``Coast/image_0001.jpg``; other names are unchanged."""
    *above, folder, file = ("", *name.split("/")) if "/" in name else ("", "", name)
    known = canonical_class(folder)
    return "/".join([*above[1:], known, file]) if known else name


def list_scene15(
    places: list[Path],
    *,
    cache: Path | None,
    url: str = ARCHIVE_URL,
    md5: str = ARCHIVE_MD5,
    progress: Progress = silent,
) -> Listing:
    """The images of the set, from the first local copy or the published archive.

    Raises DataError where there is no copy and the archive cannot be downloaded, or the copy lacks
    classes.

    `places`: folders that may be or contain a copy (``place``, ``place/scene15``,
    ``place/scene_categories``). `cache`: folder for the downloaded archive; None: do not download.
    `url`, `md5`: the published archive.
    """
    for place in places:
        found = find_copy(place)
        if found is not None:
            return _list(found)
    if cache is None:
        raise DataError(
            "the data set 'scene15' is not on this computer: name a copy with 'scene15:FOLDER', or "
            "set HEADSTART_DATA to the folder that holds it"
        )
    archive = cache / "scene_categories.zip"
    unpacked = cache / "scene_categories"
    if not unpacked.is_dir():
        if not archive.is_file():
            download(url, archive, md5=md5, progress=progress)
        unpack_zip(archive, unpacked)
    found = find_copy(unpacked)
    if found is None:
        raise DataError(f"{shown(unpacked)} does not hold the classes of scene15: remove it, retry")
    return _list(found)


def find_copy(place: Path) -> Path | None:
    """The folder at or directly in ``place`` with at least 2 of the 15 classes."""
    named = [place / n for n in ("scene15", "scene_categories", "15-Scene")]
    inside = [f for f in sorted(place.iterdir()) if f.is_dir()] if place.is_dir() else []
    for folder in (place, *named, *inside):
        if (
            folder.is_dir()
            and len({canonical_class(f.name) for f in folder.iterdir()} - {None}) > 1
        ):
            return folder.resolve()
    return None


def _list(root: Path) -> Listing:
    listing = list_folder(root, classes_from="outer")
    items = [
        replace(item, label=known)
        for item in listing.items
        if (known := canonical_class(item.label)) is not None
    ]
    other = sorted({item.label for item in listing.items if canonical_class(item.label) is None})
    missing = sorted(set(CLASSES) - {item.label for item in items})
    notes = list(listing.notes)
    if other:
        notes.append(
            f"left out {counted(len(other), 'folder')} that are not classes of scene15: {some(other, is_counted=True)}"
        )
    if missing:
        notes.append(
            f"this copy of scene15 lacks {counted(len(missing), 'class')}: {some(missing, is_counted=True)}"
        )
    return replace(listing, source="scene15", items=items, notes=notes)
