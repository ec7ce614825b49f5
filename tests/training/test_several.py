"""Trainings in two processes, really started: equal to one process, and what happens when one ends."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from headstart.backbones import Backbone
from headstart.data import Record
from headstart.training import Trained, TrainSettings, train
from headstart.training.checkpoints import NAME
from headstart.training.launching import launch

PROGRAM = str(Path(__file__).with_name("several.py"))
# As in several.py. Plain momentum: Adam divides by gradients' sizes, and magnifies their rounding.
BASE: dict[str, Any] = {"size_px": 32, "epochs": 2, "batch_size": 8, "optimizer": "momentum"}
QUICK = {"mixed": {"augment": "mixup", "batch_size": 7, "bn": "batch", "epochs": 1}}
SLOW: dict[str, dict[str, Any]] = {
    "all": {},
    "uneven": {"batch_size": 7, "optimizer": "adamw", "lr": 1e-3},
    "batch": {"bn": "batch"},
    "scratch": {"regime": "scratch"},
    "micro": {"bn": "batch", "micro_batch": 5, "batch_size": 20, "augment": "cutmix"},
    "accumulated": {"micro_batch": 4, "batch_size": 20, "clip_norm": 0.1},
    "reestimate": {"bn": "reestimate"},
    "adabn": {"bn": "adabn", "augment": "randaugment"},
    "affine": {"bn": "affine-only", "ema_decay": 0.9, "wise_ft": 0.5},
    "upper": {"regime": "upper", "tap": "layer2"},
    "upper-mixup": {"regime": "upper", "tap": "layer2", "augment": "mixup"},
    "upper-fresh": {"regime": "upper", "tap": "layer2", "bn": "batch", "views": 0},
    "output": {"regime": "output"},
    "lower": {"regime": "lower", "tap": "layer2", "augment": "augmix"},
    "gradual": {"gradual_unfreezing": 1, "l2_sp": 0.01},
}


@pytest.fixture
def alone(tiny_resnet: Backbone, records: list[Record], cache: Path) -> Callable[..., Trained]:
    """The same training in this process."""

    def start(settings: dict[str, Any], **options: Any) -> Trained:
        wanted = {k: v for k, v in {**BASE, **settings}.items() if k != "device"}
        return train(
            tiny_resnet, records[:20], records[20:], ("blue", "red"), TrainSettings(**wanted),
            cache=cache, device=settings.get("device", "cpu"), **options,
        )  # fmt: skip

    return start


def run(folder: Path, wanted: dict[str, dict[str, Any]], *what: str, n: int = 2) -> int:
    """Train in `n` processes; the exit code."""
    return launch([sys.executable, PROGRAM, str(folder), json.dumps(wanted), *what], n)


def state(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(folder / f"{name}.safetensors")


def history(folder: Path, name: str) -> list[dict[str, float]]:
    """Without the seconds."""
    with safe_open(folder / f"{name}.safetensors", framework="pt") as file:
        epochs: list[dict[str, float]] = json.loads(file.metadata()["history"])
    return [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in epochs]


def assert_equal_up_to_rounding(folder: Path, name: str, expected: Trained) -> None:
    found, theirs = state(folder, name), expected.network.state_dict()
    assert found.keys() == theirs.keys()
    for key, value in theirs.items():
        assert torch.allclose(found[key], value, rtol=1e-4, atol=1e-5), (name, key)
    for one, epoch in zip(history(folder, name), expected.history, strict=True):
        assert one == pytest.approx(
            {k: v for k, v in dataclasses.asdict(epoch).items() if k in one}, rel=1e-5
        )


def test_train__two_processes_end_as_one(
    tmp_path: Path, alone: Callable[..., Trained], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, QUICK, "norm") == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert {line[0] for line in out.splitlines()} == {"0"}  # the first alone shows progress
    for name, settings in QUICK.items():
        assert_equal_up_to_rounding(tmp_path, name, alone(settings))


@pytest.mark.slow
def test_train__every_kind_of_training_in_two_processes_ends_as_in_one(
    tmp_path: Path, alone: Callable[..., Trained]
) -> None:
    assert run(tmp_path, SLOW) == 0
    for name, settings in SLOW.items():
        expected = alone(settings)
        assert_equal_up_to_rounding(tmp_path, name, expected)
        with safe_open(tmp_path / f"{name}.safetensors", framework="pt") as file:
            assert file.metadata()["is_cached"] == str(expected.is_cached)


@pytest.mark.slow
def test_train__three_processes_end_as_one(tmp_path: Path, alone: Callable[..., Trained]) -> None:
    wanted = {name: SLOW[name] for name in ("micro", "upper")} | {"small": {"batch_size": 4}}
    assert run(tmp_path, wanted, n=3) == 0
    for name, settings in wanted.items():
        assert_equal_up_to_rounding(tmp_path, name, alone(settings))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["kill", "interrupt", "fail"])
def test_train__ended_in_an_epoch_goes_on_to_the_same_end(
    what: str, tmp_path: Path, alone: Callable[..., Trained], capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = {"it": {"bn": "batch", "epochs": 3, "ema_decay": 0.9}}
    began = time.monotonic()
    code = run(tmp_path / "ended", wanted, what)
    assert time.monotonic() - began < 200  # no waiting for a time-out of half an hour
    err = capfd.readouterr().err.splitlines()
    assert code == (130 if what == "interrupt" else 1)
    lost = "0: LostError: process 0 of 2 has lost the others: one was stopped or failed"
    assert (
        sorted(line[: len(lost)] for line in err)
        == {
            "kill": [lost],
            "interrupt": [],
            "fail": [lost, "1: HeadstartError: a fault of process 1"],
        }[what]
    )
    assert (tmp_path / "ended" / "it" / NAME).exists()
    assert not (tmp_path / "ended" / "it.safetensors").exists()
    assert run(tmp_path / "ended", wanted) == 0
    steps = [line.split()[2] for line in capfd.readouterr().out.splitlines() if " train " in line]
    # Step 5 is the one in hand: Ctrl-C lets it end, a kill takes it back to the end of the epoch.
    assert steps[0] == ("6" if what == "interrupt" else "4")
    assert run(tmp_path / "whole", wanted) == 0
    ended, whole = state(tmp_path / "ended", "it"), state(tmp_path / "whole", "it")
    assert all(torch.equal(ended[key], value) for key, value in whole.items())
    assert history(tmp_path / "ended", "it") == history(tmp_path / "whole", "it")
    assert_equal_up_to_rounding(tmp_path / "ended", "it", alone(wanted["it"]))


@pytest.mark.slow
def test_train__goes_on_in_one_process_where_two_were_stopped(
    tmp_path: Path, alone: Callable[..., Trained]
) -> None:
    wanted = {"it": {"bn": "batch", "epochs": 3}}
    assert run(tmp_path, wanted, "interrupt") == 130
    resumed, whole = alone(wanted["it"], folder=tmp_path / "it"), alone(wanted["it"])
    theirs = whole.network.state_dict()
    for key, value in resumed.network.state_dict().items():
        assert torch.allclose(value, theirs[key], rtol=1e-4, atol=1e-5), key


@pytest.mark.slow
def test_train__a_process_that_does_not_answer_ends_the_others(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, {"it": {}}, "stop") == 1
    err = capfd.readouterr().err
    assert err.startswith("0: LostError: process 0 of 2 has lost the others")
    assert err.count("\n") == 1


@pytest.mark.slow
def test_train__killed_under_torchrun_leaves_one_line(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        PROGRAM, str(tmp_path), json.dumps({"it": {}}),
    ]  # fmt: skip
    ended = subprocess.run(
        [*command, "kill"], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert ended.returncode != 0
    assert ended.stderr.count("LostError: process 0 of 2 ") == 1
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert (tmp_path / "it.safetensors").exists()


@pytest.mark.slow
def test_train__processes_that_train_different_things_are_told_apart(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, {"it": {"lr": 0.1}}, "differ") == 2
    assert capfd.readouterr().err == (
        "0: RunError: the processes train different things: lr 0.123 there and 0.1 here (there: "
        "process 1, here: process 0). Start all with the same command, data and version\n"
    )


@pytest.mark.slow
def test_train__a_batch_smaller_than_the_processes_is_refused_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, {"it": {"batch_size": 1}}) == 2
    assert capfd.readouterr().err == (
        "0: InputError: a batch of 1 cannot be shared by 2 processes: raise the batch size, or "
        "start fewer processes\n"
    )


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_train__two_gpus_end_as_one(tmp_path: Path, alone: Callable[..., Trained]) -> None:
    wanted = {
        name: {**SLOW[name], "device": "cuda"}
        for name in ("all", "batch", "micro", "upper", "reestimate")
    }
    assert run(tmp_path, wanted) == 0
    for name, settings in wanted.items():
        expected = alone(settings)
        for key, value in expected.network.state_dict().items():
            assert torch.allclose(state(tmp_path, name)[key], value, atol=1e-3), (name, key)
