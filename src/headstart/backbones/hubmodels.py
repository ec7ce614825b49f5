"""Networks of the Hugging Face hub in timm's and open_clip's format, which timm builds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from headstart.backbones.archargs import constructor_args
from headstart.backbones.backbone import Preprocessing
from headstart.backbones.hub import fetch_file
from headstart.backbones.preprocessing import from_timm
from headstart.errors import BackboneError, one_line

if TYPE_CHECKING:
    from torch import nn

    from headstart.backbones.architectures import Architecture

TIMM_CONFIG, OPEN_CLIP_CONFIG = "config.json", "open_clip_config.json"
_OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
_OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
WEIGHTS = {
    TIMM_CONFIG: ("model.safetensors", "pytorch_model.bin"),
    OPEN_CLIP_CONFIG: ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class HubModel:
    """What a repository's configuration says of its network."""

    base: str  # timm's name of the architecture
    args: Mapping[str, Any]  # arguments of its constructor
    cfg: Mapping[str, Any]  # in the form of timm's ``pretrained_cfg``
    # names of the weight file, in order of preference
    files: tuple[str, ...] = field(default=WEIGHTS[TIMM_CONFIG])

    def preprocessing(self, shown: str) -> Preprocessing:
        """The network's own."""
        from timm.models import PretrainedCfg

        defaults = dataclasses.asdict(PretrainedCfg())
        size = self.args.get("img_size")
        sized = {"input_size": (3, size, size)} if isinstance(size, int) else {}
        return from_timm(SimpleNamespace(**{**defaults, **self.cfg, **sized}), shown)

    @property
    def licence(self) -> str:
        """As the configuration names it."""
        return str(self.cfg.get("license") or "see model card")


@lru_cache(maxsize=8)
def hub_model(arch: Architecture) -> HubModel:
    """Read the configuration in a repository of the hub.

    Raises BackboneError where it is in a format that timm cannot build; WeightsError where it
    cannot be had.
    """
    path = fetch_file(arch, (OPEN_CLIP_CONFIG, TIMM_CONFIG))
    return read_config(path, arch.full_name)


def read_config(path: Path, shown: str) -> HubModel:
    """The configuration in a file, of timm's or open_clip's format.

    Raises BackboneError where it is neither.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        kind = facts.get("model_type")
        if path.name == OPEN_CLIP_CONFIG:
            return _known(_open_clip(facts), shown)
        if "architecture" in facts:
            return _known(_timm(facts), shown)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackboneError(
            f"the configuration of {shown}, {one_line(str(path))}, cannot be read ({one_line(str(error))})"
        ) from error
    hint = f": it is of the package transformers, take transformers:{shown.partition(':')[2]}"
    raise BackboneError(
        f"the configuration of {shown} is not in timm's format{hint if kind else ''}"
    )


def _known(model: HubModel, shown: str) -> HubModel:
    """The same, if timm has its architecture."""
    import timm

    if not (isinstance(model.base, str) and timm.is_model(model.base)):
        raise BackboneError(
            f"the configuration of {shown} names the architecture {one_line(repr(model.base), limit=80)}, "
            f"which timm {timm.__version__} does not have"
        )
    return model


def _timm(facts: dict[str, Any]) -> HubModel:
    from timm.models._hub import _parse_model_cfg

    cfg, base, args = _parse_model_cfg(facts, {})
    return HubModel(base=base, args=args or {}, cfg=cfg)


def _open_clip(facts: dict[str, Any]) -> HubModel:
    """The image tower: of timm's, or a vision transformer of open_clip's own."""
    model, how = facts["model_cfg"], facts.get("preprocess_cfg") or {}
    vision, width = model["vision_cfg"], model["embed_dim"]
    size = vision.get("image_size", 224)
    size = size if isinstance(size, int) else size[0]
    cfg = {
        "input_size": (3, size, size),
        "mean": tuple(how.get("mean", _OPENAI_MEAN)),
        "std": tuple(how.get("std", _OPENAI_STD)),
        "interpolation": how.get("interpolation", "bicubic"),
        "crop_mode": {"shortest": "center", "": "center"}.get(
            how.get("resize_mode", ""), how.get("resize_mode")
        ),
        "crop_pct": 1.0,
        "num_classes": width,
    }
    files = WEIGHTS[OPEN_CLIP_CONFIG]
    if "timm_model_name" in vision:
        # The projection into the space of the texts is open_clip's own, and is left out.
        args: dict[str, Any] = {"num_classes": 0}
        if "vit" in vision["timm_model_name"]:
            args["img_size"] = size
        if vision.get("timm_pool"):
            args["global_pool"] = {"abs_attn": "map"}.get(vision["timm_pool"], vision["timm_pool"])
        return HubModel(base=vision["timm_model_name"], args=args, cfg=cfg, files=files)
    if isinstance(vision.get("layers"), list):
        raise BackboneError("open_clip's own ResNets are in timm: take timm:resnet50_clip")
    quick = "_quickgelu" if model.get("quick_gelu") else ""
    args = {
        "img_size": size,
        "patch_size": vision["patch_size"],
        "embed_dim": vision["width"],
        "depth": vision["layers"],
        "num_heads": vision["width"] // vision.get("head_width", 64),
        "mlp_ratio": vision.get("mlp_ratio", 4.0),
        "num_classes": width,
    }
    return HubModel(base=f"vit_base_patch16_clip{quick}_224", args=args, cfg=cfg, files=files)


def build_hub_model(arch: Architecture) -> nn.Module:
    """The network with random weights."""
    import timm

    found = hub_model(arch)
    try:
        args = {**found.args, **constructor_args(arch.args)}
        module: nn.Module = timm.create_model(found.base, pretrained=False, **args)
    except (TypeError, RuntimeError, ValueError) as error:
        raise BackboneError(
            f"timm cannot build {arch.full_name} ({one_line(str(error), limit=160)})"
        ) from error
    module.pretrained_cfg = dict(found.cfg)  # type: ignore[assignment]
    return module
