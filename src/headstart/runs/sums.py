"""The digests of a run's files: written with the run, checked whenever it is opened.

``SHA256SUMS`` has the form of coreutils, so that ``sha256sum --check SHA256SUMS`` reads it too. It
shows damage, not intent: whoever can write the files can also write it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath

from headstart.errors import RunError, one_line
from headstart.files import digest_file, write_atomically
from headstart.runs.regular import open_regular, read_regular

NAME = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)\n")


def write_sums(folder: Path) -> None:
    """Write the digest of every file that is in a run's folder now.

    Raises OutputError where the folder is read-only, or the disk is full.
    """
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != NAME)
    lines = [f"{digest_file(p)}  {p.relative_to(folder).as_posix()}\n" for p in files]
    write_atomically(folder / NAME, "".join(lines).encode())


def check_sums(folder: Path, *, has_sums: bool) -> None:
    """Raise RunError where a file of a run is not as it was written.

    `has_sums`: as its ``run.json`` says. A run that was made before there were sums passes.
    """
    try:
        text = read_regular(folder, NAME).decode("utf-8", errors="replace")
    except FileNotFoundError:
        if has_sums:
            raise RunError(f"{_shown(folder, NAME)} is missing: {_REMEDY}") from None
        return
    except OSError as error:
        raise RunError(f"cannot read {_shown(folder, NAME)}: {error.strerror}") from error
    lines = [_LINE.fullmatch(line) for line in text.splitlines(keepends=True)]
    for line in lines or [None]:
        if line is None or not _is_inside(line[2]):
            raise RunError(f"{_shown(folder, NAME)} is damaged: {_REMEDY}")
        try:
            with open_regular(folder, line[2]) as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise RunError(
                f"{_shown(folder, line[2])} cannot be read ({error.strerror}): {_REMEDY}"
            ) from error
        if found != line[1]:
            raise RunError(
                f"{_shown(folder, line[2])} was changed after the run was made (SHA-256 "
                f"{found[:12]}, {NAME} says {line[1][:12]}): {_REMEDY}"
            )


_REMEDY = "copy the run folder again, or fit again"


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _shown(folder: Path, name: str) -> str:
    return one_line(str(folder / name))
