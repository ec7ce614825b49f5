"""The run folder: made whole or not at all, and never over another one unasked.

RUN/run.json         every setting, seed, version and digest
RUN/metrics.json     every figure of the report
RUN/report.html      self-contained
RUN/model/           head.safetensors + model.json
RUN/predictions.csv  one row a test image
RUN/log.jsonl        what happened when
"""

from __future__ import annotations

import errno
import glob
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headstart.errors import OutputError, RunError, one_line
from headstart.files import write_atomically

SCHEMA = 1


def free_name(data: str, *, parent: Path = Path("runs")) -> Path:
    """``runs/<data>``, or the first of ``runs/<data>-2``, ``-3``... that does not exist."""
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(data).stem).strip("-.")
    candidate, number = parent / (stem or "run"), 1
    while candidate.exists():
        number += 1
        candidate = parent / f"{stem or 'run'}-{number}"
    return candidate


def check_output(out: Path, *, force: bool) -> None:
    """Fail now rather than after the work: ``out`` must be free, or ``force`` given.

    Raises
    ------
    OutputError
        ``out`` exists without ``force``, is no run folder, or its parent cannot be written.
    """
    if out.exists():
        if not force:
            raise OutputError(f"{out} exists already: choose another --out, or add --force")
        if not out.is_dir() or (any(out.iterdir()) and not (out / "run.json").is_file()):
            raise OutputError(f"{out} is not a run folder: --force replaces only run folders")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        probe = out.parent / f".headstart-probe-{os.getpid()}"
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise OutputError(
            f"cannot write in {out.parent} ({error.strerror}): choose another --out"
        ) from error


@contextmanager
def staged(out: Path, *, force: bool) -> Iterator[Path]:
    """A folder beside ``out`` that becomes ``out`` when the block ends well, else vanishes.

    Raises
    ------
    OutputError
        The disk is full or read-only.
    """
    check_output(out, force=force)
    scratch = out.parent / f".{out.name}.{os.getpid()}.partial"
    shutil.rmtree(scratch, ignore_errors=True)
    for left in out.parent.glob(f".{glob.escape(out.name)}.*.partial"):
        if not _is_running(left.name.split(".")[-2]):  # left by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
    scratch.mkdir()
    try:
        with _JsonLog(scratch / "log.jsonl"):
            yield scratch
        _publish(scratch, out)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT):
            raise OutputError(
                f"cannot write {out} ({error.strerror}): free some space or choose another --out"
            ) from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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


def _publish(scratch: Path, out: Path) -> None:
    """Put the finished folder in its place; an older run gives way only now."""
    if not out.exists():
        scratch.rename(out)
        return
    old = out.parent / f".{out.name}.{os.getpid()}.old"
    out.rename(old)
    scratch.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text.encode() + b"\n")


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Read one JSON file of a run folder.

    Raises
    ------
    RunError
        The folder is no run, the file is damaged, or it was written by a newer version.
    """
    path = folder / name
    if not folder.is_dir():
        raise RunError(f"no such run folder: {one_line(str(folder))}")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{folder} is not a run folder: it has no {name}") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged ({error}): make the run again") from error
    if not isinstance(value, dict) or not isinstance(value.get("schema"), int):
        raise RunError(f"{path} is damaged (no schema number): make the run again")
    if value["schema"] > SCHEMA:
        raise RunError(
            f"{path} was written by a newer Headstart (schema {value['schema']}, known {SCHEMA}): "
            "update headstart"
        )
    return value


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
