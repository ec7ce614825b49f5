"""A sentence encoder in the published layout with small random weights, for tests that need no download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, INNER, N_LAYERS, N_HEADS, N_POSITIONS = 16, 32, 5, 4, 40
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.'"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
VOCABULARY = [*SPECIAL, *LETTERS, *(f"##{c}" for c in LETTERS), "the", "not", "film"]


def write_encoder(
    folder: Path, *, arch: str = "bert", pooling: str = "mean", prefix: str = "", seed: int = 0
) -> Path:
    """Write an encoder as ``SentenceTransformer.save`` does.

    Parameters
    ----------
    folder : Path
        Is made.
    arch : {"bert", "roberta"}
    pooling : {"mean", "cls", "lasttoken"}
    prefix : str
        Before every name in the weight file.
    seed : int
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    mode = "pooling_mode_mean_tokens" if pooling == "mean" else f"pooling_mode_{pooling}"
    mode += "_token" if pooling == "cls" else ""
    modules = [
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    config = {
        "model_type": arch, "hidden_size": WIDTH, "intermediate_size": INNER, "hidden_act": "gelu",
        "num_hidden_layers": N_LAYERS, "num_attention_heads": N_HEADS, "layer_norm_eps": 1e-12,
        "max_position_embeddings": N_POSITIONS, "type_vocab_size": 2, "pad_token_id": 0,
        "vocab_size": len(VOCABULARY), "architectures": [f"{arch.title()}Model"],
    }  # fmt: skip
    _write_json(folder / "modules.json", modules)
    _write_json(
        folder / "1_Pooling" / "config.json", {"word_embedding_dimension": WIDTH, mode: True}
    )
    _write_json(folder / "config.json", config)
    _write_json(
        folder / "sentence_bert_config.json", {"max_seq_length": 32, "do_lower_case": False}
    )
    weights = random_weights(np.random.default_rng(seed))
    save_file({prefix + k: v for k, v in weights.items()}, folder / "model.safetensors")
    write_tokenizer(folder / "tokenizer.json")
    return folder


def random_weights(rng: np.random.Generator) -> dict[str, Any]:
    """Weights under BERT's names, large enough that every token changes every other one."""

    def normal(*shape: int) -> Any:
        return rng.normal(0, 0.4, shape).astype(np.float32)

    found = {
        f"embeddings.{kind}_embeddings.weight": normal(n, WIDTH)
        for kind, n in [("word", len(VOCABULARY)), ("position", N_POSITIONS), ("token_type", 2)]
    }
    dense = {"intermediate.dense": (INNER, WIDTH), "output.dense": (WIDTH, INNER)}
    for name in ("self.query", "self.key", "self.value", "output.dense"):
        dense[f"attention.{name}"] = (WIDTH, WIDTH)
    norms = ["embeddings.LayerNorm"]
    for layer in range(N_LAYERS):
        own = f"encoder.layer.{layer}."
        for name, shape in dense.items():
            found[f"{own}{name}.weight"] = normal(*shape)
            found[f"{own}{name}.bias"] = normal(shape[0])
        norms += [f"{own}attention.output.LayerNorm", f"{own}output.LayerNorm"]
    for name in norms:
        found[f"{name}.weight"] = 1 + normal(WIDTH) / 4
        found[f"{name}.bias"] = normal(WIDTH)
    return found


def write_tokenizer(path: Path) -> None:
    """WordPiece over single letters and a few words; as saved ones do, it pads and cuts."""
    import tokenizers

    vocabulary = {token: i for i, token in enumerate(VOCABULARY)}
    made: Any = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_padding(length=20)
    made.enable_truncation(20)
    made.save(str(path))


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))
