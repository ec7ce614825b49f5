"""A small folder of real photographs' crops, and a run made from it once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart import fit
from headstart.runs.run import Run

sys.path.insert(0, str(Path(__file__).parent))  # for example_metrics


def without_sums(run: Path) -> Path:
    """As a run of before there were digests of its files, so that what damages it gets past them."""
    (run / "SHA256SUMS").unlink()
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps(facts | {"has_sums": False}), encoding="utf-8")
    return run


SETTINGS: dict[str, Any] = {"resolutions": (64, 96), "seed": 3, "Cs": (0.1, 1.0, 10.0)}


def write_shapes(root: Path, *, n: int = 16, classes: tuple[str, ...] = ("bars", "dots")) -> Path:
    """``n`` images per class of noisy patterns that a network tells apart."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:80, :80]
    patterns = {
        "bars": np.sin(x / 3),
        "dots": np.sin(x / 3) * np.sin(y / 3),
        "rings": np.sin(np.hypot(x - 40, y - 40) / 3),
    }
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        base = patterns[sorted(patterns)[k % 3]]
        for i in range(n):
            noisy = 128 + 70 * np.roll(base, i, axis=1) + rng.normal(0, 60, (80, 80))
            pixels = np.clip(noisy, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).convert("RGB").save(root / name / f"{i:02d}.png")
    return root


@pytest.fixture(scope="session")
def older() -> Callable[[Path], Path]:
    """``older(run folder)``: the same, as a version without digests made it."""
    return without_sums


@pytest.fixture(scope="session")
def make_shapes() -> Callable[..., Path]:
    return write_shapes


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, one byte-identical pair, one broken file with an ugly name."""
    root = write_shapes(tmp_path_factory.mktemp("data") / "shapes")
    copy = (root / "dots" / "03.png").read_bytes()
    (root / "dots" / "copy of 03.png").write_bytes(copy)
    (root / "bars" / "<script>alert(1)\n.jpg").write_bytes(b"no image")
    return root


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One feature store for all runs of this room."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def run(shapes: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "shapes"
    return fit(shapes, out=out, cache=store, **SETTINGS)
