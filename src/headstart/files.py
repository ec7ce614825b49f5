"""Writing files so that a kill or a full disk never leaves half of one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from headstart.errors import OutputError, one_line


def write_atomically(path: Path, payload: bytes) -> None:
    """Write ``payload`` so that ``path`` holds either its old bytes or all the new ones.

    Raises
    ------
    OutputError
        The folder is read-only, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OutputError(
            f"cannot write {one_line(str(path))} ({error.strerror}): free some space or choose "
            "another folder"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; systems without folder handles are left as they are."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
