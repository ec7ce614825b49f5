"""A quick check of the cache: its content, obvious damage, and whether it is writable."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from headstart.features.inventory import take_inventory
from headstart.features.verification import leftovers

_PROBE_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class Health:
    """The result of checking the cache."""

    root: Path
    n_bytes: int = 0
    n_rows: int = 0
    n_shards: int = 0
    n_damaged: int = 0  # quarantined shards, files that are not in Arrow format, and partial files
    free_bytes: int = 0  # on its disk
    refusal: str = ""  # the system's error message for a write; empty if it is writable


def look_at_store(root: Path) -> Health:
    """Count the content, and try to write and remove a small file.

    A missing cache is not created: its nearest existing parent is tried.
    """
    there = next(f for f in (root, *root.absolute().parents) if f.exists())
    refusal = _refusal(there)
    try:
        free = shutil.disk_usage(there).free
        inventory = take_inventory(root)
        left = leftovers(inventory)
    except OSError as error:
        return Health(root=root, refusal=error.strerror or str(error))
    keys = inventory.features
    set_aside = sum(d.path.suffix == ".damaged" for d in left)
    n_damaged = sum(k.n_damaged for k in keys) + len(left) - set_aside
    return Health(
        root=root,
        n_bytes=inventory.n_bytes,
        n_rows=sum(k.n_rows for k in keys),
        n_shards=sum(k.n_shards for k in keys),
        n_damaged=n_damaged,
        free_bytes=free,
        refusal=refusal,
    )


def _refusal(folder: Path) -> str:
    """Try a write, since permissions and free space do not show quotas, read-only disks or root."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * _PROBE_BYTES)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""
