"""Verify the store: read every file and compare its digest with its name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from headstart.data.factstore import check_facts
from headstart.errors import one_line
from headstart.features.inventory import Inventory, files_in, shards_in
from headstart.features.shards import check_shard, map_shard
from headstart.features.store import MANIFEST, FeatureKey
from headstart.files import is_held, is_temporary
from headstart.progress import Progress, silent

# Hashing releases the GIL; more threads would wait for the disk.
N_THREADS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """A file that does not match its name."""

    path: Path
    reason: str
    can_go: bool = True  # False if it could not be read and may be intact


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The result of verification."""

    n_files: int
    n_bytes: int  # that were read
    damaged: tuple[Damage, ...]


def verify(inventory: Inventory, *, progress: Progress = silent) -> Verification:
    """Read every shard and file of facts, and check manifests and converted networks; modify nothing."""
    checks = list(_checks(inventory))
    damaged: list[Damage] = []
    n_bytes = 0
    with ThreadPoolExecutor(N_THREADS) as pool:
        try:
            for done, (size, found) in enumerate(pool.map(_look, checks), start=1):
                n_bytes += size
                damaged += [found] if found is not None else []
                progress("verify", done, len(checks))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    damaged += leftovers(inventory)
    order = sorted(damaged, key=lambda d: d.path)
    return Verification(n_files=len(checks), n_bytes=n_bytes, damaged=tuple(order))


def leftovers(inventory: Inventory) -> list[Damage]:
    """Quarantined shards, and partial files of killed processes."""
    found = []
    folders = dict.fromkeys(
        [inventory.root, *(i.path.parent for i in inventory.items), *_folders(inventory)]
    )
    for folder in folders:
        try:
            inner = sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        for path in inner:
            if path.suffix == ".damaged" and not path.is_symlink():
                found.append(Damage(path=path, reason="set aside by a run"))
            elif is_temporary(path) and not path.is_symlink() and not is_held(path):
                found.append(Damage(path=path, reason="left half-written by a process that ended"))
    return found


def _folders(inventory: Inventory) -> Iterator[Path]:
    for item in inventory.items:
        if item.path.is_dir():
            yield item.path


def _checks(inventory: Inventory) -> Iterator[tuple[Path, Callable[[Path], None]]]:
    for key in inventory.features:
        yield key.path / MANIFEST, _check_manifest
        for shard in shards_in(key.path):
            yield shard, _check_rows
    for item in inventory.items:
        if item.kind == "images":
            yield from ((path, check_facts) for path, _ in files_in(item.path))
        elif item.kind == "engines":
            yield item.path, _check_engine


def _look(check: tuple[Path, Callable[[Path], None]]) -> tuple[int, Damage | None]:
    """Bytes read, and the damage, if any; a file just removed by another process is not damaged."""
    path, function = check
    try:
        size = path.stat().st_size if path.is_file() else 0
        function(path)
    except FileNotFoundError:
        return 0, None
    except ValueError as error:
        return size, Damage(path=path, reason=one_line(str(error), limit=120))
    except OSError as error:
        reason = f"cannot be read ({error.strerror or one_line(str(error), limit=80)})"
        return 0, Damage(path=path, reason=reason, can_go=False)
    return size, None


def _check_rows(shard: Path) -> None:
    check_shard(shard)
    map_shard(shard)


def _check_manifest(path: Path) -> None:
    try:
        facts = json.loads(path.read_bytes())
        facts.pop("schema")
        facts["taps"] = tuple((name, module) for name, module in facts["taps"])
        digest = FeatureKey(**facts).digest
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError("it does not say what the features are") from None
    if not digest.startswith(path.parent.name):
        raise ValueError("it is that of other features")


def _check_engine(folder: Path) -> None:
    if not folder.is_dir():
        return
    for name in ("model.xml", "model.bin"):
        file = folder / name
        if not file.is_file() or not file.stat().st_size:
            raise ValueError(f"a converted network without its {name}")
