"""Whole trainings: every regime, resumed, killed, refused."""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from headstart.backbones import Backbone
from headstart.data import Record
from headstart.errors import DataError, InputError, RunError
from headstart.features.engines import choose_engine
from headstart.training import (
    DivergedError,
    Epoch,
    Trained,
    TrainSettings,
    train,
    training,
)
from headstart.training import loop as loop_module
from headstart.training.batches import ActivationBatches, Images, PixelBatches
from headstart.training.checkpoints import NAME
from headstart.training.training import PREPARE
from pretend_gpu import PretendFabric, gpu

CLASSES = ("blue", "red")
BASE: dict[str, Any] = {"size_px": 32, "epochs": 2, "batch_size": 8, "lr": 3e-3}
REGIMES: dict[str, dict[str, Any]] = {
    "scratch": {},
    "all": {},
    "lower": {"tap": "layer2"},
    "upper": {"tap": "layer2"},
    "output": {},
}


@pytest.fixture
def run(tiny_resnet: Backbone, records: list[Record], cache: Path) -> Any:
    """`train` on 20 images, validated on 12."""

    def start(settings: dict[str, Any], **options: Any) -> Trained:
        return train(
            options.pop("backbone", tiny_resnet),
            options.pop("records", records[:20]),
            options.pop("val", records[20:]),
            CLASSES,
            TrainSettings(**{**BASE, **settings}),
            cache=cache,
            **{"device": "cpu", **options},
        )

    return start


def weights(trained: Trained) -> dict[str, torch.Tensor]:
    return trained.network.state_dict()


def assert_same(one: Trained, other: Trained) -> None:
    """Equal to the last bit, but for the seconds."""
    theirs = weights(other)
    assert all(torch.equal(value, theirs[name]) for name, value in weights(one).items())
    histories = [[dataclasses.replace(e, seconds=0.0) for e in t.history] for t in (one, other)]
    assert histories[0] == histories[1]
    assert one.best_epoch == other.best_epoch


@pytest.mark.parametrize("regime", REGIMES)
def test_train__each_regime_trains_its_part(regime: str, run: Any, tiny_resnet: Backbone) -> None:
    trained = run({"regime": regime, **REGIMES[regime], "lr": 1e-2})
    assert [e.epoch for e in trained.history] == [1, 2]
    assert trained.is_cached == (regime in ("upper", "output"))
    own = tiny_resnet.module.state_dict()
    moved = {
        name.removeprefix("body.").split(".")[0]
        for name, value in weights(trained).items()
        if name.startswith("body.") and not torch.equal(value, own[name.removeprefix("body.")])
    }
    lower, upper = {"conv1", "bn1", "layer1", "layer2"}, {"layer3", "layer4"}
    expected = {"lower": lower, "upper": upper, "output": set()}.get(regime, lower | upper)
    assert moved == expected


def test_train__learns(run: Any) -> None:
    seen: list[tuple[str, int, int]] = []
    settings = {"epochs": 6, "lr": 1e-2, "bn": "batch", "keep": "last"}
    trained = run(settings, progress=lambda *stage: seen.append(stage))
    assert seen[0] == (PREPARE, 0, 1)  # from the first moment, and up to the first step
    first = next(i for i, (stage, _, _) in enumerate(seen) if stage == "train")
    assert seen[first - 1] == (PREPARE, 1, 1)
    assert trained.history[-1].val_accuracy >= 0.9
    assert trained.history[-1].val_loss < trained.history[0].val_loss
    assert sum(e.seconds for e in trained.history) <= trained.seconds


@pytest.mark.parametrize("policy", ["none", "mixup", "augmix"])
def test_train__takes_every_kind_of_augmentation(policy: str, run: Any) -> None:
    trained = run({"augment": policy, "regime": "upper", "tap": "layer2", "epochs": 1})
    assert trained.is_cached == (policy != "augmix")
    assert np.isfinite(trained.history[0].train_loss)


@pytest.mark.parametrize("bn", ["batch", "reestimate", "adabn", "frozen-affine", "affine-only"])
def test_train__takes_every_policy_of_batch_normalisation(
    bn: str, run: Any, tiny_resnet: Backbone
) -> None:
    trained = run({"bn": bn, "epochs": 1})
    own, found = tiny_resnet.module.state_dict(), weights(trained)
    has_moved = {
        what: not torch.equal(found[f"body.bn1.{what}"], own[f"bn1.{what}"])
        for what in ("weight", "running_mean")
    }
    assert has_moved == {"weight": bn != "frozen-affine", "running_mean": bn != "frozen-affine"}
    conv = "conv1.weight" if "conv1.weight" in own else "conv1.0.weight"
    assert torch.equal(found[f"body.{conv}"], own[conv]) == (bn == "affine-only")


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "momentum", "bn": "batch", "dropout": 0.3},
        {"ema_decay": 0.9, "clip_norm": 0.5, "wise_ft": 0.5, "augment": "cutmix"},
        {"regime": "upper", "tap": "layer2", "gradual_unfreezing": 1, "l2_sp": 0.01},
        {"regime": "output", "schedule": "one-cycle", "optimizer": "rmsprop", "keep": "last"},
    ],
)
def test_train__resumed_equals_uninterrupted(
    settings: dict[str, Any], run: Any, tmp_path: Path
) -> None:
    class StopError(Exception):
        pass

    def stop_after_two(history: tuple[Epoch, ...]) -> None:
        if len(history) == 2:
            raise StopError

    settings = {"epochs": 4, **settings}
    whole = run(settings)
    with pytest.raises(StopError):
        run(settings, folder=tmp_path, on_epoch=stop_after_two)
    assert_same(run(settings, folder=tmp_path), whole)


def test_train__a_finished_run_gives_its_result_again(run: Any, tmp_path: Path) -> None:
    first = run({"wise_ft": 0.7}, folder=tmp_path)
    steps: list[str] = []
    again = run({"wise_ft": 0.7}, folder=tmp_path, progress=lambda s, d, t: steps.append(s))
    assert "train" not in steps
    assert_same(again, first)


SCRIPT = """
import sys
from pathlib import Path
import test_training
from conftest import write_images
from headstart.backbones import load
records = write_images(Path(sys.argv[1]), 32)
from headstart.training import TrainSettings, train
settings = TrainSettings(**test_training.BASE | {"epochs": 15, "bn": "batch"})
import signal
def interrupt(stage, done, total):
    if sys.argv[4:] == ["interrupt"] and (stage, done) == ("train", 2):
        signal.raise_signal(signal.SIGINT)
before = signal.getsignal(signal.SIGINT)
try:
    train(load("timm:test_resnet", pretrained=False), records[:20], records[20:],
          test_training.CLASSES, settings, cache=Path(sys.argv[2]), device="cpu",
          folder=Path(sys.argv[3]), progress=interrupt)
except KeyboardInterrupt:
    sys.exit(130 if signal.getsignal(signal.SIGINT) is before else 1)
"""


def test_train__interrupted_in_an_epoch_resumes_at_that_step(
    make_images: Any, tmp_path: Path, tiny_resnet: Backbone, cache: Path
) -> None:
    folder = tmp_path / "run"
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "i"), str(cache), str(folder), "interrupt"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        check=False,
    )
    assert ended.returncode == 130
    records = make_images(tmp_path / "i", 32)
    settings = TrainSettings(**BASE | {"epochs": 15, "bn": "batch"})
    sides = (records[:20], records[20:], CLASSES, settings)
    steps: list[int] = []
    resumed = train(
        tiny_resnet, *sides, cache=cache, device="cpu", folder=folder,
        progress=lambda s, d, t: steps.append(d) if s == "train" else None,
    )  # fmt: skip
    assert steps[0] == 3
    assert_same(resumed, train(tiny_resnet, *sides, cache=cache, device="cpu"))


@pytest.mark.slow
def test_train__killed_resumes(
    make_images: Any, tmp_path: Path, tiny_resnet: Backbone, cache: Path
) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "i"), str(cache), str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    limit = time.monotonic() + 120
    while not (folder / NAME).exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.02)
    time.sleep(0.3)
    process.kill()
    process.wait()
    assert (folder / NAME).exists()
    settings = TrainSettings(**BASE | {"epochs": 15, "bn": "batch"})
    records = make_images(tmp_path / "i", 32)
    sides = (records[:20], records[20:], CLASSES, settings)
    done: list[int] = []
    resumed = train(
        tiny_resnet, *sides, cache=cache, device="cpu", folder=folder,
        progress=lambda s, d, t: done.append(d) if s == "train" else None,
    )  # fmt: skip
    assert not done or done[0] > 1
    assert_same(resumed, train(tiny_resnet, *sides, cache=cache, device="cpu"))


def test_train__refuses_the_checkpoint_of_other_settings(run: Any, tmp_path: Path) -> None:
    run({"epochs": 1}, folder=tmp_path)
    with pytest.raises(RunError, match="epochs 1 there and 2 here"):
        run({"epochs": 2}, folder=tmp_path)


def test_train__refuses_the_checkpoint_of_another_architecture(
    run: Any, tmp_path: Path, tiny: Backbone
) -> None:
    run({"epochs": 1}, folder=tmp_path)
    with pytest.raises(RunError, match="architecture 'timm:test_resnet"):
        run({"epochs": 1}, folder=tmp_path, backbone=tiny)


def test_train__a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(
    run: Any, tmp_path: Path
) -> None:
    wild = {"optimizer": "sgd", "lr": 1e30, "clip_norm": None, "warmup_epochs": 0.0}
    with pytest.raises(
        DivergedError, match=r"step \d+ of 3: the learning rate 1e\+30 is"
    ) as caught:
        run(wild, folder=tmp_path)
    assert "\n" not in str(caught.value)


def test_train__a_batch_of_one_has_no_statistics(run: Any) -> None:
    with pytest.raises(InputError, match=r"policy 'batch'.* batch of 1"):
        run({"bn": "batch", "batch_size": 1})
    assert run({"bn": "batch", "batch_size": 1, "regime": "output", "epochs": 1})


def test_train__a_class_without_training_images_is_told(run: Any, records: list[Record]) -> None:
    with pytest.raises(DataError, match="class 'red' has no training image"):
        run({}, records=records[:20:2])
    odd = dataclasses.replace(records[0], label="green")
    with pytest.raises(DataError, match="label 'green'"):
        run({}, val=[odd])


def test_train__patience_needs_validation_images(run: Any) -> None:
    with pytest.raises(InputError, match="patience"):
        run({"patience": 1}, val=[])
    trained = run({"epochs": 1}, val=[])
    assert np.isnan(trained.history[0].val_loss)


def test_train__patience_stops_and_the_best_epoch_is_kept(run: Any, tmp_path: Path) -> None:
    trained = run({"epochs": 12, "lr": 0.5, "clip_norm": None, "patience": 2, "watch": "accuracy"})
    best = max(e.val_accuracy for e in trained.history)
    assert trained.history[trained.best_epoch - 1].val_accuracy == best
    assert len(trained.history) <= max(trained.best_epoch + 2, 3)


def test_train__gradual_unfreezing_begins_with_the_output_layer(
    run: Any, tiny_resnet: Backbone
) -> None:
    trained = run({"gradual_unfreezing": 5, "epochs": 1, "weight_decay": 0.1})
    own = tiny_resnet.module.state_dict()
    found = weights(trained)
    assert all(torch.equal(found[f"body.{n}"], v) for n, v in own.items() if f"body.{n}" in found)


def test_train__micro_batches_change_nothing_but_rounding(run: Any) -> None:
    settings = {"epochs": 1, "optimizer": "sgd", "augment": "none", "warmup_epochs": 0.0}
    whole = weights(run({**settings, "micro_batch": 8}))
    parts = weights(run({**settings, "micro_batch": 3}))
    assert all(torch.allclose(parts[n].float(), v.float(), atol=1e-5) for n, v in whole.items())


def test_train__kept_activations_give_what_running_the_frozen_part_gives(run: Any) -> None:
    settings = {"regime": "output", "augment": "none", "optimizer": "sgd"}
    kept = run(settings)
    fresh = run({**settings, "activations_mib": 0})
    assert kept.is_cached
    assert not fresh.is_cached
    for name, value in weights(kept).items():
        assert torch.allclose(weights(fresh)[name], value, atol=1e-4), name


def test_train__leaves_the_global_generator_and_threads_alone(run: Any) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    run({"epochs": 1})
    assert torch.equal(torch.rand(2), expected)


def test_train__in_bfloat16(run: Any) -> None:
    trained = run({"precision": "bf16-mixed", "epochs": 1})
    assert weights(trained)["head.linear.weight"].dtype == torch.float32


def test_train__writes_a_long_epoch_down_in_between(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "CHECKPOINT_EVERY_S", 0.0)

    class StopError(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("train", 3):
            raise StopError

    with pytest.raises(StopError):
        run({}, folder=tmp_path, progress=stop)
    steps: list[int] = []
    run({}, folder=tmp_path, progress=lambda s, d, t: steps.append(d) if s == "train" else None)
    assert steps[0] == 3


class _Reads(TorchDispatchMode):
    """Counts values of floating-point tensors that Python asks for, which waits for a GPU."""

    n = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_floating_point():
            self.n += 1
        return func(*args, **(kwargs or {}))


def _as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses are read every three steps, and at the end of an epoch."""
    monkeypatch.setattr(training, "Loop", functools.partial(loop_module.Loop, check_every=3))


@pytest.mark.parametrize("augment", ["basic", "cutmix"])
def test_train__no_step_waits_for_its_loss(
    run: Any, monkeypatch: pytest.MonkeyPatch, augment: str
) -> None:
    # Adam reads the numbers of its steps, which it keeps on the CPU.
    settings = {"batch_size": 4, "augment": augment, "clip_norm": 1.0, "optimizer": "sgd"}
    expected = run(settings)
    _as_on_a_gpu(monkeypatch)
    reads, step = _Reads(), loop_module.Loop._step

    def watched(self: Any, indices: Any) -> None:
        with reads:
            step(self, indices)

    monkeypatch.setattr(loop_module.Loop, "_step", watched)
    assert_same(run(settings), expected)
    assert reads.n == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"augment": "cutmix", "clip_norm": 1.0, "ema_decay": 0.9, "bn": "reestimate"},
        {"regime": "upper", "tap": "layer2", "optimizer": "momentum", "l2_sp": 0.01},
    ],
)
def test_train__no_step_waits_for_a_gpu(
    run: Any, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels or activations are there, and nothing mixes what is there and here."""
    expected = run({**settings, "epochs": 1})
    monkeypatch.setattr(training, "make_fabric", lambda *_, **__: PretendFabric())
    monkeypatch.setattr(training, "pick_device", lambda device: device)
    monkeypatch.setattr(
        "headstart.training.activations.choose_engine",
        lambda *a, **k: choose_engine(*a, **{**k, "device": "cpu"}),
    )
    step, waited = loop_module.Loop._step, []

    def watched(self: Any, indices: Any) -> None:
        n = len(mode.reads)
        step(self, indices)
        waited.extend(mode.reads[n:])

    monkeypatch.setattr(loop_module.Loop, "_step", watched)
    with gpu() as mode:
        trained = run({**settings, "epochs": 1}, device="cuda")
    assert waited == []
    assert mode.reads
    assert {p.device.type for p in trained.network.parameters()} == {"cpu"}
    assert trained.history[0].train_loss == pytest.approx(expected.history[0].train_loss, rel=1e-3)
    assert trained.history[0].val_loss == pytest.approx(expected.history[0].val_loss, rel=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bf16-mixed"])
@pytest.mark.parametrize("regime", ["all", "output"])
def test_train__on_a_gpu_is_near_the_cpu(run: Any, regime: str, precision: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    settings = {"regime": regime, "precision": precision, "augment": "basic", "clip_norm": 1.0}
    expected, found = run(settings), run(settings, device="cuda")
    for one, other in zip(found.history, expected.history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=0.05)
        assert one.val_loss == pytest.approx(other.val_loss, rel=0.05)


def test_train__a_loss_that_is_read_late_still_stops(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _as_on_a_gpu(monkeypatch)
    wild = {"optimizer": "sgd", "lr": 1e30, "clip_norm": None, "warmup_epochs": 0.0}
    with pytest.raises(DivergedError, match=r"epoch 1, step [23] of 3"):
        run(wild, folder=tmp_path)
    assert not (tmp_path / NAME).exists()


def test_batches__on_a_device_are_the_same(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels and activations are placed where they fit; the CPU stands in for a GPU."""
    placed: list[type] = []

    def on_device(batches: Any, images: Any, device: torch.device) -> tuple[Any, Any]:
        moved = batches.on(device, 10**9)
        placed.append(type(moved))
        return moved, moved if batches is images else images

    expected = [run({"epochs": 1}), run({"epochs": 1, "regime": "output"})]
    monkeypatch.setattr(training, "_on_device", on_device)
    found = [run({"epochs": 1}), run({"epochs": 1, "regime": "output"})]
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)
    assert placed == [PixelBatches, ActivationBatches]


def test_on__data_that_do_not_fit_stay() -> None:
    def images(n: int) -> Images:
        return Images(pixels=torch.zeros(n, 3, 8, 8, dtype=torch.uint8), labels=torch.zeros(n))

    meta = torch.device("meta")
    few = images(2)
    assert few.on(meta, few.n_bytes).pixels.device == meta
    assert few.on(meta, few.n_bytes - 1) is few
    values = torch.zeros(1, 2, 5)
    kept = ActivationBatches(values=values, targets=values, val_values=values, val_targets=values)
    assert kept.on(meta, 160).values.device == meta
    assert kept.on(meta, 159) is kept


def test_train__an_image_of_weight_two_counts_as_two(run: Any, records: list[Record]) -> None:
    """In one step of all images: the same loss, and the same output layer."""
    some = records[:7]
    twice = [dataclasses.replace(r, weight=2.0) if i < 3 else r for i, r in enumerate(some)]
    nothing = dataclasses.replace(records[8], weight=0.0)
    settings = {
        "regime": "output",
        "epochs": 1,
        "batch_size": 32,
        "augment": "none",
        "keep": "last",
    }
    settings |= {"optimizer": "sgd", "label_smoothing": 0.1, "views": 1}
    weighted = run(settings, records=[*twice, nothing], val=[*twice, nothing])
    repeated = run(settings, records=[*some, *some[:3]], val=[*some, *some[:3]])
    for name in ("train_loss", "val_loss"):
        one, other = (getattr(t.history[0], name) for t in (weighted, repeated))
        assert one == pytest.approx(other, rel=1e-5)
    theirs = weights(repeated)
    for name, value in weights(weighted).items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-6)
    plain = run(settings, records=some, val=some)
    assert plain.history[0].train_loss != pytest.approx(repeated.history[0].train_loss, rel=1e-5)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_train__refuses_a_weight_that_is_none(
    weight: float, run: Any, records: list[Record]
) -> None:
    wrong = dataclasses.replace(records[3], weight=weight)
    with pytest.raises(DataError, match=f"{wrong.name} has the weight .* 0 or more"):
        run({}, records=[*records[:3], wrong])


def test_train__validates_by_weights(run: Any, records: list[Record]) -> None:
    """Where one image outweighs all others, accuracy is whether it is right."""
    settings = {"epochs": 1, "lr": 1e-7, "watch": "accuracy"}
    [plain] = run(settings).history
    assert 0.1 < plain.val_accuracy < 0.9  # nothing is learned
    found = []
    for label in CLASSES:
        val = list(records[20:])
        i = next(i for i, r in enumerate(val) if r.label == label)
        val[i] = dataclasses.replace(val[i], weight=1e6)
        [epoch] = run(settings, val=val).history
        found.append(epoch.val_accuracy)
    assert sorted(found) == pytest.approx([0, 1], abs=1e-4)
