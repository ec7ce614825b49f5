"""Small random networks in each published format: names, loading, preprocessing and tokens."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform  # type: ignore[attr-defined]
from torch import Tensor, nn

from headstart.backbones import TappedModule, load, transform
from headstart.errors import BackboneError, WeightsError

TINY = {"depth": 2, "embed_dim": 32, "num_heads": 2, "img_size": 56, "patch_size": 14}
HALF = [0.5, 0.5, 0.5]
PROCESSOR = {
    "size": {"shortest_edge": 64},
    "crop_size": {"height": 56, "width": 56},
    "do_center_crop": True,
    "resample": 3,
    "image_mean": HALF,
    "image_std": HALF,
}


def picture() -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    return Image.fromarray(values)


def images() -> Tensor:
    return torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(1))


def random_vit(**changed: Any) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", **(TINY | changed)).eval()


@pytest.fixture
def hub(tmp_path: Path, no_network: None) -> Path:
    """The hub's cache, where `published` puts repositories."""
    return tmp_path / "hub"


def published(hub: Path, name: str, files: dict[str, Any]) -> None:
    """A repository in the cache: JSON, or weights."""
    repository = hub / f"models--{name.replace('/', '--')}"
    folder = repository / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    for file, content in files.items():
        if file.endswith(".json"):
            (folder / file).write_text(json.dumps(content))
        else:
            save_file({k: v.contiguous() for k, v in content.items()}, folder / file)


TIMM_CONFIG = {
    "architecture": "vit_tiny_patch16_224",
    "num_classes": 0,
    "num_features": 32,
    "model_args": TINY,
    "pretrained_cfg": {
        "input_size": [3, 56, 56], "fixed_input_size": True, "interpolation": "bicubic",
        "crop_pct": 0.9, "crop_mode": "center", "mean": HALF, "std": [0.2, 0.2, 0.2],
        "num_classes": 0, "license": "cc-by-nc-4.0",
    },
}  # fmt: skip


def test_load__a_repository_in_timms_format(hub: Path, caplog: pytest.LogCaptureFixture) -> None:
    module = random_vit(num_classes=0)
    published(
        hub, "a/plants", {"config.json": TIMM_CONFIG, "model.safetensors": module.state_dict()}
    )
    with caplog.at_level(logging.WARNING):
        net = load("hf-hub:a/plants")
    assert "hf-hub:a/plants are not for commercial use: cc-by-nc-4.0" in caplog.text
    assert (net.arch, net.licence) == ("hf-hub:a/plants", "cc-by-nc-4.0")
    assert [tap.name for tap in net.taps[-2:]] == ["blocks.1.mean", "blocks.1.cls"]
    with torch.no_grad():
        assert torch.equal(net.module(images()), module(images()))
    theirs = create_transform(
        (3, 56, 56),
        crop_pct=0.9,
        interpolation="bicubic",
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
    )
    difference = (transform(picture(), net.preprocessing) - theirs(picture())).abs().max()
    assert float(difference) <= 1 / 255 / 0.2
    assert load(net.arch).digest == net.digest


def test_load__a_vision_tower_of_open_clip(hub: Path) -> None:
    open_clip = pytest.importorskip("open_clip")
    vision = {"image_size": 56, "layers": 2, "width": 64, "head_width": 32, "patch_size": 14}
    text = {"context_length": 8, "vocab_size": 50, "width": 32, "heads": 2, "layers": 1}
    torch.manual_seed(0)
    model = open_clip.CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text, quick_gelu=True).eval()
    config = {
        "model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text, "quick_gelu": True},
        "preprocess_cfg": {"mean": HALF, "std": HALF, "interpolation": "bicubic"},
    }
    state = model.state_dict()
    files = {"open_clip_config.json": config, "open_clip_model.safetensors": state}
    published(hub, "a/bio", files)
    net = load("hf-hub:a/bio")
    assert net.taps[-1].name == "embedding"
    with torch.no_grad():
        found = TappedModule(net, ["embedding"])(images())[0]
        assert torch.allclose(found, model.encode_image(images()), atol=1e-5)
    from open_clip.transform import image_transform

    theirs = image_transform(56, is_train=False, mean=HALF, std=HALF, interpolation="bicubic")
    difference = (transform(picture(), net.preprocessing) - theirs(picture())).abs().max()
    assert float(difference) <= 1 / 255 / 0.5


def test_load__a_tower_of_timms_in_open_clip(hub: Path) -> None:
    open_clip = pytest.importorskip("open_clip")
    vision = {
        "image_size": 64, "timm_model_name": "resnet10t", "timm_model_pretrained": False,
        "timm_pool": "avg", "timm_proj": "linear",
    }  # fmt: skip
    text = {"context_length": 8, "vocab_size": 50, "width": 32, "heads": 2, "layers": 1}
    torch.manual_seed(0)
    model = open_clip.CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text).eval()
    config = {"model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}}
    files = {"open_clip_config.json": config, "open_clip_model.safetensors": model.state_dict()}
    published(hub, "a/small", files)
    net = load("hf-hub:a/small")
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        trunk = model.visual.trunk(pixels)
        last = TappedModule(net, [net.taps[-1].name])(pixels)[0]
    assert torch.allclose(last, trunk, atol=1e-5)
    assert "names begin with 'visual.trunk.'" in net.source


def _towers() -> dict[str, Any]:
    transformers = pytest.importorskip("transformers")
    small = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, "image_size": 56, "patch_size": 14,
    }  # fmt: skip
    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 64, "vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
    dino = {k: v for k, v in small.items() if k != "intermediate_size"}
    t = transformers
    return {
        "dinov2": lambda: t.Dinov2Model(t.Dinov2Config(**dino)),
        "registers": lambda: t.Dinov2WithRegistersModel(
            t.Dinov2WithRegistersConfig(num_register_tokens=4, **dino)
        ),
        "dinov3": lambda: t.DINOv3ViTModel(t.DINOv3ViTConfig(num_register_tokens=4, **small)),
        "vit": lambda: t.ViTForImageClassification(t.ViTConfig(num_labels=5, **small)),
        "clip": lambda: t.CLIPModel(t.CLIPConfig(text_config=text, vision_config=small)),
        "siglip": lambda: t.SiglipModel(t.SiglipConfig(text_config=text, vision_config=small)),
        "convnext": lambda: t.ConvNextModel(
            t.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])
        ),
    }


@pytest.mark.parametrize(
    ("kind", "n_prefix", "last"),
    [
        ("dinov2", 1, "blocks.1.cls"),
        ("registers", 5, "blocks.1.cls"),
        ("dinov3", 5, "blocks.1.cls"),
        ("vit", 1, "blocks.1.cls"),
        ("clip", 1, "embedding"),
        ("siglip", 0, "pooled"),
        ("convnext", 0, "pooled"),
    ],
)
def test_load__a_folder_of_transformers(
    tmp_path: Path, kind: str, n_prefix: int, last: str
) -> None:
    torch.manual_seed(0)
    model = _towers()[kind]().eval()
    model.save_pretrained(tmp_path / "net")
    (tmp_path / "net" / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    net = load(f"transformers:{tmp_path / 'net'}")
    assert net.taps[-1].name == last
    assert {tap.n_prefix for tap in net.taps if tap.kind == "tokens"} <= {n_prefix}
    inner = {"vit": "vit", "clip": "vision_model", "siglip": "vision_model"}.get(kind)
    tower = getattr(model, inner) if inner else model
    found = dict(zip([t.name for t in net.taps], TappedModule(net)(images()), strict=True))
    with torch.no_grad():
        out = tower(pixel_values=images())
    if kind == "vit":  # its pooler is left out, since published ones were not trained
        seen = out.last_hidden_state[:, 0]
    else:
        seen = out.pooler_output.flatten(1)
    if kind == "clip":  # the last block's class token is projected into the space of the texts
        assert torch.allclose(found["blocks.1.cls"], seen, atol=1e-5)
        seen = model.visual_projection(seen)
    assert torch.allclose(found[last], seen, atol=1e-5)
    if kind in ("dinov2", "registers", "dinov3"):
        patches = out.last_hidden_state[:, n_prefix:].mean(dim=1)
        assert torch.allclose(found["blocks.1.mean"], patches, atol=1e-5)


def test_load__preprocessing_of_transformers_within_a_grey_level(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    _towers()["dinov2"]().save_pretrained(tmp_path / "net")
    own = transformers.BitImageProcessor(**PROCESSOR)
    own.save_pretrained(tmp_path / "net")
    net = load(f"transformers:{tmp_path / 'net'}")
    theirs = own(picture(), return_tensors="pt")["pixel_values"][0]
    difference = (transform(picture(), net.preprocessing) - theirs).abs().max()
    assert float(difference) <= 1.01 / 255 / 0.5


def test_load__a_folder_without_what_is_needed(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(WeightsError, match=r"has no preprocessor_config\.json"):
        load(f"transformers:{tmp_path}")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(BackboneError, match=r"take transformers:"):
        load(f"hf-hub:{tmp_path}")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BackboneError, match="cannot be read"):
        load(f"hf-hub:{tmp_path}")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ([1], "cannot be read"),
        ({"architecture": "nonsense", "pretrained_cfg": {}}, "architecture 'nonsense', which timm"),
        ({"architecture": None}, "architecture None, which timm"),
        (
            {"architecture": "test_vit", "pretrained_cfg": {"input_size": "big"}},
            "as timm writes it",
        ),
        ({"architecture": "test_vit", "pretrained_cfg": {"crop_pct": "x"}}, "as timm writes it"),
        ({"architecture": "test_vit", "pretrained_cfg": {"mean": ["a"] * 3}}, "must be 3 numbers"),
    ],
)
def test_load__a_configuration_of_timm_that_cannot_be_used(
    tmp_path: Path, config: Any, says: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BackboneError, match=says):
        load(f"hf-hub:{tmp_path}", pretrained=False)


def test_load__a_configuration_of_timm_without_preprocessing_is_read_as_timm_does(
    tmp_path: Path,
) -> None:
    facts = {"architecture": "test_vit", "pretrained_cfg": {"num_classes": 1000}}
    (tmp_path / "config.json").write_text(json.dumps(facts))
    own = load(f"hf-hub:{tmp_path}", pretrained=False).preprocessing
    expected = timm.models.PretrainedCfg()
    assert (own.mean, own.std, own.size_px) == (expected.mean, expected.std, 224)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"size": {"height": 0, "width": 0}}, "is not one that Headstart does"),
        ({"size": {"height": 32, "width": 64}, "do_center_crop": False}, "which are not square"),
        ({"size": -56, "crop_size": None}, "size_px must be at least 1"),
        ({"image_mean": "abc"}, "is not one that Headstart does"),
        ({"image_std": [float("nan")] * 3}, "mean and std must be 3 numbers"),
        ({"resample": 9}, "is not one that Headstart does"),
    ],
)
def test_load__preprocessing_of_transformers_that_cannot_be_used(
    tmp_path: Path, changed: dict[str, Any], says: str
) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR | changed))
    with pytest.raises(BackboneError, match=says):
        load(f"transformers:{tmp_path}")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"hidden_size": 64}, r"do not fit .* of another shape"),
        ({"hidden_size": "big"}, "cannot build .*hidden_size"),
        ({"hidden_size": -1}, "cannot build"),
        ({"model_type": "nonsense"}, "cannot build .*nonsense"),
    ],
)
def test_load__a_configuration_of_transformers_that_cannot_be_used(
    tmp_path: Path, changed: dict[str, Any], says: str
) -> None:
    """Also where the package raises an error of a class of its own."""
    pytest.importorskip("transformers")
    _towers()["dinov2"]().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changed))
    with pytest.raises((BackboneError, WeightsError), match=says) as error:
        load(f"transformers:{tmp_path}")
    assert "\n" not in str(error.value)


def test_load__a_network_of_texts_is_for_the_encoder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        vocab_size=9,
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"no preprocessor_config\.json.*`encoder='NAME'`"):
        load(f"transformers:{tmp_path}")
    (tmp_path / "preprocessor_config.json").write_text(
        '{"size": {"height": 32}, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}'
    )
    with pytest.raises(BackboneError, match=r"\(bert\) is not a network for images.*`encoder"):
        load(f"transformers:{tmp_path}")


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["hf-hub:a/none", "transformers:facebook/dinov2-small"])
def test_load__a_repository_without_network_is_one_line(name: str) -> None:
    with pytest.raises(WeightsError) as error:
        load(name)
    text = str(error.value)
    assert "\n" not in text
    assert name in text
    assert "there is no network" in text
    assert "FOLDER" in text
