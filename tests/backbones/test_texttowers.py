"""Text towers with random weights in each published format, against the library or plain formulas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from headstart.backbones import Backbone, TappedModule, load
from headstart.backbones.texttowers import load_text_tower, require_text_tower
from headstart.backbones.zeroshot import text_head
from headstart.errors import BackboneError, WeightsError

pytest.importorskip("transformers", reason="headstart[hub] is not installed")
from tiny_clip import N_TOKENS, SIZE_PX, VOCABULARY, random_clip, write_clip, write_tokenizer

TEXTS = ["a photo of a cat.", "a dog", "a" * 60]  # the last is cut
WIDTH, EMBED = 16, 12


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """A folder of each kind, and its model."""
    found = {}
    for kind in ("clip", "metaclip_2", "siglip"):
        model = random_clip(kind)
        found[kind] = (write_clip(tmp_path_factory.mktemp("towers") / kind, model), model)
    return found


def unit(values: Any) -> Any:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["clip", "metaclip_2", "siglip"])
def test_load_text_tower__scores_are_those_of_the_package(
    folders: dict[str, tuple[Path, Any]], kind: str
) -> None:
    from transformers import AutoTokenizer

    folder, model = folders[kind]
    net = load(f"transformers:{folder}")
    images = torch.randn(3, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(1))
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    padding = "max_length" if kind == "siglip" else True
    tokens = tokenizer(
        TEXTS, padding=padding, max_length=N_TOKENS, truncation=True, return_tensors="pt"
    )
    mask = {} if kind == "siglip" else {"attention_mask": tokens["attention_mask"]}
    with torch.no_grad():
        theirs = model(input_ids=tokens["input_ids"], pixel_values=images, **mask).logits_per_image
    if kind == "siglip":
        theirs = theirs - model.logit_bias.detach()
    tower = load_text_tower(net)
    X = unit(TappedModule(net, [net.taps[-1].name])(images)[0].double().numpy())
    ours = tower.scale * X @ tower.vectors(TEXTS).T
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)
    assert len(np.unique(ours.round(3))) == ours.size  # nothing is constant


def test_text_head__is_the_mean_of_prompts_less_that_of_classes(
    folders: dict[str, tuple[Path, Any]],
) -> None:
    net = load(f"transformers:{folders['clip'][0]}")
    prompts = {"cat": ("a photo of a cat.", "a cat"), "dog": ("a dog",), "fox": ("a fox",)}
    tower = load_text_tower(net)
    a, b, dog, fox = tower.vectors(["a photo of a cat.", "a cat", "a dog", "a fox"])
    np.testing.assert_allclose(np.linalg.norm([a, b, dog, fox], axis=1), 1)
    cat = (a + b) / 2 / np.linalg.norm((a + b) / 2)
    expected = tower.scale * (np.array([cat, dog, fox]) - (cat + dog + fox) / 3)
    np.testing.assert_allclose(text_head(net, prompts), expected, atol=1e-9)
    two = text_head(net, {"cat": ("a cat",), "dog": ("a dog",)})
    np.testing.assert_allclose(two[0], -two[1])


class Block(nn.Module):
    """A layer of open_clip's transformers, with its names."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, 2)
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(WIDTH, 4 * WIDTH), "c_proj": nn.Linear(4 * WIDTH, WIDTH)}
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        h = self.ln_1(x)
        x = x + self.attn(h, h, h, need_weights=False, attn_mask=mask)[0]
        h = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](nn.functional.gelu(h))


class OpenClipText(nn.Module):
    """open_clip's plain text tower by the formula: causal attention, the token of the largest number."""

    def __init__(self) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(len(VOCABULARY), WIDTH)
        self.positional_embedding = nn.Parameter(torch.randn(N_TOKENS, WIDTH))
        self.blocks = [Block(), Block()]
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(self.blocks)})
        self.ln_final = nn.LayerNorm(WIDTH)
        self.text_projection = nn.Parameter(torch.randn(WIDTH, EMBED))
        self.logit_scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, ids: Tensor) -> Tensor:
        n = ids.shape[1]
        x = (self.token_embedding(ids) + self.positional_embedding[:n]).transpose(0, 1)
        mask = torch.full((n, n), float("-inf")).triu(1)
        for block in self.blocks:
            x = block(x, mask)
        x = self.ln_final(x.transpose(0, 1))
        return x[torch.arange(len(ids)), ids.argmax(dim=1)] @ self.text_projection


def visual_state() -> dict[str, Tensor]:
    """Weights of open_clip's image tower."""
    block = {
        f"transformer.resblocks.{i}.{k}": v for i in (0, 1) for k, v in Block().state_dict().items()
    }
    norms = {
        f"ln_{at}.{part}": torch.ones(WIDTH)
        for at in ("pre", "post")
        for part in ("weight", "bias")
    }
    own = {
        "class_embedding": torch.randn(WIDTH),
        "positional_embedding": torch.randn(5, WIDTH),
        "proj": torch.randn(WIDTH, EMBED),
        "conv1.weight": torch.randn(WIDTH, 3, 14, 14),
    }
    return {f"visual.{k}": v for k, v in (block | norms | own).items()}


def write_open_clip(folder: Path, text: OpenClipText, *, prefix: str = "", **changed: Any) -> Path:
    folder.mkdir()
    sizes = {
        "context_length": N_TOKENS,
        "vocab_size": len(VOCABULARY),
        "width": WIDTH,
        "heads": 2,
        "layers": 2,
    }
    vision = {"image_size": SIZE_PX, "layers": 2, "width": WIDTH, "head_width": 8, "patch_size": 14}
    config = {"model_cfg": {"embed_dim": EMBED, "vision_cfg": vision, "text_cfg": sizes | changed}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    state = {k if k == "logit_scale" else prefix + k: v for k, v in text.state_dict().items()}
    state = {k: v.contiguous() for k, v in (state | visual_state()).items()}
    save_file(state, folder / "open_clip_model.safetensors")
    write_tokenizer(folder)
    return folder


@pytest.mark.parametrize("prefix", ["", "text."])
def test_load_text_tower__of_open_clip_by_the_formula(tmp_path: Path, prefix: str) -> None:
    from transformers import AutoTokenizer

    torch.manual_seed(0)
    text = OpenClipText().eval()
    folder = write_open_clip(tmp_path / "bio", text, prefix=prefix)
    net = load(f"hf-hub:{folder}")
    tower = load_text_tower(net)
    assert tower.scale == pytest.approx(np.exp(3.0))
    assert (net.taps[-1].name, tower.n_features) == ("embedding", EMBED)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    for words, vector in zip(TEXTS, tower.vectors(TEXTS), strict=True):
        ids = tokenizer(words, max_length=N_TOKENS, truncation=True, return_tensors="pt")
        with torch.no_grad():
            expected = text(ids["input_ids"]).numpy()
        np.testing.assert_allclose(vector[None], unit(expected), atol=1e-5)


def test_load_text_tower__what_cannot_be_used(tmp_path: Path, tiny: Backbone) -> None:
    with pytest.raises(BackboneError, match="has no text tower"):
        load_text_tower(tiny)
    torch.manual_seed(0)
    custom = write_open_clip(tmp_path / "custom", OpenClipText(), no_causal_mask=True)
    with pytest.raises(BackboneError, match=r"no_causal_mask.*transformers:OWNER/NAME"):
        load_text_tower(load(f"hf-hub:{custom}"))
    bare = write_open_clip(tmp_path / "bare", OpenClipText())
    net = load(f"hf-hub:{bare}")
    (bare / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match=r"has no tokenizer\.json"):
        load_text_tower(net)
    deeper = write_open_clip(tmp_path / "deeper", OpenClipText(), layers=3)
    with pytest.raises(WeightsError, match="do not fit its text tower"):
        load_text_tower(load(f"hf-hub:{deeper}"))


@pytest.mark.usefixtures("no_network")
def test_require_text_tower__without_a_network_says_so() -> None:
    with pytest.raises(WeightsError, match="there is no network"):
        require_text_tower(["transformers:openai/clip-vit-base-patch32"])
