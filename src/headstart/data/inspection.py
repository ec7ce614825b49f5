"""Facts about every image file: digest, size, perceptual hash and thumbnail.

Each file is read once; the digest and the decode use the same bytes in memory.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headstart.data.decode import (
    Undecodable,
    opened,
    orientation,
    read_bytes,
    to_rgb,
    upright,
    upright_size,
)

THUMB_SIDE = 16
THUMB_VALUES = THUMB_SIDE * THUMB_SIDE * 3
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HASH_SIDE = 32
_HASH_FREQUENCIES = 8
# Lower bound of reduced JPEG decodes, so that the reduction to 32 pixels still averages.
_DECODE_AT_LEAST = 64


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about the bytes of one file."""

    # width, height: pixels after EXIF rotation; 0 if the file is unusable
    width: int = 0
    height: int = 0
    phash: int = 0  # 63-bit perceptual hash
    thumb: bytes = b""  # 16 x 16 RGB thumbnail, row by row, ``THUMB_VALUES`` bytes
    reason: str = ""  # why the file is unusable; ``""`` if it is usable
    n_pages: int = 1  # pages of a TIFF file, of which the first counts; 1 for others


@dataclass(frozen=True, slots=True)
class Inspected:
    """The digest of a file (``""`` if it could not be read) and its facts."""

    digest: str
    facts: Facts


def facts_of(data: bytes) -> Facts:
    """Decode an image file's bytes and return its facts; never raises for bad bytes."""
    try:
        with opened(data, at_least=_DECODE_AT_LEAST) as image:
            turn = orientation(image)
            width, height = upright_size(image.info["full_size"], turn)
            small = np.asarray(upright(_shrink(image), turn))
    except Undecodable as reason:
        return Facts(reason=str(reason))
    half = _HASH_SIDE // THUMB_SIDE
    thumb = small.reshape(THUMB_SIDE, half, THUMB_SIDE, half, 3).mean(axis=(1, 3))
    return Facts(
        width,
        height,
        perceptual_hash(small),
        np.rint(thumb).astype(np.uint8).tobytes(),
        n_pages=_n_pages(data),
    )


def _n_pages(data: bytes) -> int:
    if not data.startswith(_TIFF):
        return 1
    try:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
            return int(getattr(image, "n_frames", 1))
    except Exception:  # a later page is damaged, and the first one is used anyway
        return 1


def perceptual_hash(small: NDArray[np.uint8]) -> int:
    """63 bits that are robust to rescaling and recompression.

    The signs, relative to their median, of the lowest 8 x 8 DCT coefficients without the mean.

    `small`: ``(32, 32, 3)`` RGB.
    """
    grey = small.astype(np.float64) @ (0.299, 0.587, 0.114)
    coefficients = (_DCT @ grey @ _DCT.T).ravel()[1:]
    bits = coefficients > np.median(coefficients)
    return int.from_bytes(np.packbits(bits).tobytes(), "big") >> 1


def inspect_all(
    paths: Sequence[Path],
    known: Callable[[str], Facts | None],
    *,
    n_threads: int | None = None,
) -> Iterator[Inspected]:
    """Inspect files in parallel and in order, with only a few in memory.

    `paths`: files to read. `known`: returns known facts of a digest; such files are not decoded.
    """

    def inspect(path: Path) -> Inspected:
        try:
            data = read_bytes(path)
        except Undecodable as reason:
            return Inspected("", Facts(reason=str(reason)))
        digest = hashlib.sha256(data).hexdigest()
        return Inspected(digest, known(digest) or facts_of(data))

    workers = n_threads or min(8, (os.cpu_count() or 1) + 1)
    yield from _map_ahead(inspect, paths, workers)


def _map_ahead(
    function: Callable[[Path], Inspected], paths: Iterable[Path], workers: int
) -> Iterator[Inspected]:
    """``map`` over threads that runs at most a window ahead of its consumer."""
    rest = iter(paths)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="headstart-inspect")
    try:
        window: list[Future[list[Inspected]]] = []
        while True:
            # One task per batch: passing single small files would cost as much as reading them.
            while len(window) < 3 * workers and (batch := list(islice(rest, 16))):
                window.append(pool.submit(lambda paths: [function(p) for p in paths], batch))
            if not window:
                return
            yield from window.pop(0).result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _shrink(image: Image.Image) -> Image.Image:
    """Reduce to 32 x 32 RGB, averaging before the conversion if they commute, which is faster."""
    size = (_HASH_SIDE, _HASH_SIDE)
    if image.mode in ("L", "RGB", "RGBA", "LA", "CMYK") and "transparency" not in image.info:
        return to_rgb(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))
    return to_rgb(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)


def _dct_rows(n_frequencies: int, n: int) -> NDArray[np.float64]:
    """The first rows of the orthonormal DCT-II matrix, ``(n_frequencies, n)``."""
    k, x = np.arange(n_frequencies)[:, None], np.arange(n)[None, :]
    rows = np.sqrt(2 / n) * np.cos(np.pi * k * (2 * x + 1) / (2 * n))
    rows[0] /= np.sqrt(2)
    return np.asarray(rows, dtype=np.float64)


_DCT = _dct_rows(_HASH_FREQUENCIES, _HASH_SIDE)
