"""Epochs as JSON."""

from __future__ import annotations

import math

import msgspec

from headstart.training import Epoch


def test_epoch__survives_json_with_what_was_not_measured() -> None:
    epoch = Epoch(
        epoch=1, train_loss=0.5, train_accuracy=0.75, val_loss=math.nan, val_accuracy=math.inf,
        lr=1e-3, seconds=2.0,
    )  # fmt: skip
    text = msgspec.json.encode(epoch)
    found = msgspec.json.decode(text, type=Epoch)
    assert math.isnan(found.val_loss)
    assert math.isnan(found.val_accuracy)
    assert msgspec.json.encode(found) == text
