from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.backbones import Backbone, imagenet_classes, load, pred, predict_imagenet
from headstart.errors import BackboneError, DataError

CATS = {"Egyptian cat", "tabby", "tiger cat", "Persian cat", "Siamese cat"}


def test_pred__a_cat_is_a_cat(cat: Path, embedded: Backbone) -> None:
    found = pred(cat, backbone=embedded)
    assert len(found) == 5
    assert {p.label for p in found[:3]} <= CATS
    assert found[0].probability == max(p.probability for p in found)
    assert 0.9 < sum(p.probability for p in found) <= 1
    assert [imagenet_classes()[p.index] for p in found] == [p.label for p in found]


def test_pred__by_name_and_top(cat: Path, embedded: Backbone) -> None:
    assert pred(str(cat), top=2) == pred(cat, backbone=embedded, top=2)


def test_predict_imagenet__batches_change_nothing(cat: Path, embedded: Backbone) -> None:
    many = predict_imagenet([cat] * 17, backbone=embedded, top=1)
    assert len(many) == 17
    assert {row[0].label for row in many} == {pred(cat, backbone=embedded)[0].label}
    assert predict_imagenet([], backbone=embedded) == []


def test_imagenet_classes__thousand_different_names() -> None:
    names = imagenet_classes()
    assert len(set(names)) == 1000
    assert (names[0], names[285], names[999]) == ("tench", "Egyptian cat", "toilet tissue")


@pytest.mark.parametrize("top", [0, 1001])
def test_pred__top_out_of_range(cat: Path, embedded: Backbone, top: int) -> None:
    with pytest.raises(BackboneError, match=f"top must be from 1 to 1000, got {top}"):
        pred(cat, backbone=embedded, top=top)


def test_pred__backbone_without_imagenets_classes(cat: Path) -> None:
    backbone = load("timm:test_vit4", pretrained=False)
    object.__setattr__(backbone, "taps", backbone.taps[:-1])
    with pytest.raises(BackboneError, match="has no classifier for ImageNet's 1000 classes"):
        pred(cat, backbone=backbone)


def test_pred__takes_bytes_pictures_and_arrays(cat: Path, embedded: Backbone) -> None:
    found = pred(cat, backbone=embedded)
    with Image.open(cat) as image:
        for same in (cat.read_bytes(), image, np.asarray(image)):
            assert pred(same, backbone=embedded) == found


def test_pred__says_what_it_takes(cat: Path, embedded: Backbone) -> None:
    with pytest.raises(DataError, match="pred takes one image, got 2"):
        pred([cat, cat], backbone=embedded)
    with pytest.raises(DataError, match=r"image 0 must be a uint8 array .* got float64"):
        pred(np.zeros((8, 8, 3)), backbone=embedded)


def test_pred__damaged_image(tmp_path: Path, embedded: Backbone) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"not an image")
    with pytest.raises(DataError):
        pred(path, backbone=embedded)
