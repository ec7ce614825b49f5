"""Reading the files of a run folder, which may be anybody's: regular files, inside it, of bounded size.

A link could lead to any file of this machine, a pipe or a device would never end, and a sparse file
of a terabyte takes no room in an archive. So nothing of a run is opened by its path alone: each part
of the path is opened without following links, and what was opened is looked at before it is read.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from headstart.errors import RunError, one_line

if TYPE_CHECKING:
    from io import BufferedReader

MIB = 2**20
FILES = (
    "run.json",
    "metrics.json",
    "report.html",
    "predictions.csv",
    "log.jsonl",
    "fixes.csv",
    "SHA256SUMS",
)
FOLDERS = ("model", "model/partner")
LIMITS = {
    "run.json": 16 * MIB,
    "metrics.json": 512 * MIB,
    "model.json": 64 * MIB,
    "text.json": 512 * MIB,
    "SHA256SUMS": 16 * MIB,
    "report.html": 1024 * MIB,
    "predictions.csv": 1024 * MIB,
    "fixes.csv": 512 * MIB,
}
"""Of the files by name, in bytes; far above what a fit writes."""
LARGEST = 64 * 1024 * MIB
"""Of all others: weights."""

_HAS_HANDLES = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")


@contextmanager
def open_regular(folder: Path, name: str) -> Iterator[BufferedReader]:
    """A file of a run folder, open for reading.

    Raises RunError where it is a link or lies behind one, is not a regular file, is larger than
    `LIMITS` allows, or its name leads out of the folder; FileNotFoundError or OSError where there
    is none, or it cannot be read.

    `folder`: of the run; it may itself be a link. `name`: of the file below it, with ``/`` between.
    """
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\0" in name:
        raise RunError(f"{_shown(folder, name)} is not a name of a file in a run folder")
    try:
        handle = _open(folder, parts)
    except OSError as error:
        if _is_link(folder, parts):
            raise _refused(folder, name, "a link") from error
        if error.errno in (errno.ENXIO, errno.EOPNOTSUPP, errno.ENODEV):
            raise _refused(folder, name, _kind(0)) from error
        raise
    try:
        _check(os.fstat(handle), folder, name)
    except BaseException:
        os.close(handle)
        raise
    with os.fdopen(handle, "rb") as file:
        yield file


def read_regular(folder: Path, name: str) -> bytes:
    """The content of a file of a run folder; errors as of `open_regular`."""
    with open_regular(folder, name) as file:
        # No more than it had when it was looked at: it may be growing.
        return file.read(os.fstat(file.fileno()).st_size)


def require_regular(folder: Path, name: str) -> Path:
    """The path of a file for a library that opens files itself; errors as of `open_regular`."""
    with open_regular(folder, name):
        return folder / name


def check_run_folder(folder: Path) -> None:
    """Raise RunError where anything that is read of a run is not a regular file."""
    for name in FOLDERS:
        if os.path.lexists(folder / name) and not stat.S_ISDIR((folder / name).lstat().st_mode):
            raise _refused(folder, name, "not a folder of the run's own")
    for name in FILES:
        if os.path.lexists(folder / name):
            require_regular(folder, name)


def _open(folder: Path, parts: tuple[str, ...]) -> int:
    """A handle of the file; no part of the way below the folder is a link."""
    # A pipe would wait for a writer; of a regular file, O_NONBLOCK means nothing.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not _HAS_HANDLES:
        if _is_link(folder, parts):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return os.open(folder.joinpath(*parts), flags)
    way = os.O_RDONLY | os.O_DIRECTORY
    at = os.open(folder, way)
    try:
        for part in parts[:-1]:
            inner = os.open(part, way | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = inner
        return os.open(parts[-1], flags | os.O_NOFOLLOW, dir_fd=at)
    finally:
        os.close(at)


def _is_link(folder: Path, parts: tuple[str, ...]) -> bool:
    return any(folder.joinpath(*parts[: i + 1]).is_symlink() for i in range(len(parts)))


def _check(found: os.stat_result, folder: Path, name: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _refused(folder, name, _kind(found.st_mode))
    if found.st_size > _limit(name):
        raise _too_large(folder, name, found.st_size)


def _limit(name: str) -> int:
    return LIMITS.get(PurePosixPath(name).name, LARGEST)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a socket or device"


def _refused(folder: Path, name: str, kind: str) -> RunError:
    return RunError(
        f"{_shown(folder, name)} is {kind}: a run folder holds regular files only; copy the run "
        "folder again"
    )


def _too_large(folder: Path, name: str, n_bytes: int) -> RunError:
    return RunError(
        f"{_shown(folder, name)} has {n_bytes:,} bytes, more than the {_limit(name):,} that such a "
        "file of a run may have: it is damaged; copy the run folder again"
    )


def _shown(folder: Path, name: str) -> str:
    return one_line(str(folder / name.replace("\0", "\\0")))
