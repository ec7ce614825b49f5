"""A run on small shapes with two labels exchanged, for the questions on a finished run."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart.runs.run import Run

FLIPPED = ("bars/03.png", "dots/05.png")


@pytest.fixture(scope="session")
def odd_shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bars and dots with two labels exchanged, a copy in the other class, and a blank picture."""
    root = tmp_path_factory.mktemp("clean") / "shapes"
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    for name in ("bars", "dots"):
        (root / name).mkdir(parents=True)
        for i in range(14):
            is_bars = (name == "bars") != (f"{name}/{i:02d}.png" in FLIPPED)
            wave = np.sin((x + i) / 3) * (1 if is_bars else np.sin(y / 3))
            pixels = np.clip(128 + 70 * wave + rng.normal(0, 30, (64, 64)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).convert("RGB").save(
                root / name / f"{i:02d}.png"
            )
    (root / "dots" / "copy.png").write_bytes((root / "bars" / "00.png").read_bytes())
    Image.new("RGB", (64, 64), (90, 90, 90)).save(root / "dots" / "blank.png")
    (root / "dots" / "torn.png").write_bytes(b"torn")
    return root


@pytest.fixture(scope="session")
def odd_run(odd_shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "shapes"
    return headstart.fit(odd_shapes, out=out, resolutions=(64,), Cs=(1.0,))


@pytest.fixture(scope="session")
def grouped_run(odd_shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A table with films of two pictures, a class of one film, a class of one picture, a half-filled column."""
    root = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(3)
    for name in ("film0", "film1", "film2", "lone"):
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{name}.png")
    rows = [
        (path, path.parent.name, f"{path.parent.name}{int(path.stem) // 2}", int(path.stem) % 2)
        for path in sorted(odd_shapes.glob("*/[01]*.png"))
    ]
    rows += [(root / f"film{i}.png", "noise", "noise", 0) for i in range(3)]
    rows += [(root / "lone.png", "lone", "lone", 0)]
    with (root / "table.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "split", "film", "camera", "brightness"])
        for path, label, film, odd in rows:
            camera = "" if film in ("bars0", "dots0", "bars1") else ("old" if odd else "new")
            split = "test" if film in ("bars6", "dots6") else "train"
            writer.writerow([path, label, split, film, camera, "night" if odd else "day"])
    return headstart.fit(
        root / "table.csv", out=root / "run", resolutions=(64,), Cs=(1.0,), group_column="film"
    )
