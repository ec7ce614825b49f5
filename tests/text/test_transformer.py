"""The forward pass of an encoder against the formulas written out, and against transformers."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import erf, softmax

from headstart.errors import InputError, WeightsError
from headstart.text.encoders import read_encoder
from headstart.text.transformer import load_network
from tiny_encoder import N_HEADS, N_LAYERS, VOCABULARY, WIDTH, write_encoder

pytest.importorskip("tokenizers", reason="headstart[text] is not installed")
IDS = [2, 9, 4, 30, 17, 3]


def reference(weights: dict[str, Any], ids: list[int], first_position: int = 0) -> list[np.ndarray]:
    """Outputs (T, d) of the layers for one text, as the paper has it: float64, head by head."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=1, keepdims=True)
        unit = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
        return unit * w[f"{name}.weight"] + w[f"{name}.bias"]

    table = "embeddings.{}_embeddings.weight".format
    places = np.arange(len(ids)) + first_position
    h = w[table("word")][ids] + w[table("position")][places] + w[table("token_type")][0]
    h = norm(h, "embeddings.LayerNorm")
    outputs = []
    for layer in range(N_LAYERS):
        own = f"encoder.layer.{layer}."
        q, k, v = (linear(h, f"{own}attention.self.{n}") for n in ("query", "key", "value"))
        heads = []
        for part in np.split(np.arange(WIDTH), N_HEADS):
            scores = q[:, part] @ k[:, part].T / math.sqrt(len(part))
            heads.append(softmax(scores, axis=1) @ v[:, part])
        mixed = linear(np.hstack(heads), f"{own}attention.output.dense")
        h = norm(h + mixed, f"{own}attention.output.LayerNorm")
        inner = linear(h, f"{own}intermediate.dense")
        inner = inner * (1 + erf(inner / math.sqrt(2))) / 2
        h = norm(h + linear(inner, f"{own}output.dense"), f"{own}output.LayerNorm")
        outputs.append(h)
    return outputs


def weights_of(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(folder / "model.safetensors"))


def run(folder: Path, rows: list[list[int]]) -> list[torch.Tensor]:
    length = max(map(len, rows))
    ids, mask = torch.zeros(len(rows), length, dtype=torch.long), torch.zeros(len(rows), length)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    with torch.inference_mode():
        return load_network(read_encoder(folder))(ids, mask.bool())


def test_load_network__every_layer_is_the_formula_s(tiny_encoder) -> None:
    layers = run(tiny_encoder, [IDS])
    for got, wanted in zip(layers, reference(weights_of(tiny_encoder), IDS), strict=True):
        np.testing.assert_allclose(got[0], wanted, atol=2e-5)


def test_load_network__padding_changes_nothing(tiny_encoder) -> None:
    together = run(tiny_encoder, [IDS, list(range(4, 24))])
    for got, wanted in zip(together, reference(weights_of(tiny_encoder), IDS), strict=True):
        np.testing.assert_allclose(got[0, : len(IDS)], wanted, atol=2e-5)


def test_load_network__roberta_counts_positions_after_its_padding(tmp_path) -> None:
    folder = write_encoder(tmp_path / "e", arch="roberta", prefix="roberta.")
    weights = {k.removeprefix("roberta."): v for k, v in weights_of(folder).items()}
    got = run(folder, [IDS])[-1][0]
    np.testing.assert_allclose(got, reference(weights, IDS, first_position=1)[-1], atol=2e-5)
    assert read_encoder(folder).max_tokens == 32


@pytest.mark.slow  # importing transformers takes longer than all other tests of this file
@pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="transformers is absent")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_load_network__equals_transformers_and_runs_others_by_it(tiny_encoder, tmp_path) -> None:
    from headstart.text.transformer import _from_transformers

    other = _from_transformers(read_encoder(tiny_encoder), "cpu")
    ids = torch.tensor([IDS, [*IDS[:3], 0, 0, 0]])
    with torch.inference_mode():
        theirs = other(ids, torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0]]).bool())
    ours = run(tiny_encoder, [IDS, IDS[:3]])
    assert len(theirs) == len(ours) == N_LAYERS
    for mine, his in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine[0], his[0], atol=2e-5, rtol=0)
        torch.testing.assert_close(mine[1, :3], his[1, :3], atol=2e-5, rtol=0)


def test_load_network__names_of_checkpoints_from_tensorflow(tmp_path) -> None:
    from safetensors.numpy import save_file

    folder = write_encoder(tmp_path / "e")
    weights = weights_of(folder)
    old = {
        k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("Norm.bias", "Norm.beta"): v
        for k, v in weights.items()
    }
    save_file(old, folder / "model.safetensors")
    np.testing.assert_allclose(run(folder, [IDS])[0][0], reference(weights, IDS)[0], atol=2e-5)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"num_hidden_layers": N_LAYERS + 1}, "encoder.layer.5.attention.self.query.weight is missing"),
        ({"hidden_size": 24}, r"is \(\d+, 16\), and must be \(\d+, 24\)"),
        ({"num_attention_heads": 5}, "5 heads do not divide 16 features"),
        ({"vocab_size": len(VOCABULARY) + 1}, r"word_embeddings.weight is \("),
    ],
)  # fmt: skip
def test_load_network__weights_that_do_not_fit_are_told(tmp_path, changed, said) -> None:
    folder = write_encoder(tmp_path / "e")
    config = json.loads((folder / "config.json").read_text()) | changed
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=said):
        load_network(read_encoder(folder))


def test_load_network__damaged_weights(tmp_path) -> None:
    folder = write_encoder(tmp_path / "e")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="damaged or cut short"):
        load_network(read_encoder(folder))


def test_load_network__another_kind_needs_transformers(tmp_path, monkeypatch) -> None:
    folder = write_encoder(tmp_path / "e", arch="mpnet")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match="is a mpnet network, which needs the package transformers"
    ):
        load_network(read_encoder(folder))
