"""What the tests of the fine-tuning room share: images of two colours, and networks that are tiny."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.backbones import Backbone, load
from headstart.data import Record

SIZE_PX = 32
CLASSES = ("blue", "red")


def write_images(folder: Path, n: int, *, seed: int = 0) -> list[Record]:
    """``n`` noisy JPEG files, every other one reddish and the others bluish, as records."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for i in range(n):
        height, width = rng.integers(40, 60, size=2)
        small = rng.integers(0, 256, size=(6, 6, 3), dtype=np.uint8)
        small[..., 0 if i % 2 == 0 else 2] //= 3
        path = folder / f"{seed}-{i:03d}.jpg"
        Image.fromarray(small).resize((int(width), int(height))).save(path, quality=90)
        records.append(
            Record(
                path=path,
                name=path.name,
                label=CLASSES[i % 2],
                digest=hashlib.sha256(path.read_bytes()).hexdigest(),
                width=int(width),
                height=int(height),
                split="train",
            )
        )
    return records


@pytest.fixture
def make_images() -> Callable[..., list[Record]]:
    return write_images


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Thirty-two images."""
    return write_images(tmp_path_factory.mktemp("images"), 32)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests of the room: images are decoded once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny() -> Backbone:
    """A small EfficientNet with BatchNorm and random weights."""
    return load("timm:test_efficientnet", pretrained=False)


@pytest.fixture(scope="session")
def tiny_resnet() -> Backbone:
    """A small ResNet with BatchNorm and random weights."""
    return load("timm:test_resnet", pretrained=False)
