"""A shift made from real images: the same pictures inverted, blurred, noisy, grey or dark."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from headstart.data import Index, Record, read_rgb
from headstart.errors import require_choice
from headstart.files import write_atomically
from headstart.progress import Progress, silent

# Larger pictures are reduced to this shorter side first: no network here sees more.
MAX_SIDE_PX = 512
_BLUR_SHARE = 0.015
_NOISE_LEVELS = 40.0
_DARK = 0.35
_CHUNK = 64


def corrupt(image: Image.Image, kind: str, *, seed: int = 0) -> Image.Image:
    """One picture changed.

    Raises InputError where there is no such kind.

    `image`: mode ``"RGB"``. `kind`: one of `CORRUPTIONS`. `seed`: of the noise.
    """
    require_choice("corrupt", kind, CORRUPTIONS)
    return _FUNCTIONS[kind](image, seed)


def corrupted_copy(index: Index, kind: str, *, cache: Path, progress: Progress = silent) -> Index:
    """The data set with every picture changed, on the same sides of the split.

    Raises InputError where there is no such kind. Names, labels and split are as before; paths,
    digests and sizes those of the copies.

    `kind`: one of `CORRUPTIONS`. `cache`: the pictures are kept as PNG in
    ``cache/corrupted/<kind>``, named by the digest of what they were made from; what is there is
    not made again.
    """
    corrupt(Image.new("RGB", (2, 2)), kind)  # a wrong kind is refused before any work
    folder = cache / "corrupted" / kind
    records: list[Record] = []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(index.records), _CHUNK):
            some = index.records[start : start + _CHUNK]
            records += pool.map(lambda r: _copy(r, kind, folder), some)
            progress("corrupt images", len(records), len(index.records))
    note = f"The target is made from the source: {CORRUPTIONS[kind]}."
    return dataclasses.replace(
        index, records=tuple(records), source=f"corrupted: {kind}", notes=(*index.notes, note)
    )


def _copy(record: Record, kind: str, folder: Path) -> Record:
    path = folder / f"{record.digest}.png"
    if not path.exists():
        image = read_rgb(record.path, digest=record.digest)
        share = MAX_SIDE_PX / min(image.size)
        if share < 1:
            image = ImageOps.scale(image, share, resample=Image.Resampling.BICUBIC)
        held = io.BytesIO()
        seed = int(record.digest[:8], 16)
        corrupt(image, kind, seed=seed).save(held, "PNG", compress_level=1)
        write_atomically(path, held.getvalue())
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as header:
        width, height = header.size
    return dataclasses.replace(
        record,
        path=path.absolute(),
        digest=hashlib.sha256(data).hexdigest(),
        width=width,
        height=height,
    )


def _blur(image: Image.Image, _: int) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(_BLUR_SHARE * min(image.size)))


def _noise(image: Image.Image, seed: int) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32)
    noise = np.random.default_rng(seed).normal(0, _NOISE_LEVELS, pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))


def _dark(image: Image.Image, _: int) -> Image.Image:
    return image.point(lambda level: level * _DARK)


_FUNCTIONS: Mapping[str, Callable[[Image.Image, int], Image.Image]] = {
    "invert": lambda image, _: ImageOps.invert(image),
    "blur": _blur,
    "noise": _noise,
    "grey": lambda image, _: image.convert("L").convert("RGB"),
    "dark": _dark,
}
CORRUPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "invert": "black and white change places",
        "blur": "Gaussian blur, sigma 1.5 % of the shorter side",
        "noise": "Gaussian noise, sigma 40 of 255 levels",
        "grey": "colour taken out",
        "dark": "brightness times 0.35",
    }
)
"""What `corrupt` can do, and how strongly."""
