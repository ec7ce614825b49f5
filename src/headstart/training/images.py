"""Images decoded once, slightly larger than the crops, and stored as bytes on the disk.

    <cache>/pixels/<preprocessing>-<images>.u8

uint8 (n, side, side, 3) in the order of the records, then the n digests of the images, 32 bytes each.
Both parts of the name are digests. The file is written to a temporary name and renamed when complete.
Squares that exist in another file with the same preprocessing are copied, so that only new images of a
changed data set are decoded. Small sets are read into memory, large ones are mapped.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray

from headstart.errors import OutputError, one_line
from headstart.features.cores import n_cores
from headstart.features.pixels import Crop, crops
from headstart.files import mark_used, whole_file
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.backbones import Preprocessing
    from headstart.data import Record

# Smaller sets are read into memory; larger ones are mapped.
IN_MEMORY_BYTES = 2 * 2**30
_CHUNK = 64
_DIGEST_BYTES = 32


def stored_side(preprocessing: Preprocessing) -> int:
    """Side of the stored squares in pixels: the shorter side of the resized image before the crop."""
    return max(preprocessing.resize_px, preprocessing.size_px)


def stored_preprocessing(preprocessing: Preprocessing) -> Preprocessing:
    """The preprocessing of the stored squares: the same resize with the largest possible crop.

    The centre crop of such a square equals that of `preprocessing` up to a shift of one pixel.
    """
    side = stored_side(preprocessing)
    return replace(preprocessing, size_px=side, crop_pct=side / preprocessing.resize_px)


def load_pixels(
    records: Sequence[Record],
    preprocessing: Preprocessing,
    *,
    cache: Path,
    in_memory_bytes: int = IN_MEMORY_BYTES,
    progress: Progress = silent,
) -> torch.Tensor:
    """The stored squares of images, decoding those that are missing.

    Raises DataError where an image cannot be decoded; OutputError where the disk is too small for
    the squares.

    Parameters
    ----------
    preprocessing : Preprocessing
        That of the network, at the size of the crops.
    cache : Path
        The squares are stored in ``cache/pixels``.
    in_memory_bytes : int
        Sets up to this size are read into memory.

    Returns
    -------
    Tensor of shape (n, 3, side, side), uint8
        Channels last in memory.
    """
    wanted = stored_preprocessing(preprocessing)
    side = wanted.size_px
    shape = (len(records), side, side, 3)
    path = cache / "pixels" / f"{_prefix(wanted)}-{_name_of(records)}.u8"
    n_bytes = int(np.prod(shape, dtype=np.int64))
    if not n_bytes:
        return torch.zeros((0, 3, side, side), dtype=torch.uint8)
    if not path.exists() or path.stat().st_size != n_bytes + len(records) * _DIGEST_BYTES:
        _write(path, records, wanted, shape, progress)
    mark_used(path)
    if n_bytes <= in_memory_bytes:
        squares: NDArray[np.uint8] = np.fromfile(path, np.uint8, count=n_bytes).reshape(shape)
    else:
        # Copy on write, because torch requires writable memory; nothing writes to it.
        squares = np.memmap(path, dtype=np.uint8, mode="c", shape=shape)
    return torch.from_numpy(squares).permute(0, 3, 1, 2)


def _prefix(preprocessing: Preprocessing) -> str:
    text = repr((preprocessing.to_dict(), "squares 2"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _name_of(records: Sequence[Record]) -> str:
    sha = hashlib.sha256()
    for record in records:
        sha.update(record.digest.encode())
    return sha.hexdigest()[:32]


def _write(
    path: Path,
    records: Sequence[Record],
    preprocessing: Preprocessing,
    shape: tuple[int, ...],
    progress: Progress,
) -> None:
    """Copy or decode all images into a file, atomically."""
    _require_room(path, shape)
    known = _known(path, {r.digest for r in records}, shape)

    def square(record: Record) -> Crop:
        if record.digest in known:
            squares, row = known[record.digest]
            kept: Crop = squares[row]
            return kept
        return _square(record, preprocessing)

    progress("decode images", 0, len(records))
    with whole_file(path) as file, ThreadPoolExecutor(n_cores()) as pool:
        for start in range(0, len(records), _CHUNK):
            some = records[start : start + _CHUNK]
            for crop in pool.map(square, some):
                file.write(crop.tobytes())
            progress("decode images", start + len(some), len(records))
        for record in records:
            file.write(bytes.fromhex(record.digest))


def _known(
    path: Path, wanted: set[str], shape: tuple[int, ...]
) -> dict[str, tuple[NDArray[np.uint8], int]]:
    """Squares with the same preprocessing in other files: their array and row."""
    known: dict[str, tuple[NDArray[np.uint8], int]] = {}
    square_bytes = int(np.prod(shape[1:], dtype=np.int64))
    for other in path.parent.glob(f"{path.name.partition('-')[0]}-*.u8"):
        try:
            n, rest = divmod(other.stat().st_size, square_bytes + _DIGEST_BYTES)
            if rest or not n:
                continue
            squares = np.memmap(other, np.uint8, "r", shape=(n, *shape[1:]))
            digests = np.fromfile(other, f"V{_DIGEST_BYTES}", offset=n * square_bytes)
        except OSError:  # removed meanwhile: it would only save time
            continue
        for row, digest in enumerate(digests.tolist()):
            if (name := digest.hex()) in wanted:
                known[name] = (squares, row)
        if len(known) == len(wanted):
            break
    return known


def _square(record: Record, preprocessing: Preprocessing) -> Crop:
    [crop] = crops(record.path, [preprocessing], digest=record.digest)
    return crop


def _require_room(path: Path, shape: tuple[int, ...]) -> None:
    needed = int(np.prod(shape, dtype=np.int64))
    there = next(folder for folder in path.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise OutputError(
            f"{shape[0]} decoded images of {shape[1]}x{shape[2]} px take {needed / 2**30:.1f} GiB "
            f"and {one_line(str(path.parent))} has {free / 2**30:.1f} GiB free: free some space, "
            "take a smaller size, or set HEADSTART_CACHE to another folder"
        )
