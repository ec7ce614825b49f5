"""Small pictures for the page's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def write_photos(root: Path, *, n: int = 8) -> Path:
    """Two classes of ``n`` small pictures, stripes that lie and stripes that stand."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    for name, wave in (("lying", np.sin(y / 3)), ("standing", np.sin(x / 3))):
        (root / name).mkdir(parents=True)
        for i in range(n):
            grey = 128 + 80 * np.roll(wave, i) + rng.normal(0, 25, (64, 64))
            pixels = np.repeat(grey.clip(0, 255)[:, :, None], 3, axis=2).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def make_photos() -> Callable[..., Path]:
    return write_photos


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("data") / "photos")
