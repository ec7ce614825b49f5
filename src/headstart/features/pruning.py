"""Rules for pruning the cache, and the removal, which stays inside the cache and follows no links."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import InputError, StoreError, argument, one_line
from headstart.features.compaction import compact
from headstart.features.inventory import KINDS, Features, Inventory, Item, shards_in
from headstart.features.shards import map_shard
from headstart.features.verification import Damage
from headstart.files import remove_whole
from headstart.progress import Progress, silent

_DAYS = {"d": 1.0, "w": 7.0, "m": 30.0, "y": 365.0, "h": 1 / 24}
_BYTES = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """An item, a damaged file, or rows of a key to remove."""

    path: Path
    why: str
    n_bytes: int  # freed; for rows an estimate
    n_rows: int | None = None  # None to remove all of `path`


def unused_since(items: Sequence[Item], age_s: float) -> list[Removal]:
    """The items not used for a time."""
    now = time.time()
    old = [i for i in items if now - i.last_used > age_s]
    return [Removal(path=i.path, why=_age(now - i.last_used), n_bytes=i.n_bytes) for i in old]


def down_to(items: Sequence[Item], n_bytes: int) -> list[Removal]:
    """The least recently used items, until the rest takes at most `n_bytes`."""
    now, left = time.time(), sum(i.n_bytes for i in items)
    going = []
    for item in sorted(items, key=lambda i: (i.last_used, i.path)):
        if left <= n_bytes:
            break
        if item.n_bytes:
            left -= item.n_bytes
            why = _age(now - item.last_used)
            going.append(Removal(path=item.path, why=why, n_bytes=item.n_bytes))
    return going


def rows_not_in(keys: Sequence[Features], wanted: Collection[str]) -> list[Removal]:
    """The rows of images that are not wanted; the whole key if none is wanted."""
    going = []
    for item in keys:
        digests: list[str] = []
        for shard in shards_in(item.path):
            try:
                digests += map_shard(shard).column("digest").to_pylist()
            except (OSError, ValueError, KeyError):  # damaged or just removed: `verify` reports it
                continue
        n_out = sum(d not in wanted for d in digests)
        if n_out:
            is_whole = n_out == len(digests)
            going.append(
                Removal(
                    path=item.path,
                    why="of images that are not in the data",
                    n_bytes=item.n_bytes * n_out // len(digests),
                    n_rows=None if is_whole else n_out,
                )
            )
    return going


def damaged_files(damaged: Sequence[Damage]) -> list[Removal]:
    """The files that verification has shown to be damaged."""
    going = []
    for damage in damaged:
        if damage.can_go:
            size = damage.path.lstat().st_size if damage.path.is_file() else 0
            going.append(Removal(path=damage.path, why=damage.reason, n_bytes=size))
    return going


def prunable(inventory: Inventory, backbone: str | None) -> list[Item]:
    """Items that may be pruned: no downloads; with a backbone, only its features.

    Raises InputError where there are none of it.
    """
    if backbone is None:
        stays = {name for name, kind in KINDS.items() if kind.is_download or kind.is_record}
        return [i for i in inventory.items if i.kind not in stays]
    found: list[Item] = [f for f in inventory.features if f.is_of(backbone)]
    if not found:
        there = ", ".join(sorted({f.arch for f in inventory.features})) or "none"
        raise InputError(
            f"{argument('backbone')} {one_line(backbone)}: the store has no features of it; it has: {there}"
        )
    return found


def remove(
    root: Path,
    going: Sequence[Removal],
    *,
    wanted: Collection[str] | None = None,
    progress: Progress = silent,
) -> list[Damage]:
    """Remove items, and return those that could not be removed.

    Each path is checked again first. One that is not in the cache, or behind a link, raises StoreError,
    and nothing more is removed.
    """
    stayed = []
    for done, item in enumerate(going, start=1):
        if not is_inside(root, item.path):
            raise StoreError(
                f"{one_line(str(item.path))} does not lie in the cache {one_line(str(root))} but "
                "behind a link: it is left alone"
            )
        try:
            if item.n_rows is None:
                remove_whole(item.path)
            else:
                compact(item.path, wanted=wanted)
        except OSError as error:
            reason = f"cannot be removed ({error.strerror or one_line(str(error), limit=80)})"
            stayed.append(Damage(path=item.path, reason=reason, can_go=False))
        progress("prune", done, len(going))
    return stayed


def is_inside(root: Path, path: Path) -> bool:
    """Whether a path is inside `root` without links on the way."""
    try:
        way = path.parent.relative_to(root)
    except ValueError:
        return False
    if ".." in way.parts or path.name in ("", "..") or path == root:
        return False
    return path.parent.resolve() == root.resolve() / way


def parse_age(text: str) -> float:
    """``"30d"`` in seconds; hours, days, weeks, months of 30 days, years of 365. Raises InputError.

    >>> parse_age("2w") / 86400
    14.0
    """
    days = _parsed(text, _DAYS)
    if days is None:
        raise InputError(
            f"{argument('older_than')} must be an age such as 30d, 12h or 1y; got {one_line(text)!r}"
        )
    return days * 86400


def parse_bytes(text: str) -> int:
    """``"5GB"`` in bytes, by powers of 1,000. Raises InputError.

    >>> parse_bytes("1.5 GB")
    1500000000
    """
    size = _parsed(re.sub(r"i?b$", "", text.strip(), flags=re.IGNORECASE), _BYTES)
    if size is None:
        raise InputError(
            f"{argument('to')} must be a size such as 5GB or 800MB; got {one_line(text)!r}"
        )
    return int(size)


def _parsed(text: str, units: dict[str, float]) -> float | None:
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([a-z]?)", text.strip().lower())
    if found is None or found.group(2) not in units:
        return None
    return float(found.group(1)) * units[found.group(2)]


def _age(seconds: float) -> str:
    return f"last used {max(seconds, 0) / 86400:,.0f} days ago"
