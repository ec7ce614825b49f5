"""Finding the images of a folder-per-class tree, with or without train/val/test sub-folders.

Links are followed, to files and to folders; each real folder is walked once for a class, so a loop
of links ends, and is noted. A link that leads nowhere goes on the quarantine list. Hidden files and
folders (``.name``) and ``__MACOSX`` are left out, and so are files whose suffix is not that of an
image; a note counts and names them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headstart.data.decode import is_image_name
from headstart.errors import DataError, did_you_mean, one_line

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


def list_folder(root: Path) -> Listing:
    """The images of a class folder tree.

    Raises
    ------
    DataError
        Where there are no images, no class folders, one class, or a mixture of split folders and
        other folders.
    """
    walk = _Walk(root)
    folders = walk.subfolders(root)
    by_split = {f: SPLIT_WORDS[f.name.lower()] for f in folders if f.name.lower() in SPLIT_WORDS}
    in_classes = {f: walk.subfolders(f) for f in by_split}
    if "train" not in {s for f, s in by_split.items() if in_classes[f]}:
        return _list_classes(walk, root, folders)
    return _list_splits(walk, folders, by_split, in_classes)


def walk_images(root: Path) -> Listing:
    """All images under a folder, at any depth, without labels."""
    walk = _Walk(root)
    items = [Listed(path, walk.name(path), "") for path in walk.images(root)]
    return walk.listing("folder", items, [])


def shown(path: Path | str, limit: int = 120) -> str:
    """A path or name quoted for a message."""
    return f"'{one_line(str(path), limit=limit)}'"


def counted(n: int, noun: str) -> str:
    """``1 image``, ``2 images``, ``3 classes``."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{n:,} {noun if n == 1 else plural}"


def some(names: Sequence[str], *, n: int = 3) -> str:
    """The first few names, quoted, for a message."""
    more = f", ... ({len(names)} in all)" if len(names) > n else ""
    return ", ".join(shown(name) for name in names[:n]) + more


def printable(name: str) -> str:
    """A name that any encoding can hold: bytes that are no UTF-8 shown as ``\\xNN``."""
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _Walk:
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
                f"passed over {counted(len(self.looped), 'linked folder')} that lead back to a folder "
                f"already read: {some(self.looped)}"
            )
        notes += [
            f"left out {counted(len(names), kind)}{_OF_KIND.get(kind, '')}: {some(names, n=N_NAMED)}"
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


def _list_classes(walk: _Walk, root: Path, folders: list[Path]) -> Listing:
    loose = walk.entries(root)[1]
    items: list[Listed] = []
    empty: list[str] = []
    for folder in folders:
        n_before = len(items), len(walk.missing)
        items += [
            Listed(path, walk.name(path), walk.name(folder))
            for path in walk.images(folder, above=[root])
        ]
        if (len(items), len(walk.missing)) == n_before:
            empty.append(walk.name(folder))
    if not items:
        _refuse_without_classes(root, loose, walk)
    notes = []
    if loose:
        names = [walk.name(p) for p in loose]
        notes.append(f"left out {counted(len(loose), 'image')} in no class folder: {some(names)}")
    if empty:
        notes.append(
            f"no class is made of {counted(len(empty), 'folder')} without images: {some(empty)}"
        )
    if len({item.label for item in items}) == 1:
        _refuse_one_class(walk, root, items[0].label)
    return walk.listing("folder", items, notes)


def _list_splits(
    walk: _Walk,
    folders: list[Path],
    by_split: dict[Path, str],
    in_classes: dict[Path, list[Path]],
) -> Listing:
    for other in (f for f in folders if f not in by_split):
        if next(iter(walk.images(other, above=[walk.root])), None) is not None:
            raise DataError(
                f"{shown(walk.root)} has split folders ({some([f.name for f in by_split])}) beside "
                f"{shown(other.name)}, which holds images too: move it away, or name it train, "
                "val or test"
            )
    items: list[Listed] = []
    notes: list[str] = []
    for folder, split in by_split.items():
        loose = walk.entries(folder)[1]
        if loose:
            notes.append(
                f"left out {counted(len(loose), 'image')} in {shown(folder.name)} but in no class "
                f"folder: {some([walk.name(p) for p in loose])}"
            )
        for class_folder in in_classes[folder]:
            label = printable(class_folder.name)
            items += [
                Listed(path, walk.name(path), label, split)
                for path in walk.images(class_folder, above=[walk.root, folder])
            ]
    return walk.listing("split folders", items, notes)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _refuse_without_classes(root: Path, loose: list[Path], walk: _Walk) -> None:
    if loose:
        raise DataError(
            f"{shown(root)} holds {counted(len(loose), 'image')} but no class folders: put the images of each "
            "class in a folder of its own, or give a table of paths and labels"
        )
    other = f" ({counted(walk.ignored, 'other file')})" if walk.ignored else ""
    raise DataError(
        f"{shown(root)} holds no images{other}: expected a folder for each class with images in it"
    )


def _refuse_one_class(walk: _Walk, root: Path, label: str) -> None:
    deeper = [f.name for f in walk.subfolders(root / label)] if (root / label).is_dir() else []
    hint = f" Did you mean {shown(root / label)}?" if len(deeper) > 1 else ""
    raise DataError(
        f"{shown(root)} has one class only ({shown(label)}): at least two class folders are "
        f"needed.{hint}"
    )


def missing_path(
    path: Path, *, what: str = "file or folder", also: Sequence[str] = ()
) -> DataError:
    """The error for a path that is not there, with the nearest name beside it or in ``also``."""
    try:
        near = [p.name for p in path.parent.iterdir()]
    except (OSError, ValueError):
        near = []
    hint = did_you_mean(path.name, [*near, *also])
    return DataError(f"no such {what}: {shown(path)}.{one_line(hint) or ' Check the path.'}")
