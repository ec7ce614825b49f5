"""Image networks of the package transformers, from the hub or a local folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from headstart.backbones.backbone import Preprocessing
from headstart.backbones.hub import fetch_file, local_folder
from headstart.errors import BackboneError, HeadstartError, WeightsError, argument, one_line

if TYPE_CHECKING:
    from torch import Tensor, nn

    from headstart.backbones.architectures import Architecture

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
# The name that image networks of the package give their input.
IMAGES = "pixel_values"
_FOR_TEXTS = f"A sentence encoder is given with {argument('encoder', 'NAME')}, for a table of texts"
# PIL's numbers of the filters.
_FILTERS = {2: "bilinear", 3: "bicubic"}


@lru_cache(maxsize=8)
def read_processor(arch: Architecture) -> Preprocessing:
    """The preprocessing in ``preprocessor_config.json``.

    Raises BackboneError where there is none, or it does what Headstart does not.
    """
    folder = local_folder(arch)
    if folder is not None and not (folder / PROCESSOR).is_file():
        raise WeightsError(
            f"the folder {one_line(str(folder))} has no {PROCESSOR}, with which image networks of the package "
            f"transformers are saved. {_FOR_TEXTS}"
        )
    path = fetch_file(arch, (PROCESSOR,))
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        size, crop = facts["size"], facts.get("crop_size")
        filters = _FILTERS[facts.get("resample", 2)]
        is_square = isinstance(size, dict) and "shortest_edge" not in size
        if is_square and size["height"] != size.get("width", size["height"]):
            raise ValueError(
                f"images of {size['width']} x {size['height']} px, which are not square"
            )
        shorter = size if isinstance(size, int) else size.get("shortest_edge", size.get("height"))
        side = crop if isinstance(crop, int) else (crop or {}).get("height")
        side = side if side and facts.get("do_center_crop") else shorter
        return Preprocessing(
            size_px=side,
            crop_pct=float(facts.get("crop_pct") or side / shorter),
            interpolation=filters,
            mean=msgspec.convert(facts["image_mean"], tuple[float, float, float]),
            std=msgspec.convert(facts["image_std"], tuple[float, float, float]),
            crop_mode="squash" if is_square else "center",
        )
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        BackboneError,
    ) as error:
        kind = "" if isinstance(error, BackboneError) else f"{type(error).__name__}: "
        raise BackboneError(
            f"the preprocessing of {arch.full_name} ({one_line(str(path))}) is not one that Headstart "
            f"does ({kind}{one_line(str(error))})"
        ) from error


def build_tower(arch: Architecture) -> nn.Module:
    """The image tower with random weights.

    Raises BackboneError where the package is not installed, or has no such network of images.
    """
    kind, config, options = _kind(arch)
    with library_errors(arch):
        return _tower_type()(kind(config, **options))


def load_tower(arch: Architecture, state: Mapping[str, Tensor], *, shown: str) -> nn.Module:
    """The image tower with the weights in `state`, whose names the package converts.

    Names of other parts, such as those of a text tower, are left out as the package does.

    Raises WeightsError where weights are missing or of another shape.
    """
    kind, config, options = _kind(arch)
    with library_errors(arch):
        model, report = kind.from_pretrained(
            None,
            config=config,
            state_dict=dict(state),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # which are reported
            **options,
        )
    missing, misshapen = sorted(report["missing_keys"]), list(report["mismatched_keys"])
    if missing or misshapen:
        named = ", ".join(map(str, [*missing, *misshapen][:3]))
        raise WeightsError(
            f"the weights in {shown} do not fit {arch.full_name}: {len(missing)} missing and "
            f"{len(misshapen)} of another shape ({one_line(named)}). Get the repository again"
        )
    tower: nn.Module = _tower_type()(model.float())
    return tower


def _kind(arch: Architecture) -> tuple[Any, Any, dict[str, Any]]:
    """The class of the image tower, its configuration, and options of its constructor."""
    require_transformers(arch)
    import transformers

    if arch.args:
        raise BackboneError(f"{arch.full_name}: transformers: takes no arguments in brackets")
    path = fetch_file(arch, (CONFIG,))
    with library_errors(arch):
        # Local: code in a repository is never run.
        config = transformers.AutoConfig.from_pretrained(path.parent, trust_remote_code=False)
        vision = getattr(config, "vision_config", None)
        if vision is not None:  # of two towers
            name = f"{type(vision).__name__.removesuffix('Config')}Model"
            projecting = getattr(transformers, f"{name}WithProjection", None)
            if projecting is not None:  # into the space of the texts
                vision.projection_dim = config.projection_dim
            return projecting or getattr(transformers, name), vision, {}
        kind = transformers.AutoModel._model_mapping[type(config)]
    if getattr(kind, "main_input_name", IMAGES) != IMAGES:
        raise BackboneError(
            f"{arch.full_name} ({one_line(config.model_type)}) is not a network for images. {_FOR_TEXTS}"
        )
    # Published poolers of these were not trained.
    untrained = config.model_type in ("vit", "deit")
    return kind, config, {"add_pooling_layer": False} if untrained else {}


def require_transformers(arch: Architecture) -> None:
    """Raise BackboneError where the package is not installed."""
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise BackboneError(
            f"{arch.full_name} needs the package transformers, which is not installed: "
            "pip install 'headstart[hub]'"
        ) from error


@contextlib.contextmanager
def library_errors(arch: Architecture) -> Iterator[None]:
    """Errors of the package's code as one line."""
    import transformers
    from transformers.utils import logging

    verbosity: Any = logging

    before, has_bar = verbosity.get_verbosity(), verbosity.is_progress_bar_enabled()
    verbosity.set_verbosity_error()  # it prints a table of the weights it leaves out
    verbosity.disable_progress_bar()
    try:
        yield
    except HeadstartError:
        raise
    except Exception as error:  # its code raises classes of its own, which change between versions
        raise BackboneError(
            f"transformers {transformers.__version__} cannot build {arch.full_name} "
            f"({one_line(' '.join(str(error).split()), limit=160)})"
        ) from error
    finally:
        verbosity.set_verbosity(before)
        if has_bar:
            verbosity.enable_progress_bar()


@lru_cache(maxsize=1)
def _tower_type() -> type[nn.Module]:
    """The class, made when torch is there."""
    import torch
    from torch import nn

    class TransformersTower(nn.Module):
        """Images to the vector that the network's own heads see; tokens are its layers'."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model
            config: Any = model.config
            # With a projection into the space of texts, the output is an embedding.
            projects = hasattr(model, "visual_projection")
            self.num_classes = int(config.projection_dim) if projects else 0
            self.pretrained_cfg = {"num_classes": self.num_classes}
            self.num_reg_tokens = int(getattr(config, "num_register_tokens", 0) or 0)
            names = [name for name, _ in model.named_parameters()]
            has_class = any(n.endswith(("cls_token", "class_embedding")) for n in names)
            # The tokens before the patches; a distillation token is one of them.
            n_distilled = sum(n.endswith("distillation_token") for n in names)
            self.num_prefix_tokens = self.num_reg_tokens + int(has_class) + n_distilled
            self.global_pool = "token" if has_class else ""
            self.layers_path = _layers_path(model)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found = self.model(pixel_values=images)
            embedding = getattr(found, "image_embeds", None)
            if embedding is not None:
                return embedding  # type: ignore[no-any-return]
            pooled = getattr(found, "pooler_output", None)
            tokens: torch.Tensor = found.last_hidden_state
            if pooled is None:
                return tokens[:, 0] if self.global_pool else tokens.mean(dim=1)
            features: torch.Tensor = pooled.flatten(1)
            return features

    return TransformersTower


def _layers_path(model: nn.Module) -> str:
    """The path of the list of blocks: the longest list of modules of one kind."""
    from torch import nn

    lists = {
        f"model.{name}": len(module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len({type(part) for part in module}) == 1
    }
    return max(lists, key=lambda name: (lists[name], -name.count(".")), default="")
