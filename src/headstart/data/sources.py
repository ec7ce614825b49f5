"""What a source of images gives: a listing of its files. And walking the folders of a tree.

Links are followed, to files and to folders; each real folder is walked once for a class, so a loop
of links ends, and is noted. A link that leads nowhere goes on the quarantine list. Hidden files and
folders (``.name``) and ``__MACOSX`` are left out, and so are files whose suffix is not that of an
image; a note counts and names them.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.data.decode import is_image_name
from headstart.errors import DataError, one_line
from headstart.wording import counted as counted

if TYPE_CHECKING:
    from headstart.data.targets import Target

_OF_KIND = {"file": " without the suffix of an image"}
# Names that a note on what is left out gives.
N_NAMED = 5
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Words, compared without regard to case, that name a split."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One image file as a source lists it, not yet opened."""

    path: Path
    name: str
    label: str
    split: str = ""
    group: str = ""
    weight: float = 1.0
    target: Target | None = None


@dataclass(slots=True)
class Listing:
    """All image files of a source, and what was noticed while listing them."""

    root: Path
    source: str
    items: list[Listed] = field(default_factory=list)
    ignored: int = 0
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # names of links that lead nowhere
    refused: dict[str, str] = field(default_factory=dict)  # names and why they have no file


def walk_images(root: Path) -> Listing:
    """All images under a folder, at any depth, without labels."""
    walk = Walk(root)
    items = [Listed(path, walk.name(path), "") for path in walk.images(root)]
    return walk.listing("folder", items, [])


def shown(path: Path | str, limit: int = 120) -> str:
    """A path or name quoted for a message."""
    return f"'{one_line(str(path), limit=limit)}'"


def some(names: Sequence[str], *, n: int = 3, is_counted: bool = False) -> str:
    """The first few names, quoted, and how many there are, unless the message has said so already."""
    more = ", ..." + f" ({len(names):,} in all)" * (not is_counted) if len(names) > n else ""
    return ", ".join(shown(name) for name in names[:n]) + more


def printable(name: str) -> str:
    """A name that any encoding can hold: bytes that are not UTF-8 shown as ``\\xNN``."""
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class Walk:
    """Walks folders under one root and keeps what it came across."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._prefix = os.path.join(root, "")  # noqa: PTH118 - with the separator at its end
        self.left_out: dict[str, str] = {}  # names and what they are
        self.looped: list[str] = []
        self.missing: list[str] = []

    def name(self, path: Path | str) -> str:
        """Posix path relative to the root; undecodable bytes shown as ``\\xNN``."""
        relative = os.fspath(path)[len(self._prefix) :]  # pathlib takes ten times as long
        return printable(relative.replace(os.sep, "/"))

    def entries(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Sub-folders and image files of one folder, each sorted by name."""
        try:
            with os.scandir(folder) as scan:
                found = sorted(scan, key=lambda e: e.name)
        except OSError as error:
            raise DataError(
                f"cannot list {shown(folder)}: {error.strerror}; check its permissions"
            ) from None
        folders, files = [], []
        for entry in found:
            hidden = entry.name.startswith(".") or entry.name == "__MACOSX"
            if _is_folder(entry):
                if hidden:
                    self.left_out[self.name(entry.path)] = "hidden folder"
                else:
                    folders.append(Path(entry.path))
            elif hidden or not is_image_name(entry.name):
                kind = "hidden file" if hidden else "file"
                self.left_out[self.name(entry.path)] = kind
            elif entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110
                self.missing.append(self.name(entry.path))
            else:
                files.append(Path(entry.path))
        return folders, files

    def subfolders(self, folder: Path) -> list[Path]:
        """The sub-folders that are not hidden."""
        n_missing = len(self.missing)
        folders = self.entries(folder)[0]
        del self.missing[n_missing:]
        return folders

    def images(self, folder: Path, above: Sequence[Path] = ()) -> Iterator[Path]:
        """All image files under ``folder``, each real folder once and none of those ``above``."""
        visited = {os.path.realpath(f) for f in above}
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            real = os.path.realpath(here)
            if real in visited:
                self.looped.append(self.name(here))
                continue
            visited.add(real)
            folders, files = self.entries(here)
            waiting += reversed(folders)
            yield from files

    def listing(self, source: str, items: list[Listed], notes: list[str]) -> Listing:
        """Close the walk."""
        if self.looped:
            notes.append(
                f"skipped {counted(len(self.looped), 'linked folder')} that lead back to a folder "
                f"already read: {some(self.looped, is_counted=True)}"
            )
        notes += [
            f"left out {counted(len(names), kind)}{_OF_KIND.get(kind, '')}: {some(names, n=N_NAMED, is_counted=True)}"
            for kind, names in self._left_out_by_kind().items()
        ]
        return Listing(self.root, source, items, self.ignored, notes, self.missing)

    @property
    def ignored(self) -> int:
        """How many files are left out."""
        return sum(kind != "hidden folder" for kind in self.left_out.values())

    def _left_out_by_kind(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, kind in self.left_out.items():
            found.setdefault(kind, []).append(name)
        return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def missing_path(
    path: Path, *, what: str = "file or folder", also: Sequence[str] = ()
) -> DataError:
    """The error for a path that is not there, with the nearest name beside it or, of a bare name, in ``also``."""
    try:
        near = [p.name for p in path.parent.iterdir()]
    except (OSError, ValueError):
        near = []
    names = [*near, *(also if path == Path(path.name) else ())]
    found = difflib.get_close_matches(path.name, names, n=3, cutoff=0.6)
    close = [str(path.parent / name) if name in near else name for name in found]
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return DataError(f"no such {what}: {shown(path)}.{one_line(hint) or ' Check the path.'}")
