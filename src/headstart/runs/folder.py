"""The run folder: made whole or not at all, and never over another one unasked.

RUN/run.json         every setting, seed, version and digest
RUN/metrics.json     every figure of the report
RUN/report.html      self-contained
RUN/model/           head.safetensors + model.json
RUN/predictions.csv  one row a test image
RUN/log.jsonl        what happened when
RUN/SHA256SUMS       digests of all these
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import glob
import json
import logging
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from headstart.errors import InputError, OutputError, RunError, argument, one_line
from headstart.files import held, is_held, sync_folder, write_atomically
from headstart.results import Versioned
from headstart.runs.regular import read_regular
from headstart.runs.sums import write_sums

SCHEMA = 1
T = TypeVar("T")
# The corrections that a run was made with (`fit --fixes`), under this name whatever they were called.
FIXES = "fixes.csv"
# The folder among the runs for what `headstart web` is given: no run takes its name.
UPLOADS = "uploads"
_TRIES = 3
_PROBE = ".headstart-probe-"
# What a disk or a folder refuses.
_DISK = (
    errno.ENOSPC,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
)


def usual_name(data: str, *, parent: Path = Path("runs"), suffix: str = "") -> Path:
    """``runs/<data>``: where a run is written by default, if no other one is there."""
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(data).stem).strip("-.")
    name = f"{stem or 'run'}{suffix}"
    return parent / (f"run-{name}" if name == UPLOADS else name)


def free_name(data: str, *, parent: Path = Path("runs"), suffix: str = "") -> Path:
    """``runs/<data>``, or the first of ``runs/<data>-2``, ``-3``... that no run has or makes."""
    usual = usual_name(data, parent=parent, suffix=suffix)
    candidate, number = usual, 1
    while candidate.exists() or any(not _is_left(p) for p in _beside(candidate, "partial")):
        number += 1
        candidate = parent / f"{usual.name}-{number}"
    return candidate


def check_output(out: Path, *, force: bool) -> None:
    """Fail now rather than after the work: ``out`` must be free, or ``force`` given.

    Raises OutputError where ``out`` exists without ``force``, is not a run folder, or its parent
    cannot be written.
    """
    bring_back(out)
    if out.exists():
        is_run = out.is_dir() and ((out / "run.json").is_file() or not any(out.iterdir()))
        if not is_run:
            raise OutputError(
                f"{out} exists already and is not a run folder, which {argument('force', True)} would replace: "
                f"choose another {argument('out')}"
            )
        if not force:
            raise OutputError(
                f"{out} exists already: choose another {argument('out')}, or add {argument('force', True)}"
            )
    try:
        _try_parent(out)
    except OSError as error:
        raise OutputError(
            f"cannot write in {one_line(str(out.parent))} ({error.strerror}): choose another {argument('out')}"
        ) from error


def _try_parent(out: Path) -> None:
    """Make a folder beside ``out`` and remove it."""
    for n_left in reversed(range(_TRIES)):
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            for left in out.parent.glob(f"{_PROBE}*"):  # of a run that was killed here
                with contextlib.suppress(OSError):
                    left.rmdir()
            Path(tempfile.mkdtemp(dir=out.parent, prefix=_PROBE)).rmdir()
            return
        except FileNotFoundError:  # another run has just removed it; or no folder can be made here
            if not n_left:
                raise


@contextmanager
def staged(out: Path, *, force: bool) -> Iterator[Path]:
    """A folder beside ``out`` that becomes ``out`` when the block ends well, else vanishes.

    Raises OutputError where the disk is full or read-only.
    """
    check_output(out, force=force)
    scratch = _name_beside(out, "partial")
    try:
        for left in filter(_is_left, _beside(out, "partial")):
            shutil.rmtree(left, ignore_errors=True)
        scratch.mkdir()
        with held(scratch):
            with _JsonLog(scratch / "log.jsonl"):
                yield scratch
            write_sums(scratch)
            _publish(scratch, out, force=force)
    except OSError as error:
        if error.errno in _DISK:
            raise OutputError(
                f"cannot write {out} ({error.strerror}): free some space or choose another {argument('out')}"
            ) from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def bring_back(out: Path) -> None:
    """Put an older run back that gave way to a newer one which was killed before it took its place.

    Where ``out`` is there, the older one has been replaced, and its remains are removed.
    """
    with contextlib.suppress(OSError):
        for old in filter(_is_left, _beside(out, "old")):
            if out.exists():
                _remove(old, out)
            else:
                old.rename(out)


def _beside(out: Path, kind: str) -> list[Path]:
    """The folders of this kind that runs to ``out`` have made beside it."""
    ours = re.compile(rf"\.{re.escape(out.name)}\.([0-9a-f]{{8}}\.)?\d+\.{kind}")
    found = out.parent.glob(f".{glob.escape(out.name)}.*.{kind}")
    return sorted(p for p in found if ours.fullmatch(p.name))


def _name_beside(out: Path, kind: str) -> Path:
    # The token, because processes of two containers may have the same number.
    return out.parent / f".{out.name}.{secrets.token_hex(4)}.{os.getpid()}.{kind}"


def _is_left(folder: Path) -> bool:
    """Whether nobody works in it any more: neither a process of this machine nor another one."""
    return not _is_running(folder.name.split(".")[-2]) and not is_held(folder)


def _is_running(pid: str) -> bool:
    """Whether a process has this number; True where that cannot be told."""
    if not pid.isdigit() or os.name != "posix":
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _publish(scratch: Path, out: Path, *, force: bool) -> None:
    """Put the finished folder in its place; an older run gives way only now."""
    old = _name_beside(out, "old")
    try:
        if force and out.exists():
            with held(out):  # until the new one is there, it must not be brought back
                out.rename(old)
                scratch.rename(out)
        else:
            scratch.rename(out)
    except OSError as error:
        if old.exists() and not out.exists():
            old.rename(out)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise OutputError(
                f"{out} was made meanwhile by another run, which is left as it is: choose another "
                f"{argument('out')}; what was computed is in the cache"
            ) from error
        raise
    sync_folder(out.parent)
    if old.exists():
        _remove(old, out)


def _remove(old: Path, out: Path) -> None:
    """Remove an older run; under another name first, so that it is never restored in part."""
    left = _name_beside(out, "partial")
    old.rename(left)
    shutil.rmtree(left, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text.encode() + b"\n")


def list_runs(beside: Path | None = None) -> list[Path]:
    """Run folders in ``runs`` of the working folder, where a fit writes, and `beside` a path."""
    places = dict.fromkeys([Path("runs"), *([beside.parent] if beside is not None else [])])
    found: list[Path] = []
    for place in places:
        with contextlib.suppress(OSError):
            found += sorted(p for p in place.iterdir() if (p / "run.json").is_file())
    return found


def latest_runs(n: int | None = None, beside: Path | None = None) -> list[Path]:
    """The last `n` of `list_runs`, or all of them, the newest first."""

    def written(run: Path) -> float:
        try:
            return (run / "run.json").stat().st_mtime
        except OSError:
            return 0.0

    return sorted(list_runs(beside), key=written, reverse=True)[:n]


def _meant(folder: Path) -> str:
    """`` Did you mean 'runs/textures'?``: runs of the same name, else of similar ones, else the latest."""
    name = folder.resolve().name
    others = [run for run in list_runs(folder) if run != folder]
    names = [name] if any(run.name == name for run in others) else {run.name for run in others}
    close = difflib.get_close_matches(name, names, cutoff=0.6)
    meant = [repr(run.as_posix()) for run in others if run.name in close]
    if meant:
        return one_line(f". Did you mean {' or '.join(meant[:3])}?")
    latest = [repr(run.as_posix()) for run in latest_runs(3, folder) if run != folder]
    return one_line(f". The latest runs are {', '.join(latest)}") if latest else ""


def read_json(folder: Path, name: str, kind: type[T], *, strict: bool = True) -> T:
    """Read one JSON file of a run folder, as a type that :mod:`msgspec` decodes.

    `strict`: False where older versions wrote numbers of another kind, such as 1 for true.

    Raises RunError where the folder is not a run, the file is damaged or of another form, or it was
    written by a newer version.
    """
    path = folder / name
    if not folder.is_dir():
        raise RunError(f"no such run folder: {one_line(str(folder))}{_meant(folder)}")
    try:
        content = read_regular(folder, name)
    except FileNotFoundError as error:
        raise RunError(
            f"{one_line(str(folder))} is not a run folder: it has no {name}{_meant(folder)}"
        ) from error
    except OSError as error:
        raise damaged(path, str(error)) from error
    try:
        schema = msgspec.json.decode(content, type=Versioned).schema
        if schema <= SCHEMA:
            return msgspec.json.decode(content, type=kind, strict=strict)
    except (ValueError, RecursionError, InputError) as error:
        raise damaged(path, str(error)) from error
    raise RunError(
        f"{one_line(str(path))} was written by a newer Headstart (schema "
        f"{one_line(str(schema), limit=20)}, known {SCHEMA}): update headstart"
    )


def damaged(path: Path, why: str) -> RunError:
    """The error of a file of a run folder that is not as it was written."""
    reason = one_line(why, limit=120)
    return RunError(f"{one_line(str(path))} is damaged ({reason}): make the run again")


class _JsonLog(logging.Handler):
    """Keeps what the package logs during a run as JSON lines, with seconds since the start."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self._file = path.open("w", encoding="utf-8")
        self._start = time.monotonic()
        self._logger = logging.getLogger("headstart")

    def __enter__(self) -> _JsonLog:
        self._level = self._logger.level
        self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)
        self._file.close()

    def emit(self, record: logging.LogRecord) -> None:
        line = {
            "seconds": round(time.monotonic() - self._start, 3),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()
