"""A folder that grows, shrinks or is relabelled computes only what changed, at the level of `fit`."""

from __future__ import annotations

import functools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.cli.app import run
from headstart.data import inspection
from headstart.features import passes
from headstart.features.engines import OpenVINOEngine
from headstart.features.torchengine import TorchEngine


@pytest.fixture
def cropped() -> list[Path]:
    """The files decoded for features."""
    return []


@pytest.fixture
def work(cropped: list[Path], monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Images passed forward through any engine, decoded for the index, and decoded for features."""
    n: Counter[str] = Counter()
    converted, launch = OpenVINOEngine.__call__, TorchEngine.launch

    def forward(self: OpenVINOEngine, images: np.ndarray) -> object:
        n["passes"] += int(images.any(axis=(1, 2, 3)).sum())  # a black one only warms up
        return converted(self, images)

    def launched(self: TorchEngine, parts: list[torch.Tensor]) -> object:
        n["passes"] += sum(map(len, parts))
        return launch(self, parts)

    monkeypatch.setattr(OpenVINOEngine, "__call__", forward)
    monkeypatch.setattr(TorchEngine, "launch", launched)
    for module, name, what in ((inspection, "facts_of", "facts"), (passes, "crops", "crops")):

        def called(*args: object, of: tuple[object, str], **options: object) -> object:
            original, what = of
            n[what] += 1
            if isinstance(args[0], Path):
                cropped.append(args[0])
            return original(*args, **options)

        original = getattr(module, name)
        monkeypatch.setattr(module, name, functools.partial(called, of=(original, what)))
    return n


def write_photo(path: Path, seed: int) -> None:
    level = 60 if path.parent.name == "dark" else 190
    rng = np.random.default_rng(seed)
    coarse = rng.normal(level, 40, (8, 8, 3)).clip(0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((64, 64)).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label, first in (("dark", 0), ("bright", 100)):
        for i in range(30):
            write_photo(tmp_path / "photos" / label / f"{i:02d}.png", first + i)
    return tmp_path / "photos"


def test_fit__of_a_changed_folder_computes_what_changed(
    photos: Path,
    tmp_path: Path,
    work: Counter[str],
    cropped: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))

    def fit(name: str) -> dict[str, int]:
        work.clear()
        out = tmp_path / "runs" / name
        small = ("--resolutions", "64", "--folds", "2", "--C", "1")
        assert run(["--quiet", "fit", str(photos), "--out", str(out), *small]) == 0
        capsys.readouterr()
        figures = json.loads((out / "metrics.json").read_text())
        images = list(photos.rglob("*.png"))
        assert figures["extraction"]["n_forward"] == work["crops"]
        assert figures["extraction"]["n_cached"] == len(images) - work["crops"]
        return dict(work)

    first = fit("first")  # with the precisions compared, where the machine has two
    assert (first["facts"], first["crops"]) == (60, 60)

    for i in range(4):
        (photos / "bright" / f"{i:02d}.png").unlink()
    (photos / "dark" / "05.png").rename(photos / "bright" / "moved.png")
    (photos / "dark" / "06.png").rename(photos / "dark" / "renamed.png")
    new = {f"dark/new{i}.png" for i in range(3)} | {"dark/07.png"}  # the last has other bytes
    for i, name in enumerate(sorted(new)):
        write_photo(photos / name, 1000 + i)
    cropped.clear()
    assert fit("changed") == {"facts": 4, "crops": 4, "passes": 4}
    assert {str(path.relative_to(photos)) for path in cropped} == new

    engines = list((tmp_path / "cache").glob("engines/*"))
    assert len(engines) <= 2  # at 64 px, and at the network's own size for the precisions
