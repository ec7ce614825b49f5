"""Networks of images and texts with small random weights in the published formats, for tests without a download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

SIZE_PX, WIDTH, N_TOKENS = 28, 16, 24
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,'"
_START, _END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = {t: i for i, t in enumerate([*LETTERS, *(f"{c}</w>" for c in LETTERS), _START, _END])}
PROCESSOR = {
    "size": {"shortest_edge": SIZE_PX}, "crop_size": {"height": SIZE_PX, "width": SIZE_PX},
    "do_center_crop": True, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
}  # fmt: skip


def random_clip(kind: str = "clip") -> Any:
    """A network of transformers, ``"clip"``, ``"metaclip_2"`` or ``"siglip"``, with weights that tell inputs apart."""
    import torch
    import transformers as t

    towers: dict[str, Any] = {
        "text_config": {
            "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 4 * WIDTH, "vocab_size": len(VOCABULARY),
            "max_position_embeddings": N_TOKENS, "pad_token_id": 1,
            "bos_token_id": VOCABULARY[_START], "eos_token_id": VOCABULARY[_END], "projection_dim": 12,
        },
        "vision_config": {
            "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 4 * WIDTH, "image_size": SIZE_PX, "patch_size": 14,
        },
    }  # fmt: skip
    torch.manual_seed(0)
    if kind == "siglip":
        del towers["text_config"]["projection_dim"]
        model: Any = t.SiglipModel(t.SiglipConfig(**towers))
    elif kind == "metaclip_2":
        model = t.MetaClip2Model(t.MetaClip2Config(projection_dim=12, **towers))
    else:
        model = t.CLIPModel(t.CLIPConfig(projection_dim=12, **towers))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim > 1:
                value.copy_(torch.randn(value.shape) * 0.3)
            if name == "logit_scale":
                value.fill_(float(np.log(20.0)))
    return model.eval()


def write_clip(folder: Path, model: Any) -> Path:
    """Write a network as `save_pretrained` does, with tokenizer and preprocessing."""
    model.save_pretrained(folder)
    write_tokenizer(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


def write_tokenizer(folder: Path) -> None:
    """CLIP's own, over single letters."""
    import transformers

    made: Any = transformers.CLIPTokenizer(vocab=VOCABULARY, merges=[], unk_token=_END)
    made.save_pretrained(folder)
