"""The range test of the training that settings describe: its start, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.backbones import Backbone
from headstart.data import Record
from headstart.errors import DataError
from headstart.training import TrainSettings, find_rate, train

SETTINGS = TrainSettings(size_px=32, epochs=1, batch_size=8, label_smoothing=0.0, augment="none")


def test_find_rate__begins_where_training_begins(
    tiny: Backbone, records: list[Record], tmp_path: Path
) -> None:
    classes = sorted({r.label for r in records})
    options: dict[str, Any] = {"cache": tmp_path, "device": "cpu"}
    before = {k: v.clone() for k, v in tiny.module.state_dict().items()}
    whole = TrainSettings(**{**SETTINGS.to_dict(), "batch_size": len(records)})
    found = find_rate(tiny, records, classes, whole, n_steps=10, **options)
    # One batch of all images: its first loss is that of the first epoch of a training.
    trained = train(tiny, records, [], classes, whole, **options)
    assert found.losses[0] == pytest.approx(trained.history[0].train_loss, rel=1e-4)
    for name, value in tiny.module.state_dict().items():
        assert (value == before[name]).all(), name


def test_find_rate__takes_augmented_views_too(
    tiny: Backbone, records: list[Record], tmp_path: Path
) -> None:
    classes = sorted({r.label for r in records})
    mixed = TrainSettings(**{**SETTINGS.to_dict(), "augment": "augmix"})
    found = find_rate(tiny, records, classes, mixed, n_steps=10, cache=tmp_path, device="cpu")
    assert len(found.rates) <= 10
    assert np.isfinite(found.losses).all()


def test_find_rate__a_class_without_an_image_is_named(
    tiny: Backbone, records: list[Record], tmp_path: Path
) -> None:
    classes = [*sorted({r.label for r in records}), "unseen"]
    with pytest.raises(DataError, match="'unseen' has no training image"):
        find_rate(tiny, records, classes, SETTINGS, cache=tmp_path, device="cpu")
