"""A process whose writes can be killed or refused at any one of them.

`install` wraps what Python writes with (``open``, ``os.open``, ``write``, ``os.fsync``, ``os.rename``,
``os.replace``, ``os.mkdir``, ``os.unlink``, ``os.rmdir``). Each use on a file under a folder is a
*point*, numbered from 1. At the point that is asked for the process kills itself with SIGKILL, or the
call fails as on a full or read-only disk; of a write, half is written first.

What was renamed to its final name is noted in a journal outside that folder, with its SHA-256: all of
it must still be there, byte by byte, after the kill.
"""

# What is replaced here is what pathlib itself calls.
# ruff: noqa: PTH115, PTH118, PTH119, PTH120

from __future__ import annotations

import builtins
import errno
import hashlib
import io
import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# A full disk still renames and removes; a disk that is read-only refuses all, as lost rights do.
REFUSED = {
    "kill": (),
    "ENOSPC": ("create", "write", "fsync", "mkdir"),
    "EDQUOT": ("create", "write", "fsync", "mkdir"),
    "EROFS": ("create", "write", "fsync", "mkdir", "rename", "remove"),
    "EACCES": ("create", "mkdir", "rename", "remove"),
    "EIO": ("write", "fsync"),
}


@dataclass
class Faults:
    """What happens at which point.

    Parameters
    ----------
    root : Path
        Only what lies under it counts.
    journal : Path
        Where renames and removals are noted, one JSON line each.
    at : int
        The point to strike at; 0 only counts.
    how : {"kill", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EIO"}
        Refusals last: every later call that such a disk would refuse fails too.
    """

    root: Path
    journal: Path
    at: int = 0
    how: str = "kill"
    n: int = 0
    _lock: Any = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.root = Path(os.path.realpath(self.root))
        self._journal = os.open(self.journal, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def has(self, path: Path) -> bool:
        """Whether a path counts."""
        return path.is_relative_to(self.root)

    def meet(self, what: str, path: Path, torn: Callable[[], None] | None = None) -> None:
        """A call of the kind `what` is about to happen; `torn` does half of it."""
        if not self.has(path):
            return
        with self._lock:
            self.n += 1
            n = self.n
        if not self.at or n < self.at:
            return
        if n == self.at:
            self.note(struck=what, path=str(path.relative_to(self.root)))
        if self.how == "kill":
            if n == self.at:
                if torn is not None:
                    torn()
                os.kill(os.getpid(), signal.SIGKILL)
            return
        if what in REFUSED[self.how]:
            if torn is not None:
                torn()
            code = getattr(errno, self.how)
            raise OSError(code, os.strerror(code), str(path))

    def note(self, **facts: Any) -> None:
        """One line in the journal, in one write."""
        _write(self._journal, json.dumps(facts).encode() + b"\n")

    def gone(self, path: Path) -> None:
        """`path`, and what is in it, may be gone or replaced from now on."""
        if self.has(path):
            self.note(gone=str(path.relative_to(self.root)))

    def there(self, path: Path) -> None:
        """`path` has its name now."""
        if not self.has(path) or _is_scratch(path.relative_to(self.root)):
            return
        files = [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]
        for file in files:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            self.note(there=str(file.relative_to(self.root)), sha256=digest)


def finished(journal: Path) -> dict[str, str]:
    """What a journal says is there: SHA-256 by path relative to the root."""
    found: dict[str, str] = {}
    for line in journal.read_text().splitlines():
        facts = json.loads(line)
        if "there" in facts:
            found[facts["there"]] = facts["sha256"]
        elif "gone" in facts:
            gone = Path(facts["gone"])
            found = {p: d for p, d in found.items() if not Path(p).is_relative_to(gone)}
    return found


def _is_scratch(path: Path) -> bool:
    """Whether it lies in a run folder that is not in its place yet."""
    return any(part.endswith((".partial", ".tmp")) for part in path.parts)


class _File:
    """An open file whose writes are points."""

    def __init__(self, file: Any, path: Path, faults: Faults) -> None:
        self._file, self._path, self._faults = file, path, faults

    def write(self, data: Any) -> int:
        def torn() -> None:
            self._file.write(data[: len(data) // 2])
            self._file.flush()

        self._faults.meet("write", self._path, torn)
        return int(self._file.write(data))

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __enter__(self) -> _File:
        self._file.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._file.__exit__(*error)

    def __iter__(self) -> Any:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


_write = os.write


def install(faults: Faults) -> None:
    """Wrap this process's writes; there is no way back but its end."""
    real = {
        name: getattr(os, name)
        for name in (
            "open", "fsync", "rename", "replace", "mkdir", "unlink", "remove", "rmdir", "dup"
        )
    }  # fmt: skip
    real_open = io.open

    def where(path: Any, dir_fd: int | None = None) -> Path:
        if isinstance(path, int):
            return Path(os.readlink(f"/proc/self/fd/{path}"))
        text = os.fsdecode(path)
        if dir_fd is not None:
            text = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), text)
        return Path(os.path.realpath(os.path.dirname(text) or "."), os.path.basename(text))

    def open_(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        if not set(mode) & set("wax+"):
            return real_open(file, mode, *args, **options)
        path = where(file)
        if not isinstance(file, int):
            faults.meet("create", path)
        opened = real_open(file, mode, *args, **options)
        return _File(opened, path, faults) if faults.has(path) else opened

    def os_open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT:
            faults.meet("create", where(path, dir_fd))
        return int(real["open"](path, flags, mode, dir_fd=dir_fd))

    def fsync(handle: Any) -> None:
        number = handle if isinstance(handle, int) else handle.fileno()
        faults.meet("fsync", where(number))
        real["fsync"](number)

    def move(name: str) -> Any:
        def moved(source: Any, target: Any, **options: Any) -> None:
            start, end = where(source), where(target)
            faults.meet("rename", end)
            faults.gone(start)
            faults.gone(end)
            real[name](source, target, **options)
            faults.there(end)

        return moved

    def take(name: str) -> Any:
        def taken(path: Any, *, dir_fd: int | None = None) -> None:
            at = where(path, dir_fd)
            faults.meet("remove", at)
            faults.gone(at)
            real[name](path, dir_fd=dir_fd)

        return taken

    def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        at = where(path, dir_fd)
        if not at.exists():
            faults.meet("mkdir", at)
        real["mkdir"](path, mode, dir_fd=dir_fd)

    io.open = builtins.open = open_
    os.open, os.fsync, os.mkdir = os_open, fsync, mkdir  # type: ignore[assignment]
    os.rename, os.replace = move("rename"), move("replace")
    os.unlink, os.remove, os.rmdir = take("unlink"), take("remove"), take("rmdir")
