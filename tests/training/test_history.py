"""Epochs as JSON."""

from __future__ import annotations

import json
import math

from headstart.training import Epoch


def test_epoch__survives_json_with_what_was_not_measured() -> None:
    epoch = Epoch(
        epoch=1, train_loss=0.5, train_accuracy=0.75, val_loss=math.nan, val_accuracy=math.nan,
        lr=1e-3, seconds=2.0,
    )  # fmt: skip
    text = json.dumps(epoch.to_dict(), allow_nan=False)
    found = Epoch.from_dict(json.loads(text))
    assert math.isnan(found.val_loss)
    assert found.to_dict() == epoch.to_dict()
