"""Checkpoints: whole, recognised, and refused in one line."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import save_file

from headstart.data import Record
from headstart.errors import RunError
from headstart.training import Epoch, TrainSettings
from headstart.training.checkpoints import (
    NAME,
    Checkpoint,
    Position,
    identify,
    load_checkpoint,
    save_checkpoint,
)

EPOCH = Epoch(
    epoch=1, train_loss=1 / 3, train_accuracy=0.5, val_loss=0.1, val_accuracy=1.0, lr=1e-3, seconds=2.0
)  # fmt: skip


def identity(records: list[Record], **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "arch": "timm:resnet18",
        "weights": "0" * 64,
        "settings": TrainSettings().to_dict(),
        "classes": ["a", "b"],
        "train": records[:4],
        "val": records[4:6],
        "head": [torch.zeros(2, 3), torch.zeros(2)],
    }
    return identify(**{**given, **changes})


def some(records: list[Record]) -> Checkpoint:
    position = Position(epoch=2, step=3, n_seen=7, loss_sum=0.1 + 0.2, history=[EPOCH])
    tensors = {"network.w": torch.randn(3, 4).T, "network.n": torch.tensor(5)}
    return Checkpoint(
        identity=identity(records), position=position, tensors=tensors, numbers={"ema_updates": 4}
    )


def test_checkpoint__comes_back_to_the_last_bit(records: list[Record], tmp_path: Path) -> None:
    saved = some(records)
    save_checkpoint(tmp_path, saved)
    found = load_checkpoint(tmp_path, identity(records))
    assert found is not None
    assert found.position == saved.position
    assert found.numbers == saved.numbers
    assert all(torch.equal(found.tensors[k], v) for k, v in saved.tensors.items())
    assert sorted(p.name for p in tmp_path.iterdir()) == [NAME]


def test_load_checkpoint__one_of_0_1_without_validation_images(
    records: list[Record], tmp_path: Path
) -> None:
    """Its best value was written as NaN, and figures that were not measured as null."""
    epoch = {**dataclasses.asdict(EPOCH), "val_loss": None, "val_accuracy": None}
    position = {
        "epoch": 2, "step": 0, "n_seen": 0, "loss_sum": 0.0, "n_right": 0, "seconds": 0.0,
        "best_epoch": 1, "best_value": math.nan, "is_done": False, "history": [epoch],
    }  # fmt: skip
    header = {"schema": 1, "identity": identity(records), "position": position, "numbers": {}}
    save_file({"a": torch.zeros(1)}, tmp_path / NAME, metadata={"headstart": json.dumps(header)})
    found = load_checkpoint(tmp_path, identity(records))
    assert found is not None
    assert math.isnan(found.position.best_value)
    [again] = found.position.history
    assert math.isnan(again.val_loss)
    assert again.train_loss == EPOCH.train_loss


def test_load_checkpoint__none_where_there_is_none(records: list[Record], tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, identity(records)) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arch": "timm:vgg11"}, "architecture 'timm:resnet18' there and 'timm:vgg11' here"),
        ({"settings": TrainSettings(lr=0.5).to_dict()}, "lr 0.0004 there and 0.5 here"),
        ({"weights": "1" * 64}, "other weights"),
        ({"classes": ["a", "c"]}, "other classes"),
        ({"head": [torch.ones(2, 3), torch.zeros(2)]}, "other initial output layer"),
        ({"train": []}, "other training images"),
    ],
)
def test_load_checkpoint__of_another_run_says_what_differs(
    changes: dict[str, Any], said: str, records: list[Record], tmp_path: Path
) -> None:
    save_checkpoint(tmp_path, some(records))
    with pytest.raises(RunError, match=said) as caught:
        load_checkpoint(tmp_path, identity(records, **changes))
    assert "\n" not in str(caught.value)


def test_identify__a_changed_label_is_another_run(records: list[Record]) -> None:
    changed = [dataclasses.replace(records[0], label="other"), *records[1:4]]
    assert identity(records) != identity(records, train=changed)


@pytest.mark.parametrize("damage", [b"", b"\x00" * 50, b"{}"])
def test_load_checkpoint__a_damaged_one_is_told(
    damage: bytes, records: list[Record], tmp_path: Path
) -> None:
    (tmp_path / NAME).write_bytes(damage)
    with pytest.raises(RunError, match="damaged or not a checkpoint"):
        load_checkpoint(tmp_path, identity(records))


def test_load_checkpoint__cut_short_is_told(records: list[Record], tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, some(records))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(tmp_path, identity(records))


@pytest.mark.parametrize(
    "header",
    [
        '{"schema": 1}', '{"schema": 1, "identity": 3, "numbers": {}, "position": {}}',
        '{"schema": 1, "identity": {}, "numbers": {}, "position": {"history": [], "x": 1}}',
        '{"schema": 1, "identity": {}, "position": {"history": []}}', "[]", "[" * 100_000,
        '{"schema": 1, "identity": {"settings": 3}, "numbers": {}, "position": POSITION}',
    ],
)  # fmt: skip
def test_load_checkpoint__a_header_of_another_form_is_told(
    header: str, records: list[Record], tmp_path: Path
) -> None:
    position = json.dumps(msgspec.to_builtins(some(records).position))
    header = header.replace("POSITION", position)
    save_file({"a": torch.zeros(1)}, tmp_path / NAME, metadata={"headstart": header})
    with pytest.raises(RunError, match="damaged or not a checkpoint"):
        load_checkpoint(tmp_path, identity(records))


def test_load_checkpoint__a_format_that_would_steer_a_terminal_is_escaped(
    records: list[Record], tmp_path: Path
) -> None:
    header = json.dumps({"schema": "\x1b[31m"})
    save_file({"a": torch.zeros(1)}, tmp_path / NAME, metadata={"headstart": header})
    with pytest.raises(RunError, match="has format") as caught:
        load_checkpoint(tmp_path, identity(records))
    assert str(caught.value).isprintable()
