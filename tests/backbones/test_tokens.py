"""Tokens and norms against the network's own pass and hand-computed activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor

from headstart.backbones import Backbone, Preprocessing, TappedModule, tapped_forward
from headstart.backbones.backbone import before_output, last_layers
from headstart.backbones.evidence_map import evidence_map
from headstart.backbones.taps import find_taps
from headstart.experiments.scores.measure import _source_scores
from headstart.training.network import prepare
from headstart.training.settings import TrainSettings

SIDE = 64


def tiny(name: str, **changed: Any) -> Backbone:
    """A transformer of two blocks with random weights, norms and tokens included."""
    given = {"depth": 2, "embed_dim": 32, "num_heads": 2, "img_size": SIDE} | changed
    torch.manual_seed(0)
    module = timm.create_model(name, **given).eval().requires_grad_(False)
    for key, value in module.named_parameters():
        if value.ndim == 1 or "token" in key:
            value.add_(torch.randn(value.shape))
    return Backbone(
        name=name,
        arch=f"timm:{name}",
        module=module,
        preprocessing=Preprocessing(
            size_px=SIDE, crop_pct=1, interpolation="bicubic", mean=(0, 0, 0), std=(1, 1, 1)
        ),
        taps=find_taps(module, SIDE),
        digest="",
        source="",
        licence="",
        n_parameters=0,
    )


def images() -> Tensor:
    return torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def features(net: Backbone) -> dict[str, Tensor]:
    with torch.no_grad():
        rows = TappedModule(net)(images())
    return {tap.name: row for tap, row in zip(net.taps, rows, strict=True)}


def blocks_by_hand(module: Any) -> list[Tensor]:
    """The tokens after each block."""
    x = module.norm_pre(module._pos_embed(module.patch_embed(images())))
    found = []
    for block in module.blocks:
        found.append(x := block(x))
    return found


@pytest.mark.parametrize(
    ("name", "n_prefix", "changed"),
    [
        ("vit_tiny_patch16_224", 1, {}),
        ("vit_tiny_patch16_224", 5, {"reg_tokens": 4}),
        ("vit_base_patch16_clip_224", 1, {}),  # normalised before the blocks, too
    ],
)
def test_read_tokens__by_hand(name: str, n_prefix: int, changed: dict[str, Any]) -> None:
    net = tiny(name, **changed)
    found = features(net)
    with torch.no_grad():
        for i, tokens in enumerate(blocks_by_hand(net.module)):
            normalised = net.module.norm(tokens)
            assert torch.allclose(found[f"blocks.{i}.cls"], normalised[:, 0], atol=1e-5)
            patches = normalised[:, n_prefix:].mean(dim=1)
            assert torch.allclose(found[f"blocks.{i}.mean"], patches, atol=1e-5)


def test_read_tokens__of_a_head_that_normalises_the_average() -> None:
    net = tiny("vit_tiny_patch16_224", global_pool="avg", class_token=True)
    found = features(net)
    with torch.no_grad():
        tokens = blocks_by_hand(net.module)[0]
        fc_norm: Any = net.module.fc_norm
        assert torch.allclose(found["blocks.0.mean"], fc_norm(tokens[:, 1:].mean(dim=1)), atol=1e-5)
        assert torch.allclose(found["blocks.0.cls"], fc_norm(tokens[:, 0]), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "last", "changed"),
    [
        ("vit_tiny_patch16_224", "blocks.1.cls", {}),
        ("vit_tiny_patch16_224", "blocks.1.cls", {"num_classes": 0}),
        ("vit_tiny_patch16_224", "blocks.1.mean", {"global_pool": "avg", "reg_tokens": 2}),
        ("vit_tiny_patch16_224", "blocks.1", {"global_pool": "avg", "class_token": False}),
        ("vit_tiny_patch16_224", "pooled", {"global_pool": "max"}),
        ("vit_base_patch16_siglip_224", "pooled", {}),
        ("vit_small_patch16_dinov3", "blocks.1.mean", {}),
        ("eva02_tiny_patch14_224", "blocks.1.mean", {"patch_size": 16}),
        ("deit_tiny_distilled_patch16_224", "blocks.1.cls", {}),
        ("beit_base_patch16_224", "blocks.1.mean", {}),
        ("xcit_nano_12_p16_224", "pooled", {}),
    ],
)
def test_find_taps__the_last_before_the_output_is_what_the_networks_head_sees(
    name: str, last: str, changed: dict[str, Any]
) -> None:
    net = tiny(name, **changed)
    assert before_output([tap.name for tap in net.taps])[-1] == last
    if name.startswith("deit"):
        return  # its head sees two tokens
    module = net.module
    with torch.no_grad():
        seen = module.forward_head(module.forward_features(images()), pre_logits=True)
    assert torch.allclose(features(net)[last], seen, atol=1e-5)


def test_tapped_forward__tokens_are_as_the_block_returns_them() -> None:
    net = tiny("vit_tiny_patch16_224")
    found = tapped_forward(net, images())
    with torch.no_grad():
        wanted = blocks_by_hand(net.module)[1]
    assert torch.allclose(found["blocks.1.cls"], wanted, atol=1e-5)
    assert torch.equal(found["blocks.1.cls"], found["blocks.1.mean"])


def test_recipe__differs_wherever_the_features_do() -> None:
    net = tiny("vit_tiny_patch16_224")
    recipes = [tap.recipe for tap in net.taps]
    assert len(set(recipes)) == len(recipes)
    assert recipes[0] == "blocks.0, norm of tokens"
    averaged = tiny("vit_tiny_patch16_224", global_pool="avg")
    assert averaged.tap("blocks.0.mean").recipe == "blocks.0, fc_norm of features"
    assert net.taps[-1].recipe == net.taps[-1].module  # keys of other taps remain as they were


def test_last_layers__count_class_token_and_patches_as_one() -> None:
    names = ["stem", "blocks.0.cls", "blocks.0.mean", "blocks.1.cls", "blocks.1.mean", "logits"]
    assert last_layers(names, 2) == names[1:5]
    assert before_output(names) == names[:5]
    assert before_output(["a", "pooled"]) == ["a", "pooled"]
    assert before_output(["logits"]) == ["logits"]


def test_evidence_map__of_patches_adds_up_and_of_a_class_token_is_not_empty() -> None:
    net = tiny("vit_tiny_patch16_224")
    picture = Image.fromarray(
        np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    )
    weight = torch.randn(32)
    mean = evidence_map(net, picture, ["blocks.1.mean"], lambda v: v["blocks.1.mean"][0] @ weight)
    assert mean.layers == ("blocks.1.mean",)
    assert mean.values.sum() == pytest.approx(mean.score, abs=1e-4)
    both = ["blocks.1.mean", "blocks.1.cls"]
    found = evidence_map(net, picture, both, lambda v: (v[both[0]] + v[both[1]])[0] @ weight)
    assert found.layers == ("blocks.0.mean",)
    assert found.values.any()


@pytest.mark.parametrize("changed", [{}, {"num_classes": 0}, {"global_pool": "max"}])
def test_prepare__puts_a_new_layer_on_what_the_head_sees(changed: dict[str, Any]) -> None:
    net = tiny("vit_tiny_patch16_224", **changed)
    prepared = prepare(net, 3, TrainSettings(regime="all"))
    last = before_output([tap.name for tap in net.taps])[-1]
    with torch.no_grad():
        seen = prepared.network.body(images())
    assert torch.allclose(seen, features(net)[last], atol=1e-5)


def test_source_scores__are_not_of_an_embedding() -> None:
    net = tiny("vit_base_patch16_clip_224.openai")
    assert net.taps[-1].name == "embedding"
    assert _source_scores(net, None, [], np.array([])) == {"LEEP": None, "NCE": None}  # type: ignore[arg-type]
