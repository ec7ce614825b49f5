"""Predictions of a trained network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.backbones import Backbone, normalise
from headstart.data import Record
from headstart.errors import WeightsError
from headstart.features.pixels import crops
from headstart.training import Trained, TrainSettings, load_trained, train


@pytest.fixture(scope="module")
def trained(tiny: Backbone, records: list[Record], cache: Path) -> Trained:
    settings = TrainSettings(size_px=64, epochs=1, regime="output", augment="none")
    classes = ("blue", "red")
    return train(tiny, records[:20], records[20:], classes, settings, cache=cache, device="cpu")


def by_hand(trained: Trained, records: list[Record]) -> np.ndarray:
    preprocessing = trained.backbone.preprocessing
    cut = np.stack([crops(r.path, [preprocessing])[0] for r in records])
    with torch.no_grad():
        return trained.network(normalise(torch.from_numpy(cut), preprocessing)).numpy()


def test_logits__are_those_of_the_network(trained: Trained, records: list[Record]) -> None:
    found = trained.logits(records)
    assert found.shape == (32, 2)
    assert found == pytest.approx(by_hand(trained, records), abs=1e-4)
    assert trained.predict(records[:3]) == [trained.classes[i] for i in found[:3].argmax(1)]


def test_logits__mirrored_are_averages(trained: Trained, records: list[Record]) -> None:
    plain, both = trained.logits(records[:4]), trained.logits(records[:4], mirrored=True)
    assert not np.allclose(plain, both)
    assert np.abs(plain - both).max() < np.abs(plain).max()


def test_logits__at_another_size(trained: Trained, records: list[Record]) -> None:
    assert trained.logits(records[:2], size_px=96).shape == (2, 2)
    assert trained.logits([]).shape == (0, 2)


def test_backbone__is_known_by_its_trained_weights(trained: Trained, tiny: Backbone) -> None:
    assert trained.backbone.digest != tiny.digest
    assert [tap.name for tap in trained.backbone.taps] == ["logits"]


def test_save__comes_back_with_the_same_logits(
    trained: Trained, records: list[Record], tmp_path: Path
) -> None:
    trained.save(tmp_path / "net.safetensors")
    found = load_trained(tmp_path / "net.safetensors")
    assert np.array_equal(found.logits(records[:5]), trained.logits(records[:5]))
    assert found.backbone.digest == trained.backbone.digest
    for name in ("settings", "classes", "history", "best_epoch", "seconds", "device", "is_cached"):
        assert getattr(found, name) == getattr(trained, name)
    assert found.backbone.name == trained.backbone.name


def test_load_trained__refuses_what_it_did_not_write(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="no network that Headstart trained"):
        load_trained(tmp_path / "other.safetensors")


def test_trained__in_a_notebook_it_shows_its_learning_curves(trained: Trained) -> None:
    assert trained._repr_html_().startswith("<p>Epoch 1: loss")  # one epoch has no curve
    two = dataclasses.replace(trained.history[0], epoch=2)
    shown = dataclasses.replace(trained, history=(*trained.history, two))._repr_html_()
    assert shown.startswith("<svg")
    assert "accuracy, %" in shown
