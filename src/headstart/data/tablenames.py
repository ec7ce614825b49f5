"""Find the files named in a table that omits suffixes or folders."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from headstart.data.decode import IMAGE_SUFFIXES, is_image_name
from headstart.data.sources import counted, printable, shown, some
from headstart.errors import DataError

if TYPE_CHECKING:
    from headstart.data.tables import Table

# Maximum depth of folders searched below that of the table.
_DEPTH = 3


def find_files(root: Path, names: Sequence[str], table: Table) -> tuple[list[str], str]:
    """The paths of the named files, and a note on completed names.

    Names of existing files are used unchanged. Names without an image suffix, or all names if none
    exists, are searched among the images in the folder of the table and its sub-folders.

    Raises DataError where no file is found, or one name fits several.
    """
    bare = {n for n in names if not is_image_name(n) and not is_there(root, n)}
    if not bare and any(is_there(root, n) for n in names):
        return list(names), ""
    wanted = bare or set(names)
    near = _images_near(root)
    completed: dict[str, str] = {}
    for row, name in enumerate(names):
        fits = near.get(name, []) if name in wanted else []
        if len(fits) > 1:
            raise DataError(
                f"{shown(table.path)}, {table.places[row]}: {shown(name)} may be {some(fits)}: write "
                "the whole path"
            )
        if fits:
            completed[name] = fits[0]
    files = [completed.get(name, name) for name in names]
    if not completed and not any(is_there(root, n) for n in names):
        raise _none_there(table, names, bare)
    if not completed:
        return files, ""
    first = next(iter(completed.items()))
    what = "without a suffix" if bare else "without a folder"
    return files, (
        f"{counted(len(completed), 'name')} {what}: the image of that name beside the table or in "
        f"its sub-folders was taken, such as {shown(first[1])} for {shown(first[0])}"
    )


def is_there(root: Path, name: str) -> bool:
    """Whether a name, relative to a folder, is a file."""
    try:
        return (root / name).is_file()
    except (OSError, ValueError):  # the name is too long, or a folder is not accessible
        return False


def with_suffix(name: str) -> list[str]:
    """A name with each image suffix added, in upper and lower case."""
    return [name + s for suffix in sorted(IMAGE_SUFFIXES) for s in (suffix, suffix.upper())]


def _images_near(root: Path) -> dict[str, list[str]]:
    """Images under a folder by all trailing parts of their paths, with and without suffix.

    Images in the folder itself take precedence over those in sub-folders.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for path in _images(root):
        parts = PurePosixPath(path).parts
        for i in range(len(parts)):
            end = "/".join(parts[i:])
            for key in {end, end[: len(end) - len(PurePosixPath(end).suffix)]}:
                found[key].append(path)
    for key, paths in found.items():
        whole = [p for p in paths if p == key or p[: len(p) - len(PurePosixPath(p).suffix)] == key]
        if whole:
            found[key] = whole
    return found


def _images(root: Path) -> list[str]:
    """Relative paths of the images under a folder, except hidden ones."""
    found = []
    for folder, below, files in os.walk(root):
        here = os.path.relpath(folder, root)
        depth = 0 if here == os.curdir else here.count(os.sep) + 1
        below[:] = [] if depth >= _DEPTH else sorted(b for b in below if not b.startswith("."))
        for file in sorted(files):
            if is_image_name(file) and not file.startswith("."):
                path = file if here == os.curdir else f"{here}/{file}"
                found.append(printable(path.replace(os.sep, "/")))
    return found


def _none_there(table: Table, names: Sequence[str], bare: set[str]) -> DataError:
    what = (
        f"none of the {len(names)} files that {shown(table.path)} names exists (first: "
        f"{shown(names[0])})"
    )
    if len(bare) == len(set(names)):
        return DataError(
            f"{what}: the names have no suffix such as .jpg, and beside the table and in its "
            "sub-folders is no image with one of these names: put the table beside the images, or "
            "write paths with suffixes, relative to the table's folder"
        )
    return DataError(
        f"{what}: paths are relative to the table's folder; for a split of a folder give the folder as "
        "data and this file as split"
    )
