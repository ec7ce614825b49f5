"""Facts about image files, stored by digest, so that no file is decoded twice.

Each call with new facts adds one file, ``facts-<version>-pillow<version>-<sha256>.npy``: a
NumPy structured array (one row per digest) named by the hash of its bytes. Files are never modified, so
concurrent processes are safe; a damaged file is detected by its name and ignored, and its facts are
computed again. A newer Pillow may decode more files, so its version is part of the name.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import __version__ as pillow_version

from headstart.data.inspection import THUMB_VALUES, Facts
from headstart.errors import OutputError
from headstart.files import mark_used, write_atomically

_VERSION = 2  # version of the facts: increase it when the hash, the thumbnail or a reason changes
_MERGE_ABOVE = 16
_FLUSH_ABOVE = 20_000
_ROW = np.dtype(
    [
        ("digest", "V32"),
        ("width", "<u4"),
        ("height", "<u4"),
        ("phash", "<u8"),
        ("reason", "S240"),
        ("thumb", "V768"),
        ("n_pages", "<u4"),
    ]
)
assert _ROW["thumb"].itemsize == THUMB_VALUES


class FactStore:
    """Facts by digest in a folder; without a folder they are not stored.

    Parameters
    ----------
    folder
        Created on the first write. If it cannot be read or written, facts are computed again.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._rows: list[NDArray[np.void]] = []
        self._where: dict[bytes, tuple[int, int]] = {}
        self._new: dict[str, Facts] = {}
        if folder is not None:
            self._load(folder)

    def get(self, digest: str) -> Facts | None:
        """The facts of a digest, if they are known."""
        at = self._where.get(bytes.fromhex(digest))
        return self._new.get(digest) if at is None else _facts(self._rows[at[0]][at[1]])

    def digests(self) -> list[str]:
        """Of all files whose facts are known."""
        return [*(digest.hex() for digest in self._where), *self._new]

    def add(self, digest: str, facts: Facts) -> None:
        """Add the facts of a digest; full batches are written immediately."""
        if digest and bytes.fromhex(digest) not in self._where:
            self._new[digest] = facts
        if self._folder is not None and len(self._new) >= _FLUSH_ABOVE:
            self.flush()

    def flush(self) -> None:
        """Write new facts."""
        if self._folder is None or not self._new:
            return
        rows = np.array([_row(d, f) for d, f in sorted(self._new.items())], dtype=_ROW)
        if _write(self._folder, rows) is not None:
            self._keep(rows)
            self._new.clear()

    def _load(self, folder: Path) -> None:
        mark_used(folder)
        files = sorted(folder.glob(f"{_prefix()}*.npy"))
        whole = []
        for file in files:
            rows = _read(file)
            if rows is not None:
                self._keep(rows)
                whole.append(file)
        if len(whole) > _MERGE_ABOVE:
            self._merge(folder, whole)

    def _keep(self, rows: NDArray[np.void]) -> None:
        self._rows.append(rows)
        shard = len(self._rows) - 1
        for i, digest in enumerate(rows["digest"].tolist()):
            self._where.setdefault(digest, (shard, i))

    def _merge(self, folder: Path, files: list[Path]) -> None:
        """Merge small files; another process that still needs an old one computes its facts again."""
        if not self._where:
            return
        places = [at for _, at in sorted(self._where.items())]
        rows = np.array([self._rows[s][i] for s, i in places], dtype=_ROW)
        merged = _write(folder, rows)
        for file in files if merged is not None else []:
            if file != merged:
                with contextlib.suppress(OSError):
                    file.unlink()


def check_facts(path: Path) -> None:
    """Compare a file of facts, of any version, with its name.

    Raises ValueError where it is damaged; OSError where it cannot be read.
    """
    is_ours = path.name.startswith("facts-") and path.suffix == ".npy"
    if is_ours and not path.stem.endswith(_name_hash(path.read_bytes())):
        raise ValueError("its bytes do not match its name")


def _prefix() -> str:
    return f"facts-{_VERSION}-pillow{pillow_version}-"


def _row(digest: str, facts: Facts) -> tuple[object, ...]:
    reason = facts.reason.encode()[:240].decode(errors="ignore").encode()
    thumb = facts.thumb.ljust(THUMB_VALUES, b"\0")
    return (
        bytes.fromhex(digest),
        facts.width,
        facts.height,
        facts.phash,
        reason,
        thumb,
        facts.n_pages,
    )


def _facts(row: np.void) -> Facts:
    values: Any = row.tolist()
    _, width, height, phash, reason, thumb, n_pages = values
    return Facts(width, height, phash, thumb if width else b"", reason.decode(), n_pages)


def _read(file: Path) -> NDArray[np.void] | None:
    try:
        data = file.read_bytes()
        if not file.stem.endswith(_name_hash(data)):
            return None
        rows = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.dtype == _ROW and rows.ndim == 1 else None


def _write(folder: Path, rows: NDArray[np.void]) -> Path | None:
    """The written file, or None if the folder is read-only or the disk is full."""
    buffer = io.BytesIO()
    np.save(buffer, rows, allow_pickle=False)
    data = buffer.getvalue()
    target = folder / f"{_prefix()}{_name_hash(data)}.npy"
    try:
        write_atomically(target, data)
    except OutputError:
        return None
    return target


def _name_hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
