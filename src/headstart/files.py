"""Writing files and folders so that a kill, a full disk or another writer never leaves half of one.

All is written under a temporary name beside the final one, ``.<name>.<token>.tmp``, flushed to the
disk and renamed. While its writer lives, the temporary file is locked; so what a killed process left
is distinguished from what another one is writing now, on whatever machine or in whatever container, and the
first write into a folder clears the former away.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from headstart.errors import OutputError, one_line

# Elsewhere a file that is open cannot be removed, and needs no lock.
fcntl: Any = importlib.import_module("fcntl") if os.name == "posix" else None

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp", re.DOTALL)
_TRIES = 3
_swept: set[Path] = set()


def write_atomically(path: Path, payload: bytes) -> None:
    """Write ``payload`` so that ``path`` holds either its old bytes or all the new ones.

    Raises OutputError where the folder is read-only, or the disk is full.
    """
    with _told(path):
        for n_left in reversed(range(_TRIES)):
            try:
                with _written(path) as file:
                    file.write(payload)
                return
            except FileNotFoundError:  # another process has removed the folder, done with it
                if not n_left:
                    raise


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that becomes ``path`` when the block ends well, and else vanishes.

    Raises OutputError where the folder is read-only, or the disk is full.
    """
    with _told(path), _written(path) as file:
        yield file


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that becomes ``path`` when the block ends well, and else vanishes.

    Where another process has made ``path`` meanwhile, that one stays.

    Raises OutputError where the parent is read-only, or the disk is full.
    """
    with _told(path):
        _prepare(path.parent)
        scratch = temporary_name(path)
        scratch.mkdir()
        try:
            with held(scratch):
                yield scratch
                for file in (f for f in scratch.rglob("*") if f.is_file()):
                    _sync(file)
                try:
                    scratch.rename(path)
                except OSError:
                    if not path.is_dir():
                        raise
            sync_folder(path.parent)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Lock a file or folder within the block, if the system can, so that `is_held` is true of it."""
    handle = _open(path)
    try:
        if handle is not None:
            _lock(handle)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def is_held(path: Path) -> bool:
    """Whether a living process writes it: one in `held`. True where that cannot be told."""
    if fcntl is None:
        return path.is_dir()
    try:
        handle = _open(path)
    except OSError:
        return True
    assert handle is not None
    try:
        return not _lock(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder."""
    with contextlib.suppress(OSError):
        for left in [f for f in folder.iterdir() if _TEMPORARY.fullmatch(f.name)]:
            if is_held(left):
                continue
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    left.unlink()


def mark_used(path: Path) -> None:
    """Date a file or folder now, so that what was not used for long can be told; never fails."""
    with contextlib.suppress(OSError):
        os.utime(path)


def remove_whole(path: Path) -> None:
    """Remove a file or a folder so that nobody finds half of it; a link, and not what it leads to.

    A folder first takes a temporary name: if the removal is killed, the next writer clears it away.

    Raises OSError where it cannot be removed; that it is gone already is not an error.
    """
    with contextlib.suppress(FileNotFoundError):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return
        doomed = temporary_name(path)
        path.rename(doomed)
        shutil.rmtree(doomed)


def require_folder(path: Path) -> None:
    """Raise OutputError unless files can be written to a folder, which need not be there yet; nothing is left."""
    there = next(p for p in (path.absolute(), *path.absolute().parents) if os.path.lexists(p))
    if not there.is_dir():
        what = "is a file" if there.is_file() else "is not a folder"
        raise OutputError(
            f"cannot write to {one_line(str(path))}: {one_line(str(there))} {what}; choose a folder"
        )
    with _told(path):  # rights alone do not tell: a disk may be read-only, or no disk at all
        Path(tempfile.mkdtemp(dir=there, prefix=".headstart-", suffix=".tmp")).rmdir()


def require_file(path: Path) -> None:
    """Raise OutputError unless a file can be written, which may be there already; nothing is left."""
    _refuse_special(path)
    require_folder(path.parent)


def _refuse_special(path: Path) -> None:
    """What is not a file must not be replaced by one: a folder, or a device such as ``/dev/null``."""
    if path.exists() and not path.is_file():
        what = "is a folder" if path.is_dir() else "is not a regular file"
        raise OutputError(f"cannot write {one_line(str(path))}: it {what}; give the name of a file")


def digest_file(path: Path) -> str:
    """SHA-256 (hex) of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_temporary(path: Path) -> bool:
    """Whether it has the name of something half-written."""
    return bool(_TEMPORARY.fullmatch(path.name))


def sync_folder(folder: Path) -> None:
    """Make a rename durable; systems without folder handles are left as they are."""
    if os.name == "posix":
        _sync(folder)


@contextlib.contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    """`whole_file` with the system's own errors."""
    _refuse_special(path)
    _prepare(path.parent)
    temporary, handle = _create(path)
    lock = os.dup(handle) if fcntl is not None else None  # held until the file has its name
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        if lock is not None:
            os.close(lock)
        with contextlib.suppress(OSError):
            temporary.unlink()


def _create(path: Path) -> tuple[Path, int]:
    """A new temporary file and its handle, locked."""
    while True:
        temporary = temporary_name(path)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        _lock(handle)
        # Another process may have taken it for a dead one before it was locked.
        if temporary.exists():
            return temporary, handle
        os.close(handle)


def temporary_name(path: Path) -> Path:
    """A name beside `path` for what becomes it; `held` while it is written, and swept away if it is left."""
    # The name may be as long as a name can be; and processes of two containers share numbers.
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp")


def _prepare(folder: Path) -> None:
    """Make a folder; the first time, clear it of what killed processes left."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder not in _swept:
        _swept.add(folder)
        sweep(folder)


def _open(path: Path) -> int | None:
    """A handle that can be locked: network file systems want one for writing, folders have none."""
    if fcntl is None:
        return None
    return os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)


def _lock(handle: int) -> bool:
    """Whether the lock was available."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sync(path: Path) -> None:
    # Windows flushes only a file that is open for writing.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:  # some network file systems cannot flush a folder
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """The system's errors as one line."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {one_line(str(path))} ({error.strerror or error}): free some space or "
            "choose another folder"
        ) from error
