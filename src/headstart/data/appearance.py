"""What is known of pictures without a network: thumbnails, sizes, formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.data.factstore import FactStore
from headstart.data.inspection import THUMB_SIDE, Facts, facts_of
from headstart.data.records import Record

# Values of a thumbnail that differ by less than this (standard deviation, of 255) show nothing.
BLANK = 2.0


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """What pictures look like from afar, and their files."""

    thumbs: NDArray[np.float32]  # (n, 16, 16, 3); from 0 to 255
    sizes: NDArray[np.float64]  # (n, 2); width and height in pixels
    n_bytes: NDArray[np.float64]  # (n,)
    formats: NDArray[np.str_]  # (n,); ending of the name in lower case, ``jpeg`` as ``jpg``

    @property
    def brightness(self) -> NDArray[np.float64]:
        """Mean of all values, 0 to 1, (n,)."""
        return np.asarray(self.thumbs.mean(axis=(1, 2, 3)) / 255, dtype=np.float64)

    @property
    def contrast(self) -> NDArray[np.float64]:
        """Standard deviation of the values, 0 to 0.5, (n,)."""
        return np.asarray(self.thumbs.std(axis=(1, 2, 3)) / 255, dtype=np.float64)

    @property
    def is_blank(self) -> NDArray[np.bool_]:
        """Whether a picture shows nothing but one colour, (n,)."""
        spread = self.thumbs.reshape(len(self.thumbs), -1, 3).std(axis=1).max(axis=1)
        return np.asarray(spread < BLANK)

    @property
    def border(self) -> NDArray[np.float32]:
        """Mean colours of the four sides of the thumbnail, (n, 12)."""
        t = self.thumbs
        sides = (t[:, 0], t[:, -1], t[:, :, 0], t[:, :, -1])
        return np.concatenate([side.mean(axis=1) for side in sides], axis=1)


def appearance(records: Sequence[Record], cache: Path | None) -> Appearance:
    """What records look like, from the facts that indexing kept; a file that has gone is grey."""
    store = FactStore(cache / "images" if cache is not None else None)
    facts = [store.get(r.digest) or _read(r.path) for r in records]
    grey = bytes([128]) * (THUMB_SIDE * THUMB_SIDE * 3)
    thumbs = np.frombuffer(b"".join(f.thumb or grey for f in facts), dtype=np.uint8)
    formats = [r.path.suffix.lower().lstrip(".").replace("jpeg", "jpg") or "none" for r in records]
    return Appearance(
        thumbs=thumbs.reshape(-1, THUMB_SIDE, THUMB_SIDE, 3).astype(np.float32),
        sizes=np.array([(r.width, r.height) for r in records], dtype=np.float64).reshape(-1, 2),
        n_bytes=np.array([_n_bytes(r.path) for r in records], dtype=np.float64),
        formats=np.array(formats, dtype=str),
    )


def _read(path: Path) -> Facts:
    try:
        return facts_of(path.read_bytes())
    except OSError:
        return Facts()


def _n_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
