"""Small pictures of stripes, which SIFT tells apart and pixels do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data import Index, index


def write_stripes(root: Path, *, n: int = 10) -> Path:
    rng = np.random.default_rng(0)
    for name in ("lying", "standing"):
        (root / name).mkdir(parents=True)
        for i in range(n):
            period, shift = rng.uniform(9, 14), rng.uniform(0, 14)
            wave = 128 + 90 * np.sin(2 * np.pi * (np.arange(72) + shift) / period)
            pixels = np.tile(wave[:, None], (1, 64)) + rng.normal(0, 8, (72, 64))
            if name == "standing":
                pixels = pixels.T
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return index(write_stripes(tmp_path_factory.mktemp("stripes")), test_size=0.4)
