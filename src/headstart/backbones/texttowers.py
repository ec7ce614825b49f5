"""The text tower of a network that was trained on pairs of images and texts, such as CLIP.

Image and text are compared by the cosine of two vectors: the network's last tap for the image, and what
the text tower gives for the text. It is in the repository of the image tower, in the format of the
package transformers (CLIP, SigLIP and others) or of open_clip (its own text transformer).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.architectures import Architecture, resolve
from headstart.backbones.backbone import HUBS
from headstart.backbones.hub import digest_in_blob, fetch_file, fetch_published
from headstart.backbones.hubmodels import OPEN_CLIP_CONFIG
from headstart.backbones.transformersmodels import CONFIG, library_errors, require_transformers
from headstart.backbones.weights import read_weights
from headstart.errors import BackboneError, WeightsError, argument, one_line
from headstart.files import digest_file

if TYPE_CHECKING:
    from torch import Tensor

    from headstart.backbones.backbone import Backbone

BATCH_SIZE = 64
_TOKENIZERS = ("tokenizer.json", "spiece.model", "vocab.json", "vocab.txt")
_BESIDE_TOKENIZERS = ("tokenizer_config.json", "special_tokens_map.json", "merges.txt")
# What open_clip's own text transformer is configured by; others change what it computes.
_OPEN_CLIP_TEXT = ("context_length", "vocab_size", "width", "heads", "layers")
_NEUTRAL = ("hf_tokenizer_name", "tokenizer_kwargs")
_ELSEWHERE = (
    "Networks with one are repositories of CLIP or SigLIP, such as "
    "transformers:openai/clip-vit-base-patch32 or hf-hub:imageomics/bioclip"
)


@dataclass(frozen=True, kw_only=True)
class TextTower:
    """A text tower with its tokenizer."""

    scale: float  # what the network multiplies cosines by before the softmax
    n_features: int  # `d`, that of the image's vector as well
    is_projected: bool  # whether the image's vector is a projection of what the image tower pools
    _encode: Callable[[Sequence[str]], Tensor]

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Vectors (n, d) of unit length."""
        import torch

        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH_SIZE):
                parts.append(self._encode(texts[start : start + BATCH_SIZE]).double().numpy())
        found = np.concatenate(parts)
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def has_text_tower(arch: Architecture) -> bool:
    """Whether the configuration in a repository names a text tower; weights are not read.

    Raises WeightsError where the configuration cannot be had.
    """
    return _tower_config(arch) is not None


@lru_cache(maxsize=8)
def _tower_config(arch: Architecture) -> dict[str, Any] | None:
    """The configuration in a repository, where it names a text tower: of open_clip its ``model_cfg``."""
    if not arch.is_of_hub:
        return None
    is_open_clip = arch.library == "hf-hub"
    names: tuple[str, ...] = (CONFIG,)
    parts = {"text_config", "vision_config"}
    if is_open_clip:
        names, parts = (OPEN_CLIP_CONFIG, CONFIG), {"text_cfg"}
    path = fetch_file(arch, names)
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        facts = json.loads(path.read_text("utf-8"))
        own: dict[str, Any] = facts["model_cfg"] if is_open_clip else facts
        return own if parts <= own.keys() and path.name == names[0] else None
    return None


def require_text_tower(names: Sequence[str]) -> None:
    """Raise where no backbone of these names has a text tower; a weight file has none.

    Raises BackboneError or WeightsError where the configuration of one cannot be had.
    """
    if not any(name.partition(":")[0] in HUBS and has_text_tower(resolve(name)) for name in names):
        said = "has no text tower" if len(names) == 1 else "have no text towers"
        raise BackboneError(
            f"{one_line(', '.join(names))} {said}, which a zero-shot head needs: name another with "
            f"{argument('backbone')}. {_ELSEWHERE}"
        )


def load_text_tower(backbone: Backbone) -> TextTower:
    """The text tower beside an image tower.

    Raises BackboneError where the network has no text tower, or one that is compared with images in
    another way; WeightsError where its weights or its tokenizer are missing or do not fit.
    """
    arch = resolve(backbone.arch)
    if (facts := _tower_config(arch)) is None:
        raise BackboneError(f"{backbone.name} has no text tower. {_ELSEWHERE}")
    is_open_clip = arch.library == "hf-hub"
    tower = _of_open_clip(arch, facts) if is_open_clip else _of_transformers(arch)
    last = backbone.taps[-1]
    is_projected = last.name == "embedding" or not tower.is_projected
    if last.n_features != tower.n_features or not is_projected:
        raise BackboneError(
            f"Headstart reads {last.n_features} features of images from {backbone.name} without the "
            f"projection that makes them comparable with its {tower.n_features} features of texts. {_ELSEWHERE}"
        )
    return tower


def text_tower_digests(arch: Architecture) -> list[str]:
    """Of all files that decide what the text tower of a repository computes.

    Raises WeightsError where one is missing.
    """
    weights = fetch_published(arch)[0]
    named = [OPEN_CLIP_CONFIG, CONFIG] if arch.library == "hf-hub" else [CONFIG]
    paths = [fetch_file(arch, named), _fetch_tokenizer(arch, _TOKENIZERS)]
    for name in (*_TOKENIZERS, *_BESIDE_TOKENIZERS):
        beside = paths[-1].with_name(name)
        if beside.is_file() and beside not in paths:
            paths.append(beside)
    return [digest_in_blob(weights) or digest_file(weights), *map(digest_file, sorted(paths))]


def _of_transformers(arch: Architecture) -> TextTower:
    require_transformers(arch)
    from transformers import AutoConfig, AutoModelForZeroShotImageClassification, AutoTokenizer

    folder = fetch_file(arch, (CONFIG,)).parent
    state = read_weights(fetch_published(arch)[0])
    _fetch_tokenizer(arch, _TOKENIZERS)
    with library_errors(arch):
        config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        kind: Any = AutoModelForZeroShotImageClassification._model_mapping[type(config)]
        with _all_fit(arch):
            model, report = kind.from_pretrained(
                None,
                config=config,
                state_dict=state,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # which are reported
            )
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    missing = sorted(report["missing_keys"])
    if missing or report["mismatched_keys"]:
        raise _misfit(arch, missing or sorted(map(str, report["mismatched_keys"])))
    scale = getattr(model, "logit_scale", None)
    is_siglip = config.model_type.startswith("siglip")
    projects = hasattr(model, "visual_projection")
    if scale is None or not (is_siglip or projects):
        raise BackboneError(
            f"Headstart does not know how {arch.full_name} ({config.model_type}) compares images with "
            f"texts. {_ELSEWHERE}"
        )
    model = model.float().eval()
    n_tokens = int(config.text_config.max_position_embeddings)
    # SigLIP was trained on texts that were padded, with nothing masked.
    padded: dict[str, Any] = {"padding": "max_length" if is_siglip else True}

    def encode(texts: Sequence[str]) -> Tensor:
        given = [text.lower() for text in texts] if is_siglip else list(texts)
        tokens = tokenizer(
            given, max_length=n_tokens, truncation=True, return_tensors="pt", **padded
        )
        mask = {} if is_siglip else {"attention_mask": tokens["attention_mask"]}
        found: Tensor = model.get_text_features(tokens["input_ids"], **mask).pooler_output
        return found

    n_features = config.text_config.hidden_size if is_siglip else config.projection_dim
    if is_siglip:
        n_features = getattr(config.text_config, "projection_size", None) or n_features
    return TextTower(
        scale=float(scale.detach().exp()),
        n_features=n_features,
        is_projected=projects,
        _encode=encode,
    )


def _of_open_clip(arch: Architecture, facts: Mapping[str, Any]) -> TextTower:
    """open_clip's own text transformer, which has the layers of CLIP's in the package transformers."""
    require_transformers(arch)
    import torch
    from tokenizers import Tokenizer
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    text = facts["text_cfg"]
    other = sorted(set(text) - {*_OPEN_CLIP_TEXT, *_NEUTRAL})
    if other or not set(_OPEN_CLIP_TEXT) <= set(text) or facts.get("custom_text"):
        what = ", ".join(other) or "custom_text"
        raise BackboneError(
            f"the text tower of {arch.full_name} is not open_clip's plain one ({one_line(what)}): take "
            "the same network in the format of transformers, as transformers:OWNER/NAME"
        )
    state = read_weights(fetch_published(arch)[0])
    path = _fetch_tokenizer(arch, _TOKENIZERS[:1])
    with library_errors(arch):
        config = CLIPTextConfig(
            hidden_size=text["width"],
            intermediate_size=4 * text["width"],
            projection_dim=facts["embed_dim"],
            num_hidden_layers=text["layers"],
            num_attention_heads=text["heads"],
            max_position_embeddings=text["context_length"],
            vocab_size=text["vocab_size"],
            hidden_act="quick_gelu" if facts.get("quick_gelu") else "gelu",
            eos_token_id=2,  # that is: the end of a text is where the number of the token is largest
        )
        model: Any = CLIPTextModelWithProjection(config)
        model.eval()
        with _all_fit(arch):
            model.load_state_dict(_as_transformers(state, text["layers"]))
        tokenizer: Any = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(text["context_length"])
    tokenizer.enable_padding(pad_id=0)

    def encode(texts: Sequence[str]) -> Tensor:
        ids = torch.tensor([found.ids for found in tokenizer.encode_batch(list(texts))])
        found: Tensor = model(input_ids=ids).text_embeds
        return found

    return TextTower(
        scale=float(state["logit_scale"].exp()),
        n_features=facts["embed_dim"],
        is_projected=True,
        _encode=encode,
    )


def _as_transformers(state: Mapping[str, Tensor], n_layers: int) -> dict[str, Tensor]:
    """The weights of open_clip's text transformer under the names of transformers."""
    prefix = "text." if "text.token_embedding.weight" in state else ""
    own = {key.removeprefix(prefix): value for key, value in state.items()}
    found = {
        "text_model.embeddings.token_embedding.weight": own["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": own["positional_embedding"],
        "text_projection.weight": own["text_projection"].T,
    }
    for part in ("weight", "bias"):
        found[f"text_model.final_layer_norm.{part}"] = own[f"ln_final.{part}"]
        for i in range(n_layers):
            theirs, ours = f"transformer.resblocks.{i}", f"text_model.encoder.layers.{i}"
            thirds = own[f"{theirs}.attn.in_proj_{part}"].chunk(3)
            for name, third in zip(("q_proj", "k_proj", "v_proj"), thirds, strict=True):
                found[f"{ours}.self_attn.{name}.{part}"] = third
            for a, b in (
                ("attn.out_proj", "self_attn.out_proj"),
                ("ln_1", "layer_norm1"),
                ("ln_2", "layer_norm2"),
                ("mlp.c_fc", "mlp.fc1"),
                ("mlp.c_proj", "mlp.fc2"),
            ):
                found[f"{ours}.{b}.{part}"] = own[f"{theirs}.{a}.{part}"]
    return found


def _fetch_tokenizer(arch: Architecture, names: Sequence[str]) -> Any:
    """The tokenizer's file; those beside it are fetched where there are some."""
    path = fetch_file(arch, names)
    for name in _BESIDE_TOKENIZERS:
        with contextlib.suppress(WeightsError):
            fetch_file(arch, (name,))
    return path


@contextlib.contextmanager
def _all_fit(arch: Architecture) -> Iterator[None]:
    """Missing and misshapen weights as one line."""
    try:
        yield
    except (KeyError, RuntimeError) as error:
        raise _misfit(arch, [str(error).strip().split("\n")[-1]]) from error


def _misfit(arch: Architecture, names: Sequence[str]) -> WeightsError:
    named = one_line(", ".join(names[:3]), limit=160)
    return WeightsError(
        f"the weights in {arch.full_name} do not fit its text tower ({named}). Get the repository again"
    )
