"""Two classes of small pictures, split into train and test, and a tiny network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.backbones import Backbone, load
from headstart.data import Index, index

N_TRAIN, N_TEST = 20, 8  # of each class


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Reddish and bluish noise, with one duplicate among the training images."""
    root = tmp_path_factory.mktemp("data") / "colours"
    rng = np.random.default_rng(0)
    for side, n in (("train", N_TRAIN), ("test", N_TEST)):
        for channel, name in ((0, "blue"), (2, "red")):
            (root / side / name).mkdir(parents=True)
            for i in range(n):
                small = rng.integers(0, 256, size=(6, 6, 3), dtype=np.uint8)
                small[..., channel] //= 2
                Image.fromarray(small).resize((48, 40)).save(root / side / name / f"{i:02d}.png")
    red = root / "train" / "red"
    (red / "copy.png").write_bytes((red / "00.png").read_bytes())
    return index(root)


@pytest.fixture(scope="session")
def tiny() -> Backbone:
    """A small EfficientNet with BatchNorm and random weights."""
    return load("timm:test_efficientnet", pretrained=False)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests of the room."""
    return tmp_path_factory.mktemp("cache")
