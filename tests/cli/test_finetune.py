from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

QUICK = ("--backbone", "embedded", "--size", "32", "--epochs", "1")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of fifteen pictures: enough to hold some out twice."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, level in (("dark", 60), ("bright", 190)):
        (root / name).mkdir()
        for i in range(15):
            pixels = rng.normal(level, 25, (40, 40, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


def test_finetune__one_regime_against_the_svm(
    headstart: Callable, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = headstart("finetune", pictures, *QUICK, "--regime", "output", "--out", out, "--quiet")
    assert said.code == 0, said
    assert "loss" in said.out
    assert "1 epoch cannot be judged" in said.out
    assert "Take " in said.out
    page = (out / "comparison.html").read_text()
    assert "<svg" in page
    assert "://" not in page.replace("http://www.w3.org", "")
    table = (out / "comparison.md").read_text()
    assert "| linear SVM" in table
    assert "| output" in table


def test_finetune__as_json(headstart: Callable, pictures: Path, tmp_path: Path) -> None:
    said = headstart(
        "finetune", pictures, *QUICK, "--regime", "output", "--out", tmp_path / "out", "--json"
    )
    found = json.loads(said.out)
    assert [row["name"] for row in found["arms"]] == ["linear SVM", "output"]
    assert said.err == ""
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == found


def test_trial__compares_with_basic(headstart: Callable, pictures: Path, tmp_path: Path) -> None:
    said = headstart(
        "augment", "trial", pictures, "--policies", "mixup:alpha=0.4,flip=0", "--size", 32,
        "--epochs", 1, "--seeds", 1, "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert said.code == 0, said
    found = json.loads(said.out)
    assert [row["name"] for row in found["arms"]] == ["basic", "mixup:alpha=0.4,flip=0"]
    assert found["reference"] == "basic"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--compare", "regime"), "--compare must be regimes or bn; got 'regime'. Did you mean"),
        (("--regime", "uper"), "'uper' is no regime"),
        (("--regime", "upper", "--tap", "nowhere"), "no tap 'nowhere'"),
        (("--tap", "blocks.3"), "--tap goes with --regime lower or upper"),
        (("--bn", "sorce"), "Did you mean 'source'"),
        (("--augment", "mixp"), "Did you mean 'mixup'"),
        (("--lr", "-1"), "lr must be a finite rate above 0"),
        (("--optimizer", "adm"), "Did you mean"),
        (("--bn", "batch", "--batch-size", "1"), "batch of 1"),
        (("--compare", "bn", "--backbone", "vgg16", "--weights", "none.pth"), "none.pth"),
    ],
)
def test_finetune__bad_options_are_one_line(
    fails: Callable, pictures: Path, tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    words = ("finetune", pictures, "--size", "32", "--quiet", "--out", tmp_path / "out", *options)
    assert says in fails(*words)


@pytest.mark.parametrize("policies", ["", "mixup,,cutmix", "mixup,mixup", "basic"])
def test_trial__policies_are_checked(fails: Callable, pictures: Path, policies: str) -> None:
    assert "--policies" in fails("augment", "trial", pictures, "--policies", policies)
