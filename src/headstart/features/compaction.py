"""Merge small shards into few larger ones with the same rows.

A merged shard is complete on the disk before its sources are removed. A run that has these mapped keeps
them; one that starts meanwhile finds either. After a kill every row exists, at worst twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.features.inventory import shards_in
from headstart.features.shards import check_shard, map_shard, write_shard

if TYPE_CHECKING:
    import pyarrow as pa

# Read to open a store, and lost with one flipped bit; 10,000 rows of the embedded network.
TARGET_BYTES = 64 * 2**20
# Mapped at once; Linux allows 65,530 maps per process.
TARGET_SHARDS = 4_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Compaction:
    """The result of compacting one key."""

    n_before: int  # shards
    n_after: int
    n_rows_dropped: int = 0  # rows of unwanted images, and duplicate rows
    n_damaged: int = 0  # shards whose content does not match their name; they are left alone


def compact(
    folder: Path, *, wanted: Collection[str] | None = None, target_bytes: int = TARGET_BYTES
) -> Compaction:
    """Merge the small shards of one key, and drop rows of unwanted images.

    `wanted` are the digests to keep, default all. A merged shard has about `target_bytes` at most, and at
    most :data:`TARGET_SHARDS` sources; a shard of half the size is kept unless it loses rows. Raises
    OutputError where the folder cannot be written, OSError where a shard cannot be read.
    """
    shards = shards_in(folder)
    n_after, n_dropped, n_damaged = len(shards), 0, 0
    seen: set[str] = set()
    for group in _groups(shards, target_bytes, alone=wanted is not None):
        tables, sources = [], []
        for shard in group:
            try:
                check_shard(shard)
                tables.append(map_shard(shard))
                sources.append(shard)
            except FileNotFoundError:  # another process has merged or quarantined it
                n_after -= 1
            except ValueError:
                n_damaged += 1
        kept, n_lost = _merged(tables, seen, wanted)
        n_dropped += n_lost
        if not n_lost and len(sources) < 2:
            continue
        new = None
        if kept is not None:
            new = write_shard(folder, kept)
        del tables, kept
        for shard in sources:
            if shard != new:
                with contextlib.suppress(FileNotFoundError, PermissionError):  # or open, on Windows
                    shard.unlink()
        n_after += (new is not None) - len(sources)
    return Compaction(
        n_before=len(shards), n_after=n_after, n_rows_dropped=n_dropped, n_damaged=n_damaged
    )


def _groups(shards: Sequence[Path], target_bytes: int, *, alone: bool) -> Iterator[list[Path]]:
    """Groups of shards to read together; `alone` adds groups of one for shards that need no merging."""
    group: list[Path] = []
    n_bytes = 0
    for shard in shards:
        try:
            size = shard.stat().st_size
        except FileNotFoundError:
            continue
        if 2 * size >= target_bytes:
            if alone:
                yield [shard]
            continue
        if group and (n_bytes + size > target_bytes or len(group) == TARGET_SHARDS):
            yield group
            group, n_bytes = [], 0
        group.append(shard)
        n_bytes += size
    if group and (alone or len(group) > 1):
        yield group


def _merged(
    tables: Sequence[pa.Table], seen: set[str], wanted: Collection[str] | None
) -> tuple[pa.RecordBatch | None, int]:
    """The rows to keep as one batch, the first of each image, and the number dropped."""
    import pyarrow as pa

    parts, n_dropped = [], 0
    for table in tables:
        digests = table.column("digest").to_pylist()
        stays = []
        for digest in digests:
            stays.append(digest not in seen and (wanted is None or digest in wanted))
            seen.add(digest)
        n_dropped += len(stays) - sum(stays)
        parts.append(table if all(stays) else table.filter(pa.array(stays)))
    if not parts or not sum(part.num_rows for part in parts):
        return None, n_dropped
    [batch] = pa.concat_tables(parts).combine_chunks().to_batches()
    return batch, n_dropped
