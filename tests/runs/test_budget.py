from __future__ import annotations

import dataclasses

import pytest

from headstart.backbones import Backbone, load
from headstart.errors import BackboneError
from headstart.runs.budget import plan_resolutions


@pytest.fixture(scope="module")
def squeezenet() -> Backbone:
    return load("squeezenet1_1", pretrained=False)


def test_plan_resolutions__are_the_own_and_two_around_it(squeezenet: Backbone) -> None:
    found = plan_resolutions(squeezenet, None)
    assert (found.resolutions, found.notes) == ((160, 224, 320), ())
    assert plan_resolutions(squeezenet, [128, 96]).resolutions == (96, 128)


def test_plan_resolutions__of_a_transformer_are_multiples_of_its_patch_and_bounded_in_cost() -> (
    None
):
    net = load("timm:vit_small_patch14_dinov2", pretrained=False)
    found = plan_resolutions(net, None)
    assert found.resolutions == (364, 518)
    [note] = found.notes
    assert note.startswith("742 px is left out: a pass costs 2.")
    with pytest.raises(BackboneError, match=r"multiple of 14; got 352: take 350 or 364"):
        plan_resolutions(net, [352])


def test_plan_resolutions__names_every_size_that_the_network_refuses() -> None:
    fixed = load("timm:mixer_s32_224", pretrained=False)
    found = plan_resolutions(fixed, None)
    assert found.resolutions == (224,)
    assert [note.split(" px")[0] for note in found.notes] == ["160", "320"]
    assert all("only takes images of its own size" in note for note in found.notes)


def test_plan_resolutions__notes_are_of_default_sizes_alone(squeezenet: Backbone) -> None:
    small = dataclasses.replace(squeezenet, preprocessing=squeezenet.preprocessing.at(32))
    assert 32 in plan_resolutions(small, None).resolutions
