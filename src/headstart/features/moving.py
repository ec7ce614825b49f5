"""Move the cache to another folder: copy, verify, then remove.

Every file is copied to a temporary name, flushed, renamed and read back; nothing is removed before all
files are. After a kill, each file is complete in the old or the new folder, and the same call resumes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import InputError, OutputError, one_line
from headstart.features.inventory import Inventory, files_in, take_inventory
from headstart.files import is_temporary, whole_file
from headstart.progress import Progress, silent

_CHUNK = 8 * 2**20


@dataclass(frozen=True, kw_only=True)
class Move:
    """The result of a move."""

    n_files: int
    n_bytes: int
    n_copied: int  # files that were not in the new folder before
    stayed: tuple[Path, ...] = ()  # copied, but they could not be removed from the old folder


def move(root: Path, target: Path, *, keep: bool = False, progress: Progress = silent) -> Move:
    """Copy the cache to another folder, verify every file, and remove the old one.

    Files that other runs write to the old folder meanwhile stay there until another call. `keep` leaves
    the old cache. Raises InputError where one folder contains the other or `target` contains other files;
    OutputError where `target` cannot be written, is too small, or returns other bytes than were written.
    """
    _check(root, target)
    inventory = take_inventory(root)
    files = list(_files(inventory))
    _require_room(target, root, files)
    done: dict[Path, os.stat_result] = {}
    n_copied, n_bytes = 0, 0
    for number, (path, status) in enumerate(files, start=1):
        with contextlib.suppress(FileNotFoundError):  # another run has just removed it
            n_copied += _copy(path, target / path.relative_to(root), status)
            done[path] = status
            n_bytes += status.st_size
        progress("copy", number, len(files))
    stayed = [] if keep else _remove(root, done, progress)
    return Move(n_files=len(done), n_bytes=n_bytes, n_copied=n_copied, stayed=tuple(stayed))


def _check(root: Path, target: Path) -> None:
    here, there = root.resolve(), target.resolve()
    shown = one_line(str(target))
    if not root.is_dir():
        raise InputError(f"there is no cache at {one_line(str(root))}: nothing to move")
    if here == there:
        raise InputError(f"the cache is in {shown} already")
    if here in there.parents or there in here.parents:
        raise InputError(
            f"{shown} and the cache {one_line(str(root))} lie in each other: choose another"
        )
    if target.exists() and not target.is_dir():
        raise InputError(f"{shown} is not a folder: choose another")
    if foreign := take_inventory(target).foreign:
        raise InputError(
            f"{shown} holds something that is no cache ({one_line(foreign[0].name)!r}): choose an "
            "empty folder"
        )


def _files(inventory: Inventory) -> Iterator[tuple[Path, os.stat_result]]:
    """Every file of the cache, except those being written."""
    for item in inventory.items:
        for path, status in files_in(item.path):
            way = path.relative_to(inventory.root)
            if not any(is_temporary(Path(part)) for part in way.parts):
                yield path, status


def _require_room(target: Path, root: Path, files: list[tuple[Path, os.stat_result]]) -> None:
    there = next(f for f in (target, *target.absolute().parents) if f.is_dir())
    needed = sum(
        status.st_size for path, status in files if not (target / path.relative_to(root)).exists()
    )
    free = shutil.disk_usage(there).free
    if needed > free:
        raise OutputError(
            f"the cache takes {needed / 1e9:,.1f} GB and {one_line(str(target))} has "
            f"{free / 1e9:,.1f} GB free: prune it first (headstart store prune --to ...), or choose "
            "another folder"
        )


def _copy(source: Path, target: Path, status: os.stat_result) -> bool:
    """Copy a file unless an identical copy exists; return whether it was copied."""
    digest = _digest(source)
    if target.is_file() and target.stat().st_size == status.st_size and _digest(target) == digest:
        return False
    with source.open("rb") as read, whole_file(target) as write:
        shutil.copyfileobj(read, write, _CHUNK)
    if _digest(target) != digest:
        with contextlib.suppress(OSError):
            target.unlink()
        raise OutputError(
            f"{one_line(str(target))} does not hold what was written to it: the disk is failing, or "
            "the file changed meanwhile; nothing was removed"
        )
    with contextlib.suppress(OSError):
        os.utime(target, (status.st_atime, status.st_mtime))
    return True


def _digest(path: Path) -> str:
    """SHA-256 of a file, bypassing the page cache if possible."""
    with path.open("rb") as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(root: Path, done: dict[Path, os.stat_result], progress: Progress) -> list[Path]:
    """Remove the copied files, and folders that are then empty."""
    stayed = []
    # In reverse order: model.xml of a converted network, by which it is found, goes before model.bin.
    for number, (path, status) in enumerate(sorted(done.items(), reverse=True), start=1):
        try:
            now = path.lstat()
            if (now.st_size, now.st_mtime_ns) == (status.st_size, status.st_mtime_ns):
                path.unlink()
        except FileNotFoundError:
            pass
        except OSError:
            stayed.append(path)
        progress("remove", number, len(done))
    folders = {parent for path in done for parent in path.parents if parent.is_relative_to(root)}
    for folder in sorted(folders, key=lambda f: -len(f.parts)):
        with contextlib.suppress(OSError):  # not empty: a run writes there
            folder.rmdir()
    return stayed
