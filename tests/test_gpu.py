"""The commands where a GPU is the device that they choose, beside the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.training.trained import read_header

pytestmark = pytest.mark.gpu

SIZE_PX = 64


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Stripes along and across, 24 images of each."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    rng = np.random.default_rng(0)
    for i in range(48):
        stripes = np.broadcast_to(128 + 80 * np.sin(np.arange(80) / 3), (80, 80))
        grey = (stripes if i % 2 else stripes.T) + rng.normal(0, 30, (80, 80))
        path = tmp_path / "photos" / ("along", "across")[i % 2] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).convert("RGB").save(path)
    return tmp_path / "photos"


@pytest.fixture
def headstart(tmp_path: Path) -> Callable[..., str]:
    """Runs the command and returns what it prints."""

    def run(*arguments: str | Path) -> str:
        command = [sys.executable, "-m", "headstart", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_fit__on_a_gpu_answers_as_on_the_cpu(
    photos: Path, headstart: Callable[..., str], tmp_path: Path
) -> None:
    options = ("--resolutions", str(SIZE_PX), "--seed", "1")
    for name, device in (("gpu", ()), ("cpu", ("--device", "cpu"))):
        headstart("fit", photos, *options, *device, "--out", tmp_path / name)
    engines = {
        name: json.loads((tmp_path / name / "metrics.json").read_text("utf-8"))["extraction"][
            "engine"
        ]
        for name in ("gpu", "cpu")
    }
    assert "cuda" in engines["gpu"]
    assert "cuda" not in engines["cpu"]
    some = sorted(photos.rglob("*.png"))[:30]
    for name in ("gpu", "cpu"):
        found = json.loads(headstart("predict", tmp_path / name, *some, "--json"))
        assert [image["label"] for image in found] == [path.parent.name for path in some]


def test_finetune__trains_on_a_gpu(
    photos: Path, headstart: Callable[..., str], tmp_path: Path
) -> None:
    options = ("--size", str(SIZE_PX), "--epochs", "2", "--out", str(tmp_path / "run"))
    headstart("finetune", photos, *options)
    assert read_header(tmp_path / "run" / "model" / "network.safetensors").device == "cuda"


def test_doctor__times_the_engines_of_a_gpu(photos: Path, headstart: Callable[..., str]) -> None:
    found = json.loads(headstart("doctor", "--json"))
    assert found["device"] == "cuda"
    rates = {trial["engine"]: trial["images_per_s"] for trial in found["engines"]}
    assert any("cuda" in name and rate for name, rate in rates.items())
