"""Synthetic photographs for the benches, and the records that stand for them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from bench.harness import SHARED
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from headstart.data import Record

PHOTO_SIZE = (500, 375)
THUMB_SIZE = (64, 64)


def make_images(
    folder: Path,
    n_images: int,
    *,
    size: tuple[int, int] = PHOTO_SIZE,
    n_classes: int = 2,
    class_share: float = 0.0,
    seed: int = 0,
) -> list[Path]:
    """Write JPEG files ``folder/class0/00000.jpg, folder/class1/00001.jpg, ...``.

    Each is a smooth coloured pattern with noise. Where the folder of real images lies beside the
    checkout, half of them are blended with a texture in a random tint. The same arguments give the
    same files.

    Parameters
    ----------
    folder : Path
    n_images : int
    size : (width, height)
        Pixels.
    n_classes : int
    class_share : float in [0, 1]
        How much of the smooth pattern all images of a class have in common.
    seed : int

    Returns
    -------
    list of Path
        Sorted.
    """
    textures = sorted((SHARED / "data" / "textures").glob("*/*.jpg"))
    paths = []
    for i in range(n_images):
        path = folder / f"class{i % n_classes}" / f"{i:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([seed, i])
        grid = rng.integers(0, 256, (8, 10, 3))
        if class_share:
            common = np.random.default_rng([seed, 10**6 + i % n_classes]).integers(
                0, 256, (8, 10, 3)
            )
            grid = class_share * common + (1 - class_share) * grid
        texture = textures[rng.integers(len(textures))] if textures and i % 4 < 2 else None
        picture = _picture(rng, grid.astype(np.uint8), size, texture)
        Image.fromarray(picture).save(path, quality=90)
        paths.append(path)
    return sorted(paths)


def _picture(
    rng: np.random.Generator, grid: NDArray[np.uint8], size: tuple[int, int], texture: Path | None
) -> NDArray[np.uint8]:
    """One picture (height, width, 3)."""
    smooth = np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC), np.float32)
    if texture is not None:
        grey = _read_grey(texture, size)[..., None]
        smooth = 0.3 * smooth + 0.7 * grey * rng.uniform(0.5, 1.0, 3).astype(np.float32)
    noise = rng.standard_normal(smooth.shape, dtype=np.float32) * rng.uniform(2, 14)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


@functools.cache
def _read_grey(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A texture (height, width)."""
    with Image.open(path) as opened:
        return np.asarray(opened.convert("L").resize(size))


def make_crops(n_images: int, size_px: int) -> NDArray[np.uint8]:
    """Square pictures (n_images, size_px, size_px, 3) that need no decoding."""
    crops = []
    for i in range(n_images):
        rng = np.random.default_rng([1, i])
        grid = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        crops.append(_picture(rng, grid, (size_px, size_px), None))
    return np.stack(crops)


def read_records(root: Path, paths: Iterable[Path] | None = None) -> list[Record]:
    """Records of files under `root`, by default of all JPEG files in the order of their paths.

    Without an index's decoding of each file: what is measured begins after the index.
    """
    from headstart.data import Record

    records = []
    for path in sorted(root.rglob("*.jpg")) if paths is None else paths:
        with Image.open(path) as image:
            width, height = image.size
        records.append(
            Record(
                path=path.absolute(),
                name=path.relative_to(root).as_posix(),
                label=path.parent.name,
                digest=hashlib.sha256(path.read_bytes()).hexdigest(),
                width=width,
                height=height,
                split="train",
            )
        )
    return records


def read_split(split: Path) -> dict[str, list[str]]:
    """Names ``Class/file`` of each side of a split file of lines ``train,Class/file``."""
    sides: dict[str, list[str]] = {"train": [], "test": []}
    for line in split.read_text(encoding="utf-8").splitlines():
        side, name = line.split(",", 1)
        sides[side].append(name)
    return sides


def write_split(path: Path, sides: dict[str, list[str]]) -> Path:
    """What `read_split` reads."""
    lines = [f"{side},{name}" for side, names in sides.items() for name in names]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def some_of_each_class(names: Iterable[str], n_per_class: int) -> list[str]:
    """The first names ``Class/file`` of every class, in order."""
    seen: dict[str, int] = {}
    chosen = []
    for name in names:
        label = name.split("/")[0]
        seen[label] = seen.get(label, 0) + 1
        if seen[label] <= n_per_class:
            chosen.append(name)
    return chosen
