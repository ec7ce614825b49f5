"""Find unlabelled images for prediction."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from headstart.data.decode import is_image_name
from headstart.data.pictures import Source, list_sources
from headstart.data.sources import (
    N_NAMED,
    counted,
    missing_path,
    printable,
    shown,
    some,
    walk_images,
)
from headstart.errors import DataError
from headstart.home import expand

logger = logging.getLogger(__name__)


def find_images(paths: Iterable[str | os.PathLike[str]]) -> list[tuple[Path, str]]:
    """Expand files, folders and patterns to image files, without repetition.

    Parameters
    ----------
    paths
        A file is used whatever its suffix. A folder contributes its images at any depth, in natural
        order (``img2`` before ``img10``). A pattern (``*``, ``?``, ``[ab]``, ``**``) is expanded
        unless a file has that name. Other files in folders and patterns are counted in a warning.

    Returns
    -------
    list of (Path, str)
        Absolute path, and the name to show: as given, or the given folder and the path in it.

    Raises
    ------
    DataError
        A path does not exist, or nothing is found. Files are not opened.
    """
    found: dict[Path, str] = {}
    asked = [os.fspath(p) for p in paths]
    for text in asked:
        for path in _expand(text):
            for image, name in _images_at(path):
                found.setdefault(image, name)
    if not found:
        raise DataError(f"no images in {', '.join(map(repr, asked)) or 'an empty list of paths'}")
    return list(found.items())


def name_sources(images: Any) -> dict[Source, str]:
    """Images of any accepted kind, in order, with their names; folders and patterns expanded.

    Raises DataError as for `find_images` and `headstart.data.list_sources`.
    """
    sources = list_sources(images)
    if all(isinstance(source, Path) for source in sources):
        return dict(find_images([source for source in sources if isinstance(source, Path)]))
    names: dict[Source, str] = {}
    for source in sources:
        found = find_images([source]) if isinstance(source, Path) else [(source, source.name)]
        for image, name in found:
            names.setdefault(image, name)
    return names


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key for natural order: ``img2`` before ``img10``."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(p), "") if "0" <= p[0] <= "9" else (1, 0, p.lower()) for p in parts if p]


def _expand(text: str) -> list[Path]:
    path = expand(text)
    if os.path.lexists(path):
        return [path]
    if not glob.has_magic(text):
        raise missing_path(path)
    matches = glob.glob(str(path), recursive=True)  # noqa: PTH207 - patterns may be absolute
    found = [Path(m) for m in sorted(matches, key=natural_key)]
    chosen = [p for p in found if p.is_dir() or is_image_name(p.name)]
    others = [p.name for p in found if p not in set(chosen)]
    if others:
        what = f"{counted(len(others), 'file')} without the suffix of an image"
        logger.warning(
            "%s: left out %s: %s", shown(text), what, some(others, n=N_NAMED, is_counted=True)
        )
    return chosen


def _images_at(path: Path) -> list[tuple[Path, str]]:
    if not path.is_dir():
        return [(path.absolute(), printable(path.as_posix()))]
    listing = walk_images(path.absolute())
    for note in listing.notes:
        logger.warning("%s: %s", shown(path), note)
    items = sorted(listing.items, key=lambda item: natural_key(item.name))
    return [(item.path, f"{printable(path.as_posix())}/{item.name}") for item in items]
