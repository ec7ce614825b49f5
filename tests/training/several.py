"""Trainings in as many processes as the environment says; a program for test_several.py.

``python several.py FOLDER '{"name": {"bn": "batch"}, ...}' [WHAT]`` writes what each settings came
to as FOLDER/<name>.safetensors, with the history in its header. WHAT is done meanwhile:

``kill``       process 1 is stopped with SIGKILL in the middle of the second epoch
``stop``       it is halted there, and so never answers
``interrupt``  both are sent SIGINT there, twice, as torchrun and a terminal do
``fail``       process 1 finds a fault of its own there
``differ``     process 1 is given another rate
``norm``       before all, batch normalisation over both is set against torch's over the whole batch
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from conftest import CLASSES, write_images
from headstart.backbones import load
from headstart.errors import HeadstartError
from headstart.training import TrainSettings, processes, train
from headstart.training.loop import Loop
from headstart.training.syncnorm import synced

BASE: dict[str, Any] = {"size_px": 32, "epochs": 2, "batch_size": 8, "optimizer": "momentum"}
RANK = int(os.environ.get("RANK", "0"))


def train_all(folder: Path, wanted: dict[str, dict[str, Any]], what: str = "") -> None:
    """Train each settings in turn, with a checkpoint for each."""
    records = write_images(folder / f"images-{RANK}", 32)
    if what == "norm":
        check_norm()
    for name, settings in wanted.items():
        options = {**BASE, **settings}
        device = options.pop("device", "cpu")
        if what == "differ" and RANK:
            options["lr"] = 0.123
        Loop._step = disturbed(what) if what else PLAIN  # type: ignore[method-assign]
        trained = train(
            load("timm:test_resnet", pretrained=False),
            records[:20],
            records[20:],
            CLASSES,
            TrainSettings(**options),
            cache=folder / "cache",
            folder=folder / name,
            device=device,
            progress=lambda stage, done, total: print(RANK, stage, done, total, flush=True),
        )
        if processes.current().is_first:
            state = {k: v.contiguous() for k, v in trained.network.state_dict().items()}
            history = json.dumps([dataclasses.asdict(epoch) for epoch in trained.history])
            facts = {"history": history, "is_cached": str(trained.is_cached)}
            save_file(state, folder / f"{name}.safetensors", metadata=facts)


PLAIN = Loop._step


def disturbed(what: str) -> Any:
    """A step of training in which something happens."""

    def step(self: Loop, indices: Any) -> None:
        if (self.position.epoch, self.position.step) == (2, 1):
            if what == "interrupt":
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            elif what in ("kill", "stop") and RANK == 1:
                os.kill(os.getpid(), signal.SIGKILL if what == "kill" else signal.SIGSTOP)
            elif what == "fail" and RANK == 1:
                raise HeadstartError("a fault of process 1")
        PLAIN(self, indices)

    return step


def check_norm() -> None:
    """Outputs, gradients and running statistics, in parts of 3 and 2 images, with large means."""
    everyone = processes.join("cpu")
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(5, 4, 6, 7, generator=generator) * 0.5 + torch.arange(4).view(4, 1, 1) * 10
    weights = torch.randn(whole.shape, generator=generator)
    start, end = everyone.part(0, len(whole))
    for options in ({}, {"momentum": None}, {"affine": False}):
        plain, own = (nn.BatchNorm2d(4, **options).train() for _ in range(2))
        if plain.affine:
            for layer in (plain, own):
                nn.init.constant_(layer.weight, 1.7)
                nn.init.constant_(layer.bias, -0.3)
        x, part = whole.clone().requires_grad_(), whole[start:end].clone().requires_grad_()
        for _ in range(2):
            expected = plain(x)
            with synced(own, everyone):
                found = own(part)
            (expected * weights).sum().backward()
            (found * weights[start:end]).sum().backward()
        close(found, expected[start:end])
        close(part.grad, x.grad[start:end])
        for name, buffer in plain.named_buffers():
            close(dict(own.named_buffers())[name], buffer)
        for name, parameter in plain.named_parameters():
            mine: Any = dict(own.named_parameters())[name].grad
            close(everyone.sum(mine), parameter.grad)


def close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def main() -> None:
    warnings.simplefilter("error")
    what = sys.argv[3] if len(sys.argv) > 3 else ""
    if what == "stop":
        processes.STEP_S = 4.0
    try:
        train_all(Path(sys.argv[1]), json.loads(sys.argv[2]), what)
    except HeadstartError as error:
        if not (error.is_shared and RANK):
            print(f"{RANK}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
