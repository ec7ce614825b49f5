from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

import headstart
from headstart.backbones import load
from headstart.data import Index, index
from headstart.errors import InputError
from headstart.export.crop import Crop
from headstart.runs.cropping import choose_crop, with_crop


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide images whose class shows at their ends alone, which a centre crop cuts off."""
    root = tmp_path_factory.mktemp("edges")
    rng = np.random.default_rng(0)
    for label, colour in (("blue", 2), ("red", 0)):
        (root / label).mkdir()
        for i in range(10):
            pixels = rng.integers(0, 256, (40, 120, 3), dtype=np.uint8)
            pixels[:, :30] = pixels[:, -30:] = np.eye(3, dtype=np.uint8)[colour] * 200
            Image.fromarray(pixels).save(root / label / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def indexed(edges: Path) -> Index:
    return index(str(edges))


def test_choose_crop__takes_another_only_where_it_is_significantly_better(
    indexed: Index, tmp_path: Path
) -> None:
    net = load("squeezenet1_1", pretrained=False)
    found = choose_crop(indexed, net, cache=tmp_path)
    assert found.backbone.preprocessing.crop_mode in ("squash", "letterbox")
    assert found.note.startswith(
        f"crop: {found.backbone.preprocessing.crop_mode} is taken (center "
    )
    whole = with_crop(net, found.backbone.preprocessing.crop_mode)
    again = choose_crop(indexed, whole, resolutions=[64, 96], cache=tmp_path)
    assert again.backbone.preprocessing == whole.preprocessing
    assert "the network's own" in again.note
    assert again.note.endswith(
        "at 96 px)"
    )  # that of them which is the nearest to the network's own


def test_fit__a_run_with_another_crop_predicts_as_it_was_tested(
    edges: Path, tmp_path: Path
) -> None:
    run = headstart.fit(
        edges, crop="squash", resolutions=(64,), out=tmp_path / "run", cache=tmp_path / "cache"
    )
    own = run.model.backbone.preprocessing
    assert own is not None
    assert own.crop_mode == "squash"
    opened = headstart.load(tmp_path / "run")
    assert opened.model.load_backbone().preprocessing == own
    tested = run.test_predictions()
    [first] = opened.predict(edges / tested[0].name)
    assert first.label == tested[0].predicted
    with pytest.raises(InputError, match=r"`crop` must be .*; got 'tiles'"):
        headstart.fit(edges, crop="tiles")


def test_crop__an_export_refuses_what_it_cannot_do() -> None:
    own = load("squeezenet1_1", pretrained=False).preprocessing
    with pytest.raises(InputError, match="cannot do yet"):
        Crop(msgspec.structs.replace(own, crop_mode="letterbox"))
