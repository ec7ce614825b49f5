"""The forward pass of a sentence encoder: token numbers in, the output of every layer out.

BERT and its relatives are computed here. Other networks are built by the package transformers where it
is installed; code that comes with a model is never run.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.backbones.weights import read_weights
from headstart.data.sources import shown
from headstart.errors import InputError, WeightsError, argument, explain_full_memory, one_line
from headstart.text.encoders import Encoder, count, read_encoder, weight_files

Network = Callable[[Tensor, Tensor], list[Tensor]]
"""Token numbers (B, T) and which of them are real (B, T) bool, to each layer's output (B, T, d)."""

OWN = ("bert", "roberta", "xlm-roberta", "camembert")
"""Values of ``model_type`` whose forward pass is implemented in `Bert`."""

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}
_QKV = ("query", "key", "value")


def load_network(encoder: Encoder, device: str = "cpu") -> Network:
    """The network of an encoder with its weights, in eval mode.

    Parameters
    ----------
    encoder : Encoder
    device : str, default "cpu"
        A torch device.

    Raises
    ------
    WeightsError
        The weights are damaged or do not fit ``config.json``.
    InputError
        The kind of network needs the package transformers, which is not installed.
    """
    with explain_full_memory(device):
        return _load(encoder.root, encoder.digest, device)


# One is cached: a service requests the same one each time, and loading takes a second.
@lru_cache(maxsize=1)
def _load(root: Path, digest: str, device: str) -> Network:
    encoder = read_encoder(root)
    is_absolute = encoder.config.get("position_embedding_type") in (None, "absolute")
    is_known = encoder.config.get("hidden_act", "gelu") in _ACTIVATIONS
    if encoder.arch in OWN and is_absolute and is_known:
        return Bert(encoder, _read_state(encoder), torch.device(device))
    return _from_transformers(encoder, device)


class Bert:
    """Layers of BERT (Devlin et al. 2019) and RoBERTa (Liu et al. 2019), post-norm.

    Parameters
    ----------
    encoder : Encoder
    state : mapping of str to Tensor
        Weights under BERT's own names, with or without a prefix before ``embeddings``.
    device : torch.device
    """

    def __init__(self, encoder: Encoder, state: Mapping[str, Tensor], device: torch.device) -> None:
        self.device = device
        self.n_layers = encoder.n_layers
        self.n_heads = count(encoder, "num_attention_heads")
        self.width = count(encoder, "hidden_size")
        self.eps = float(encoder.config.get("layer_norm_eps") or 1e-12)
        self.act = _ACTIVATIONS[str(encoder.config.get("hidden_act", "gelu"))]
        # RoBERTa counts positions from the number of its padding token on.
        pad = int(encoder.config.get("pad_token_id") or 0)
        self.first_position = 0 if encoder.arch == "bert" else pad + 1
        self.weights = self._fitting(encoder, state)

    def __call__(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """Outputs of the layers, (B, T, d) each."""
        # Attention is faster without a mask, and texts of one length need none.
        return self.outputs(ids, None if bool(mask.all()) else mask)

    def outputs(self, ids: Tensor, mask: Tensor | None) -> list[Tensor]:
        """The same; without a mask all tokens are real."""
        W = self.weights
        at = slice(self.first_position, self.first_position + ids.shape[1])
        h = W["embeddings.word_embeddings.weight"][ids]
        h = h + W["embeddings.position_embeddings.weight"][at]
        h = h + W["embeddings.token_type_embeddings.weight"][0]
        h = self._norm(h, "embeddings.LayerNorm")
        seen = None if mask is None else mask[:, None, None, :]
        outputs = []
        for layer in range(self.n_layers):
            h = self._layer(h, seen, f"encoder.layer.{layer}.")
            outputs.append(h)
        return outputs

    def _layer(self, h: Tensor, seen: Tensor | None, name: str) -> Tensor:
        B, T, _ = h.shape
        qkv = self._linear(h, name + "qkv").view(B, T, 3, self.n_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        mixed = mixed.transpose(1, 2).reshape(B, T, self.width)
        attended = self._linear(mixed, name + "attention.output.dense")
        h = self._norm(h + attended, name + "attention.output.LayerNorm")
        inner = self.act(self._linear(h, name + "intermediate.dense"))
        return self._norm(h + self._linear(inner, name + "output.dense"), name + "output.LayerNorm")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        scale, shift = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.layer_norm(x, (self.width,), scale, shift, self.eps)

    def _fitting(self, encoder: Encoder, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights that are used, float32 on the device, checked against the configuration."""
        if self.width % self.n_heads:
            raise _misfit(encoder, f"{self.n_heads} heads do not divide {self.width} features")
        prefix = next((k.partition("embeddings.")[0] for k in state if "embeddings." in k), "")
        found = {}
        for name, shape in self._shapes(encoder).items():
            value = state.get(prefix + name)
            if value is None:
                raise _misfit(encoder, f"{name} is missing")
            if tuple(value.shape) != shape:
                raise _misfit(encoder, f"{name} is {tuple(value.shape)}, and must be {shape}")
            found[name] = value.float().to(self.device)
        for layer in range(self.n_layers):
            own = f"encoder.layer.{layer}."
            for kind in ("weight", "bias"):
                parts = [found.pop(f"{own}attention.self.{name}.{kind}") for name in _QKV]
                found[f"{own}qkv.{kind}"] = torch.cat(parts)
        return found

    def _shapes(self, encoder: Encoder) -> dict[str, tuple[int, ...]]:
        d, inner = self.width, count(encoder, "intermediate_size")
        rows = {
            "word": count(encoder, "vocab_size"),
            "position": count(encoder, "max_position_embeddings"),
            "token_type": count(encoder, "type_vocab_size"),
        }
        shapes: dict[str, tuple[int, ...]] = {
            f"embeddings.{kind}_embeddings.weight": (n, d) for kind, n in rows.items()
        }
        dense = {f"attention.self.{name}": (d, d) for name in _QKV} | {
            "attention.output.dense": (d, d),
            "intermediate.dense": (inner, d),
            "output.dense": (d, inner),
        }
        norms = ["embeddings.LayerNorm"]
        for layer in range(self.n_layers):
            own = f"encoder.layer.{layer}."
            for name, (n_out, n_in) in dense.items():
                shapes |= {f"{own}{name}.weight": (n_out, n_in), f"{own}{name}.bias": (n_out,)}
            norms += [f"{own}attention.output.LayerNorm", f"{own}output.LayerNorm"]
        return shapes | {f"{name}.{kind}": (d,) for name in norms for kind in ("weight", "bias")}


def _read_state(encoder: Encoder) -> dict[str, Tensor]:
    """All weight files of an encoder together, under the names that BERT has today."""
    state: dict[str, Tensor] = {}
    for path in weight_files(encoder.folder):
        state |= read_weights(path)
    # Checkpoints converted from TensorFlow.
    old = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
    for before, after in old.items():
        state = {key.replace(before, after): value for key, value in state.items()}
    return state


def _from_transformers(encoder: Encoder, device: str) -> Network:
    """A network of another kind, built by the package transformers."""
    if importlib.util.find_spec("transformers") is None:
        raise InputError(
            f"the sentence encoder {shown(encoder.folder)} is a {one_line(encoder.arch, limit=40)} "
            "network, which needs the package transformers: pip install 'headstart[hub]', or give "
            f"{argument('encoder')} a BERT or RoBERTa"
        )
    with contextlib.suppress(ImportError, AttributeError):  # a bar of its own, of a quick step
        importlib.import_module("transformers.utils.logging").disable_progress_bar()
    auto = importlib.import_module("transformers").AutoModel
    try:
        model: Any = auto.from_pretrained(
            str(encoder.folder), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # its loaders raise whatever their parsing runs into
        raise _misfit(encoder, one_line(str(error).split("\n")[0], limit=160)) from None
    model = model.eval().requires_grad_(False).float().to(device)

    def forward(ids: Tensor, mask: Tensor) -> list[Tensor]:
        out = model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
        return list(out.hidden_states[-encoder.n_layers :])

    return forward


def _misfit(encoder: Encoder, reason: str) -> WeightsError:
    return WeightsError(
        f"the weights of the sentence encoder {shown(encoder.folder)} do not fit its config.json: "
        f"{reason}. Get its files again"
    )
