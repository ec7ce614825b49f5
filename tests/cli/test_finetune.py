from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from headstart.backbones import load
from headstart.cli.curves import rate_lines
from headstart.training.rates import RangeTest

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


def test_finetune__leaves_a_run_that_predicts(
    headstart: Callable, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("finetune", pictures, *QUICK, "--regime", "output", "--out", out)
    said = headstart(*words, "--set", "label_smoothing=0", "--set", "schedule=one-cycle")
    assert said.code == 0, said
    assert "epoch 1: loss" in said.out
    assert "This run predicts with the network" in said.out
    assert "1 epoch cannot be judged" in said.out
    assert "epoch 1: loss" in said.err
    training = json.loads((out / "run.json").read_text())["training"]
    assert (training["label_smoothing"], training["schedule"]) == (0, "one-cycle")
    page = (out / "report.html").read_text()
    assert "Is it worth it?" in page or "is it worth it?" in page
    assert "://" not in page.replace("http://www.w3.org", "")
    made = json.loads(headstart("predict", out, pictures / "dark" / "1.png", "--json").out)
    assert made[0]["label"] in ("dark", "bright")
    again = headstart(*words)
    assert again.code == 2
    assert "add --force" in again.err


def test_finetune__the_command_in_run_json_repeats_it(
    headstart: Callable, pictures: Path, tmp_path: Path
) -> None:
    told = []
    words: list[object] = [
        "finetune", pictures, *QUICK, "--regime", "upper", "--tap", "blocks.6", "--lr", "0.001",
        "--set", "ema_decay=0.9", "--set", "clip_norm=null", "--random-head", "--seed", "4",
    ]  # fmt: skip
    for name in ("first", "second"):
        said = headstart(*words, "--out", tmp_path / name, "--json")
        assert said.code == 0, said
        assert said.err == ""
        metrics = json.loads(said.out)
        told.append((metrics["test"], metrics["finetuning"]["settings"]))
        run = json.loads((tmp_path / name / "run.json").read_text())
        words = [*shlex.split(run["command"])[1:]]
        assert words[0] == "finetune"
    assert told[0] == told[1]


def test_finetune__find_rate_trains_nothing(
    headstart: Callable, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("finetune", pictures, "--size", "32", "--regime", "output", "--random-head")
    said = headstart(*words, "--find-rate", "--json")
    assert said.code == 0, said
    found = json.loads(said.out)
    assert found["rates"][0] == pytest.approx(1e-6)
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"])
    assert list(tmp_path.iterdir()) == []
    shown = "\n".join(rate_lines(RangeTest(**{**found, "suggestion": 1e-3, "steepest": 2e-3,
                                               "lowest": 1e-2})))  # fmt: skip
    assert "try 0.001" in shown
    assert "none is suggested" in rate_lines(RangeTest(**{**found, "suggestion": None}))[-1]


def test_views__are_compared_with_the_centre_crop(
    headstart: Callable, pictures: Path, tmp_path: Path
) -> None:
    said = headstart(
        "augment", "views", pictures, "--size", 32, "--views", 3, "--seeds", 1,
        "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert said.code == 0, said
    found = json.loads(said.out)
    assert [r["name"] for r in found["arms"]] == ["centre crop", "views pooled", "views as rows"]
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
        (("--regime", "uper"), "got 'uper'. Did you mean 'upper'"),
        (("--regime", "upper", "--tap", "nowhere"), "no tap 'nowhere'"),
        (("--tap", "blocks.3"), "--tap goes with --regime lower or upper"),
        (("--bn", "sorce"), "Did you mean 'source'"),
        (("--augment", "mixp"), "Did you mean 'mixup'"),
        (("--set", "label_smoting=0"), "Did you mean 'label_smoothing'"),
        (("--set", "dropout"), "--set takes NAME=VALUE"),
        (("--set", "dropout=much"), "dropout must lie in [0, 1), got 'much'"),
        (("--find-rate", "--compare", "bn"), "--find-rate and --compare exclude each other"),
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


def test_compare_bn__a_network_without_batch_normalisation_says_so(
    fails: Callable, pictures: Path, tmp_path: Path
) -> None:
    net = load("timm:test_vit", pretrained=False)
    save_file(net.module.state_dict(), tmp_path / "vit.safetensors")
    words = ("finetune", pictures, "--compare", "bn", "--quiet", "--arch", "timm:test_vit")
    said = fails(*words, "--weights", tmp_path / "vit.safetensors")
    assert "has no BatchNorm" in said


@pytest.mark.parametrize("n_views", [1, 65])
def test_views__their_number_is_checked(fails: Callable, pictures: Path, n_views: int) -> None:
    assert "--views must be from 2 to 64" in fails("augment", "views", pictures, "--views", n_views)


@pytest.mark.parametrize("policies", ["", "mixup,,cutmix", "mixup,mixup", "basic"])
def test_trial__policies_are_checked(fails: Callable, pictures: Path, policies: str) -> None:
    assert "--policies" in fails("augment", "trial", pictures, "--policies", policies)
