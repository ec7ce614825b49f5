"""Pictures that differ, files that are broken, and trees of both."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Picture = Callable[..., Image.Image]
Encode = Callable[..., bytes]
Tree = Callable[..., Path]


def _picture(seed: int, size: tuple[int, int] = (48, 40), mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC).convert(mode)


def _encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def picture() -> Picture:
    """``picture(seed, size, mode)``: a smooth random picture; other seeds, other pictures."""
    return _picture


@pytest.fixture(scope="session")
def encode() -> Encode:
    """``encode(image, kind, **options)``: the bytes of an image file."""
    return _encode


@pytest.fixture(scope="session")
def huge_png() -> bytes:
    """A PNG that claims 30,000 x 30,000 pixels; its header is all that may be read."""
    data = bytearray(_encode(Image.new("L", (1, 1))))
    data[16:24] = struct.pack(">II", 30_000, 30_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """``tree({"cat/a.png": 1, "dog/b.png": b"..."})``: pictures by seed, other files by content."""

    def make(files: Mapping[str, int | bytes | str], root: str = "set") -> Path:
        folder = tmp_path / root
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, int):
                kind = "JPEG" if path.suffix == ".jpg" else "PNG"
                content = _encode(_picture(content), kind)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    return make


@pytest.fixture
def pets(tree: Tree) -> Path:
    """Two classes of five pictures."""
    return tree(
        {f"{c}/{i}.png": 10 * n + i for n, c in enumerate(("cat", "dog")) for i in range(5)}
    )
