"""The room's public surface."""

from __future__ import annotations

import subprocess
import sys

import pytest

import headstart.backbones


def test_all__is_what_the_room_promises() -> None:
    assert headstart.backbones.__all__ == sorted(
        [
            *("Backbone", "Complexity", "Entry", "ClassProbability", "Preprocessing", "Tap"),
            *("TappedModule", "at_size", "catalogue", "imagenet_classes", "known_names"),
            *("list_backbones", "load"),
            *("measure_complexity", "normalise", "pool", "pred", "predict_imagenet"),
            *("tapped_forward", "to_uint8", "transform"),
        ]
    )


@pytest.mark.parametrize("name", headstart.backbones.__all__)
def test_all__resolves_twice_to_the_same_thing(name: str) -> None:
    first = getattr(headstart.backbones, name)
    assert callable(first)
    assert getattr(headstart.backbones, name) is first


def test_getattr__refuses_other_names() -> None:
    with pytest.raises(AttributeError, match="attribute nothing"):
        getattr(headstart.backbones, "nothing")  # noqa: B009


def test_import__brings_no_torch_and_catalogue_neither() -> None:
    code = (
        "import sys, headstart.backbones as b; b.catalogue();"
        "print([m for m in ('torch', 'timm', 'torchvision') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
