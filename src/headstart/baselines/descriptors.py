"""The descriptors of images, computed once and stored by digest.

    <cache>/sift/<key>/shard-<digest>.arrow   rows: image digest, descriptors, places

As in the feature store, shards are written atomically and their names contain the digests of their
bytes; a kill costs at most the current shard. Shards are memory-mapped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headstart.baselines.settings import SiftSettings
from headstart.baselines.sift import N_DIMS, dense_sift, opencv
from headstart.data import read_rgb
from headstart.features.shards import SHARDS, open_shard, write_shard
from headstart.files import mark_used
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.data import Record

SHARD_IMAGES = 64

Described = tuple[NDArray[np.uint8], NDArray[np.float32]]


class Descriptors:
    """Dense SIFT of images, by digest.

    Parameters
    ----------
    settings : SiftSettings
        Its grid is part of the key.
    cache : Path
        The cache folder.
    """

    def __init__(self, settings: SiftSettings, cache: Path) -> None:
        self.settings = settings
        text = json.dumps({"schema": 1, **settings.grid()}, sort_keys=True)
        self.folder = cache / "sift" / hashlib.sha256(text.encode()).hexdigest()[:32]
        self._rows: dict[str, tuple[pa.Table, int]] = {}
        mark_used(self.folder)
        for path in sorted(self.folder.glob(SHARDS)):
            self._open(path)

    def __contains__(self, digest: object) -> bool:
        return digest in self._rows

    def read(self, digest: str) -> Described:
        """``descriptors`` uint8 (n, 128) and ``places`` float32 (n, 2) of one image."""
        table, row = self._rows[digest]
        found, places = (table.column(name)[row].as_buffer() for name in ("descriptors", "places"))
        return (
            np.frombuffer(found, np.uint8).reshape(-1, N_DIMS),
            np.frombuffer(places, np.float32).reshape(-1, 2),
        )

    def fill(self, records: Sequence[Record], progress: Progress = silent) -> None:
        """Compute missing descriptors.

        Raises DataError where a file can no longer be read; OutputError where the disk is full;
        InputError where OpenCV is not installed.
        """
        paths = {r.digest: r.path for r in records if r.digest not in self}
        if not paths:
            return
        opencv()
        digests = list(paths)
        progress("dense SIFT", 0, len(digests))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(digests), SHARD_IMAGES):
                part = digests[start : start + SHARD_IMAGES]
                found = list(pool.map(lambda d: self._describe(paths[d], d), part))
                self._add(part, found)
                progress("dense SIFT", start + len(part), len(digests))

    def _describe(self, path: Path, digest: str) -> Described:
        longest = self.settings.longest_px
        image = read_rgb(path, at_least=2 * longest, digest=digest).convert("L")
        if max(image.size) > longest:
            image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        return dense_sift(np.asarray(image), self.settings)

    def _add(self, digests: Sequence[str], found: Sequence[Described]) -> None:
        import pyarrow as pa

        columns: dict[str, Any] = {
            "digest": pa.array(digests, pa.string()),
            "descriptors": pa.array([d.tobytes() for d, _ in found], pa.large_binary()),
            "places": pa.array([p.tobytes() for _, p in found], pa.large_binary()),
        }
        self._open(write_shard(self.folder, pa.record_batch(columns)))

    def _open(self, path: Path) -> None:
        """Map one shard; a damaged one is quarantined, and its images count as missing."""
        with contextlib.suppress(FileNotFoundError):  # another run has just quarantined it
            if (table := open_shard(path, "descriptor")) is not None:
                for row, image in enumerate(table.column("digest").to_pylist()):
                    self._rows.setdefault(image, (table, row))
