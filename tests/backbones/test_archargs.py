from __future__ import annotations

import pytest

from headstart.backbones.archargs import join_args, parse_args, split_args, with_args
from headstart.errors import BackboneError


def test_parse_args__values_are_literals_or_words() -> None:
    given = ["init_values=1e-5;num_classes=0", "act_layer=silu", "dynamic_img_size=true"]
    assert dict(parse_args([*given, "patch_size=(14, 14)"])) == {
        "act_layer": "silu",
        "dynamic_img_size": True,
        "init_values": 1e-5,
        "num_classes": 0,
        "patch_size": (14, 14),
    }


def test_join_args__is_the_inverse_of_split_args() -> None:
    name = "timm:vit_small_patch16_224[act_layer=silu;img_size=(64,64);init_values=1e-05]"
    assert join_args(*split_args(name)) == name
    assert split_args("resnet18") == ("resnet18", ())


def test_with_args__adds_to_those_of_the_name() -> None:
    found = with_args("vit[num_classes=0;reg_tokens=1]", ["reg_tokens=4"])
    assert found == "vit[num_classes=0;reg_tokens=4]"
    assert with_args(None, []) is None
    with pytest.raises(BackboneError, match=r"give `arch` NAME, too"):
        with_args(None, ["num_classes=0"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        "(" * 5_000,
        "x=" + "[" * 5_000,
        "num_classes",
        "=0",
        "a=b=c",
        "a=__import__('os')",
        "a=b()",
        "**x",
        "1",
        "a=0)(b=1",
    ],
)
def test_parse_args__refuses_what_is_not_key_and_value(text: str) -> None:
    with pytest.raises(BackboneError, match=r"must be KEY=VALUE"):
        parse_args([text])


@pytest.mark.parametrize("key", ["pretrained", "checkpoint_path", "pretrained_cfg"])
def test_parse_args__refuses_what_would_load_other_weights(key: str) -> None:
    with pytest.raises(BackboneError, match=f"{key} does not shape the network"):
        parse_args([f"{key}='x'"])


def test_split_args__a_bracket_that_is_not_closed() -> None:
    with pytest.raises(BackboneError, match=r"is not NAME\[KEY=VALUE;\.\.\.\]"):
        split_args("vit[num_classes=0")
