"""The feature store: pooled features on disk, keyed by content, one folder per key.

    <cache>/features/<key>/manifest.json          the fields of the key
    <cache>/features/<key>/shard-<digest>.arrow   rows: image digest + one float16 list per tap

A key is the digest of everything that decides a feature besides the image itself: weights,
architecture, taps, preprocessing at one resolution, pooling and precision. A shard is written to a
temporary name, flushed to the disk and renamed; its name contains the SHA-256 of its bytes, so a
damaged shard is detected by reading it; it is quarantined, and its rows count as missing. Files are
never modified, so runs may share a store: at worst both compute the same row. Opening a store updates
the time of its manifest, which `headstart store prune` takes as its last use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import StoreError
from headstart.features.shards import SHARDS, encode, map_shard, open_shard, place_shard
from headstart.files import mark_used, sweep, write_atomically
from headstart.home import cache_folder as cache_folder

if TYPE_CHECKING:
    import pyarrow as pa

# Of the layout and of how images are prepared: to be increased when the same file gives other pixels.
SCHEMA = 1
MANIFEST = "manifest.json"
# Linux allows 65,530 maps per process: further shards are mapped only while they are read.
KEPT_MAPPED = 8_000
_REMOVED = "features were removed from {} while they were read: run the same command again"


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureKey:
    """Everything that decides a feature, besides the image.

    ``taps`` are names and recipes (:attr:`headstart.backbones.Tap.recipe`).
    ``view`` is ``"mirrored"`` for features of mirrored images.
    """

    weights: str
    arch: str
    taps: tuple[tuple[str, str], ...]
    preprocessing: Mapping[str, Any]
    precision: str
    pooling: str = "average"
    view: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The key as JSON-able values."""
        plain = asdict(self)
        plain["taps"] = [list(tap) for tap in self.taps]
        if not self.view:  # as in keys from before views, so that their features remain valid
            del plain["view"]
        return {"schema": SCHEMA, **plain}

    @property
    def digest(self) -> str:
        """SHA-256 of the key's canonical JSON."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class StoredRows:
    """Features of one tap in a store, read from the disk slice by slice.

    Of `shards`, `tables` are memory-mapped, or None where they are mapped only while they are read. The tap
    has `width` features, and `places` (n, 2) has the shard and the row within it of each image.
    """

    def __init__(
        self,
        shards: Sequence[Path],
        tables: Sequence[pa.Table | None],
        tap: str,
        width: int,
        places: NDArray[np.int32],
    ) -> None:
        self._shards, self._tables, self._tap, self._places = shards, tables, tap, places
        self.shape = (len(places), width)
        self.dtype: np.dtype[Any] = np.dtype(np.float32)

    def __getstate__(self) -> dict[str, Any]:
        """Of another process, which maps the shards for itself."""
        return self.__dict__ | {"_tables": [None] * len(self._tables)}

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """The features of a slice of the images, float32.

        Raises StoreError where a shard that was not mapped has been merged or removed meanwhile.
        """
        shard, row = self._places[rows].T
        out = np.empty((len(shard), self.shape[1]), dtype=np.float32)
        for number in np.unique(shard):
            here, table = shard == number, self._tables[number]
            try:
                table = map_shard(self._shards[number]) if table is None else table
            except FileNotFoundError as error:
                raise StoreError(_REMOVED.format(self._shards[number].parent)) from error
            out[here] = _column(table, self._tap, self.shape[1])[row[here]]
        return out


class FeatureStore:
    """The rows of one key.

    Parameters
    ----------
    key : FeatureKey
        Identifies the rows.
    root : Path, optional
        The cache folder; default :func:`cache_folder`.

    Raises
    ------
    StoreError
        The folder cannot be created or read.
    """

    def __init__(self, key: FeatureKey, root: Path | None = None) -> None:
        self.key = key
        self.folder = (root or cache_folder()) / "features" / key.digest[:32]
        self._rows: dict[str, tuple[int, int]] = {}
        self._shards: list[Path] = []
        self._tables: list[pa.Table | None] = []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / MANIFEST).exists():
                text = json.dumps(self.key.to_dict(), indent=1, sort_keys=True)
                write_atomically(self.folder / MANIFEST, text.encode())
            mark_used(self.folder / MANIFEST)
            sweep(self.folder)
            self._open_all()
        except OSError as error:
            raise StoreError(
                f"the feature store {self.folder} cannot be used ({error.strerror}): "
                "set HEADSTART_CACHE to a folder that can be written"
            ) from error

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, digest: object) -> bool:
        return digest in self._rows

    def digests(self) -> list[str]:
        """The digests of images with rows."""
        return list(self._rows)

    def missing(self, digests: Iterable[str]) -> list[str]:
        """The digests without a row, without duplicates, in the order given."""
        return [d for d in dict.fromkeys(digests) if d not in self._rows]

    def add(self, digests: Sequence[str], features: Mapping[str, NDArray[np.float32]]) -> Path:
        """Write one shard of rows, durably, and return its path.

        Parameters
        ----------
        digests : sequence of str, length n
            SHA-256 of the images' bytes.
        features : mapping of tap name to array of shape (n, d), float32
            Finite values, stored as float16.

        Raises
        ------
        StoreError
            A value is not finite, or is too large for float16.
        OutputError
            The disk is full or the folder cannot be written.
        """
        return self.write(encode(digests, features))

    def write(self, payload: bytes) -> Path:
        """Write a shard from :func:`encode`, and return its path.

        Raises
        ------
        OutputError
            The disk is full or the folder cannot be written.
        """
        path = place_shard(self.folder, payload)
        self._open(path)
        return path

    def read(self, digests: Sequence[str], tap: str) -> NDArray[np.float32]:
        """The features of ``tap`` for ``digests``, float32 of shape (n, d), in the order given.

        Raises
        ------
        StoreError
            A digest has no row.
        """
        try:
            return self._read(digests, tap)
        except FileNotFoundError:  # a shard that was not mapped has been merged
            self._rows, self._shards, self._tables = {}, [], []
            self._open_all()
        try:
            return self._read(digests, tap)
        except FileNotFoundError as error:
            raise StoreError(_REMOVED.format(self.folder)) from error

    def _read(self, digests: Sequence[str], tap: str) -> NDArray[np.float32]:
        self._require(digests)
        places = np.array([self._rows[d] for d in digests], dtype=np.int64).reshape(-1, 2)
        width = self._width(tap)
        out = np.empty((len(digests), width), dtype=np.float32)
        order = np.argsort(places[:, 0], kind="stable")
        shards, starts = np.unique(places[order, 0], return_index=True)
        for shard, start, end in zip(shards, starts, [*starts[1:], len(order)], strict=False):
            here = order[start:end]
            out[here] = _column(self._table(shard), tap, width)[places[here, 1]]
        return out

    def rows(self, digests: Sequence[str], taps: Sequence[str]) -> list[StoredRows]:
        """The features of each of ``taps``, to be read slice by slice.

        Raises
        ------
        StoreError
            A digest has no row.
        """
        self._require(digests)
        where = (number for d in digests for number in self._rows[d])
        places = np.fromiter(where, dtype=np.int32, count=2 * len(digests)).reshape(-1, 2)
        shards = self._shards, self._tables
        return [StoredRows(*shards, tap, self._width(tap), places) for tap in taps]

    def _require(self, digests: Sequence[str]) -> None:
        absent = next((d for d in digests if d not in self._rows), None)
        if absent is not None:
            raise StoreError(f"no features of image {absent[:12]} in {self.folder}: extract first")

    def _table(self, number: int) -> pa.Table:
        table = self._tables[number]
        return map_shard(self._shards[number]) if table is None else table

    def _width(self, tap: str) -> int:
        for number in range(len(self._tables)):
            schema = self._table(number).schema
            if tap in schema.names:
                return int(schema.field(tap).type.list_size)
        raise StoreError(f"no features of tap {tap!r} in {self.folder}")

    def _open_all(self) -> None:
        """Open every shard; if some vanish meanwhile, also those that replace them."""
        seen: set[Path] = set()
        while True:
            shards = [s for s in sorted(self.folder.glob(SHARDS)) if s not in seen]
            seen.update(shards)
            n_gone = sum(not self._open(shard) for shard in shards)
            if not n_gone:
                return

    def _open(self, path: Path) -> bool:
        """Check and map one shard; a damaged one is quarantined, so its rows are missing.

        False if it is gone, because another process has quarantined or merged it.
        """
        try:
            table = open_shard(path, "feature")
        except FileNotFoundError:
            return False
        if table is None:
            return True
        number = len(self._tables)
        self._shards.append(path)
        self._tables.append(table if number < KEPT_MAPPED else None)
        for row, image in enumerate(table.column("digest").to_pylist()):
            self._rows.setdefault(image, (number, row))
        return True


def _column(table: pa.Table, tap: str, width: int) -> NDArray[np.float16]:
    """A tap's column as a view of shape (rows, width), without copying."""
    chunk = table.column(tap).chunk(0)
    view: NDArray[np.float16] = chunk.values.to_numpy(zero_copy_only=True).reshape(-1, width)
    return view
