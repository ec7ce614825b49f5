from __future__ import annotations

import json

import pytest

from headstart.backbones import Backbone, Preprocessing
from headstart.errors import BackboneError

OWN = Preprocessing(
    size_px=224,
    crop_pct=0.875,
    interpolation="bilinear",
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
)


def test_preprocessing_at__keeps_the_crop() -> None:
    assert OWN.resize_px == 256
    smaller = OWN.at(112)
    assert (smaller.size_px, smaller.resize_px) == (112, 128)
    assert smaller.at(224) == OWN


def test_preprocessing_to_dict__survives_json() -> None:
    assert Preprocessing.from_dict(json.loads(json.dumps(OWN.to_dict()))) == OWN


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("size_px", 0, "size_px must be at least 1, got 0"),
        ("crop_pct", 2.5, "crop_pct must be in"),
        ("interpolation", "nearest", "got 'nearest'"),
        ("crop_mode", "border", "got 'border'"),
        ("std", (0.0, 1.0, 1.0), "std above 0"),
    ],
)
def test_preprocessing__refuses_what_makes_no_sense(
    field: str, value: object, message: str
) -> None:
    with pytest.raises(BackboneError, match=message):
        Preprocessing.from_dict(OWN.to_dict() | {field: value})


def test_tap__unknown_name_is_told_with_the_known_ones(embedded: Backbone) -> None:
    assert embedded.tap("blocks.6").n_features == 320
    with pytest.raises(BackboneError) as error:
        embedded.tap("block.6")
    assert "embedded has no tap 'block.6'. Did you mean 'blocks.6'" in str(error.value)
    assert "It has: conv_stem, blocks.0" in str(error.value)
