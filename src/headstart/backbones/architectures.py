"""Names of architectures, and the networks they refer to."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from headstart.backbones.archargs import Args, constructor_args, join_args, split_args
from headstart.backbones.backbone import HUBS, Preprocessing
from headstart.backbones.embedded import EMBEDDED, find_embedded
from headstart.backbones.hubmodels import build_hub_model, hub_model
from headstart.backbones.preprocessing import from_timm, from_torchvision
from headstart.backbones.transformersmodels import build_tower, read_processor
from headstart.errors import BackboneError, argument, did_you_mean, one_line
from headstart.home import expand

if TYPE_CHECKING:
    from torch import nn

_HALF = (0.5, 0.5, 0.5)
_LIBRARIES = ("", "headstart", "timm", "torchvision")
_TORCHVISION_LICENCE = "BSD-3-Clause (torchvision), trained on ImageNet"


@dataclass(frozen=True, slots=True)
class Extra:
    """An architecture that timm can build but does not list."""

    channel_multiplier: float
    preprocessing: Preprocessing
    licence: str


# torch.hub's names of Meta's networks, and timm's.
_SIZES = {"s": "small", "b": "base", "l": "large", "g": "giant"}
ALIASES = {
    **{f"dinov2_vit{s}14": f"vit_{n}_patch14_dinov2" for s, n in _SIZES.items()},
    **{f"dinov2_vit{s}14_reg": f"vit_{n}_patch14_reg4_dinov2" for s, n in _SIZES.items()},
    "dinov3_vits16": "vit_small_patch16_dinov3",
    "dinov3_vits16plus": "vit_small_plus_patch16_dinov3",
    "dinov3_vitb16": "vit_base_patch16_dinov3",
    "dinov3_vitl16": "vit_large_patch16_dinov3",
    "dinov3_vith16plus": "vit_huge_plus_patch16_dinov3",
    "dinov3_vit7b16": "vit_7b_patch16_dinov3",
    "dinov3_convnext_tiny": "convnext_tiny.dinov3_lvd1689m",
    "dinov3_convnext_small": "convnext_small.dinov3_lvd1689m",
    "dinov3_convnext_base": "convnext_base.dinov3_lvd1689m",
    "dinov3_convnext_large": "convnext_large.dinov3_lvd1689m",
    "dino_vits16": "vit_small_patch16_224.dino",
    "dino_vits8": "vit_small_patch8_224.dino",
    "dino_vitb16": "vit_base_patch16_224.dino",
    "dino_vitb8": "vit_base_patch8_224.dino",
}

# MobileNet v1 (Howard et al., 2017) with the settings of the TensorFlow checkpoints.
EXTRAS = {
    "mobilenetv1_075": Extra(
        channel_multiplier=0.75,
        preprocessing=Preprocessing(
            size_px=224,
            crop_pct=0.875,
            interpolation="bilinear",
            mean=_HALF,
            std=_HALF,
        ),
        licence="Apache-2.0",
    ),
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """A resolved name: `library` is ``"torchvision"``, ``"timm"`` or ``"headstart"`` (`EXTRAS`).

    Or it is one of `HUBS`, and `name` a repository of the Hugging Face hub or a folder. ``tag`` names
    one of several published weights (``"a1_in1k"``, ``"IMAGENET1K_V1"``), or is empty for the
    default. ``args`` are passed to the constructor.
    """

    library: str
    name: str
    tag: str = ""
    args: Args = ()

    @property
    def full_name(self) -> str:
        """``"timm:resnet50.a1_in1k"``; `resolve` reads it back."""
        return join_args(f"{self.library}:{self.timm_name}", self.args)

    @property
    def is_of_hub(self) -> bool:
        """Whether a repository or a folder says what the network is."""
        return self.library in HUBS

    @property
    def timm_name(self) -> str:
        """``"resnet50.a1_in1k"``: without the library."""
        return f"{self.name}.{self.tag}" if self.tag else self.name


@cache
def known_names() -> tuple[str, ...]:
    """Every name that `resolve` takes, without prefixes and tags."""
    import timm

    names = {*_torchvision_names(), *timm.list_models(), *EXTRAS, *EMBEDDED, "embedded:lite0"}
    return tuple(sorted(names))


@cache
def _torchvision_names() -> tuple[str, ...]:
    from torchvision import models

    return tuple(models.list_models(module=models))


def resolve(name: str) -> Architecture:
    """The architecture that a name refers to.

    Raises BackboneError if no library has it.

    Parameters
    ----------
    name : str
        ``"torchvision:NAME"``, ``"timm:NAME"`` or a bare name, which means torchvision's if
        both have it. A tag of published weights may follow after a dot. ``"embedded"``,
        ``"embedded:lite1"``, ... mean the architecture of those weights, and ``"dinov2_vits14"``
        and its like those of torch.hub. ``"hf-hub:OWNER/NAME"`` is a repository in timm's or
        open_clip's format, ``"transformers:OWNER/NAME"`` one of the package transformers; a folder
        may stand for either. Arguments of the constructor may follow in brackets:
        ``"vit_small_patch16_224[num_classes=0]"``.
    """
    name, args = split_args(name)
    if name.partition(":")[0] in HUBS:
        return dataclasses.replace(_of_hub(name), args=args)
    network = find_embedded(name)
    if network is not None:
        library, _, bare = network.arch.partition(":")
        return Architecture(library, bare, args=args)  # to ask timm takes two seconds
    return dataclasses.replace(_resolve_plain(ALIASES.get(name, name)), args=args)


def _of_hub(name: str) -> Architecture:
    """A repository by its form alone; whether it exists is known when it is fetched."""
    library, _, place = name.partition(":")
    if place and expand(place).exists():
        return Architecture(library, str(expand(place).absolute()))
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", place):
        raise BackboneError(
            f"{one_line(name, limit=80)!r} is neither a folder nor OWNER/NAME, a repository of the "
            f"Hugging Face hub"
        )
    return Architecture(library, place)


def _resolve_plain(name: str) -> Architecture:
    library, colon, rest = name.partition(":")
    if not colon:
        library, rest = "", name
    bare, _, tag = rest.partition(".")
    if library in ("", "headstart") and bare in EXTRAS:
        return Architecture("headstart", bare)
    if library in ("", "torchvision") and _has_torchvision(bare, tag):
        return Architecture("torchvision", bare, tag)
    if library in ("", "timm") and _has_timm(bare, tag):
        return Architecture("timm", bare, tag)
    tags = _tags(library, bare)
    if tag and tags:
        raise BackboneError(
            f"{one_line(bare)} has no published weights {one_line(tag)!r}; "
            f"it has: {', '.join(tags)}"
        )
    if expand(name).is_dir():
        raise BackboneError(
            f"{one_line(name, limit=80)!r} is a folder: put transformers: before its name where it is in the format "
            "of the package transformers, and hf-hub: where it is in timm's or open_clip's"
        )
    if "/" in rest:
        raise BackboneError(
            f"unknown backbone {one_line(name, limit=80)!r}. A repository of the Hugging Face hub is "
            f"hf-hub:OWNER/NAME in timm's or open_clip's format, and transformers:OWNER/NAME in that of the "
            f"package transformers"
        )
    if library == "open_clip":
        raise BackboneError(
            f"open_clip's image towers are in timm, such as timm:vit_base_patch16_clip_224.openai, or "
            f"repositories: hf-hub:OWNER/NAME. Got {one_line(name, limit=80)!r}"
        )
    raise BackboneError(
        f"unknown backbone {one_line(name, limit=80)!r}."
        f"{did_you_mean((rest if library in _LIBRARIES else name).lower(), known_names())} headstart backbones lists a choice; any timm "
        f"or torchvision classification model will do, as timm:NAME or torchvision:NAME"
    )


def _has_torchvision(bare: str, tag: str) -> bool:
    return bare in _torchvision_names() and (not tag or tag in _torchvision_tags(bare))


def _torchvision_tags(bare: str) -> list[str]:
    from torchvision import models

    return list(models.get_model_weights(bare).__members__)


def _has_timm(bare: str, tag: str) -> bool:
    import timm

    return timm.is_model(bare) and (not tag or tag in _timm_tags(bare))


def _timm_tags(bare: str) -> list[str]:
    from timm.models import list_pretrained

    return [n.partition(".")[2] for n in list_pretrained(f"{bare}.*")]


def _tags(library: str, bare: str) -> list[str]:
    import timm

    tags = []
    if library in ("", "torchvision") and bare in _torchvision_names():
        tags += _torchvision_tags(bare)
    if library in ("", "timm") and timm.is_model(bare):
        tags += _timm_tags(bare)
    return tags


def torchvision_weights(arch: Architecture, file_name: str = "") -> Any:
    """torchvision's record of published weights.

    That of the tag, else of the published file called `file_name`, else the default.
    """
    from torchvision import models

    published = models.get_model_weights(arch.name)
    for weights in published:
        if arch.tag == weights.name or (file_name and weights.url.endswith(f"/{file_name}")):
            return weights
    return published.DEFAULT


def timm_cfg(arch: Architecture) -> Any:
    """timm's record of published weights (``pretrained_cfg``)."""
    import timm

    return timm.get_pretrained_cfg(arch.timm_name)


def own_preprocessing(arch: Architecture, file_name: str = "") -> Preprocessing:
    """The architecture's own preprocessing, from its library's metadata.

    `file_name` of local weights selects among published weights of the same name.
    """
    own = _library_preprocessing(arch, file_name)
    side = dict(arch.args).get("img_size", own.size_px)
    if not isinstance(side, int) or side < 1:
        raise BackboneError(
            f"Headstart feeds square images: img_size must be one number of pixels, 1 or more; got {side}"
        )
    return own.at(side)


def _library_preprocessing(arch: Architecture, file_name: str) -> Preprocessing:
    if arch.library == "hf-hub":
        return hub_model(arch).preprocessing(arch.full_name)
    if arch.library == "transformers":
        return read_processor(arch)
    if arch.library == "headstart":
        return EXTRAS[arch.name].preprocessing
    if arch.library == "torchvision":
        return from_torchvision(torchvision_weights(arch, file_name))
    cfg = timm_cfg(arch)
    if cfg is None:
        raise BackboneError(
            f"timm records no preprocessing for {arch.name}; choose an architecture that has one"
        )
    return from_timm(cfg, arch.full_name)


def own_licence(arch: Architecture) -> str:
    """Licence of the published weights, or ``"see model card"``."""
    if arch.library == "hf-hub" and hub_model(arch).licence != "see model card":
        return hub_model(arch).licence
    if arch.is_of_hub:
        from headstart.backbones.hub import published_licence

        return published_licence(arch)
    if arch.library == "headstart":
        return EXTRAS[arch.name].licence
    if arch.library == "torchvision":
        # Only weights under other terms (SWAG: CC-BY-NC 4.0) name a licence.
        own = getattr(torchvision_weights(arch), "meta", {}).get("license")
        return f"see {own}" if own else _TORCHVISION_LICENCE
    licence = getattr(timm_cfg(arch), "license", None)
    return licence if licence and licence != "unknown" else "see model card"


def build(arch: Architecture, *, size_px: int | None = None, seed: int | None = None) -> nn.Module:
    """The network with random weights, in evaluation mode.

    `arch`: from `resolve`. `size_px`: side of the input, for torchvision's vision transformers,
    which are built for one side. `seed`: random seed for the initial weights; the global generator
    is not changed. None: the weights are replaced anyway.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        try:
            if arch.library == "torchvision":
                module = _build_torchvision(arch, size_px, initialise=seed is not None)
            elif arch.library == "hf-hub":
                module = build_hub_model(arch)
            elif arch.library == "transformers":
                module = build_tower(arch)
            else:
                module = _build_timm(arch)
        except (TypeError, AssertionError, ValueError, AttributeError, RuntimeError) as error:
            if not arch.args or isinstance(error, NotImplementedError):
                raise
            raise BackboneError(
                f"{arch.library} cannot build {arch.full_name} ({one_line(str(error), limit=160)}): check "
                f"{argument('arch_args')}"
            ) from error
    return module.eval()


def build_empty(arch: Architecture, size_px: int | None = None) -> nn.Module:
    """The network on the meta device, without memory for weights, for shapes and counts."""
    import torch

    try:
        with torch.device("meta"):
            return build(arch, size_px=size_px)
    # torchvision's RegNets compute their widths with tensors, which need values.
    except (NotImplementedError, RuntimeError):
        return build(arch, size_px=size_px).to("meta")


def _build_timm(arch: Architecture) -> nn.Module:
    import timm

    module: nn.Module
    if arch.library == "headstart":
        from timm.models import efficientnet

        generate: Callable[..., nn.Module] = efficientnet._gen_mobilenet_v1
        multiplier = EXTRAS[arch.name].channel_multiplier
        module = generate(
            "mobilenetv1_100", channel_multiplier=multiplier, bn_eps=1e-3, pad_type="same"
        )
    else:
        module = timm.create_model(arch.timm_name, pretrained=False, **constructor_args(arch.args))
    return module


def _build_torchvision(arch: Architecture, size_px: int | None, *, initialise: bool) -> nn.Module:
    from torch import nn
    from torchvision import models

    options: dict[str, Any] = {}
    if arch.name in ("inception_v3", "googlenet"):
        # Published weights expect inputs rescaled inside, and carry the auxiliary heads.
        options = {"aux_logits": True, "transform_input": True, "init_weights": initialise}
    elif arch.name.startswith("vgg"):
        options = {"init_weights": initialise}
    elif arch.name.startswith("vit_") and size_px is not None:
        options = {"image_size": size_px}
    options |= dict(arch.args)
    is_headless = options.get("num_classes") == 0
    if is_headless:
        del options["num_classes"]
    module: nn.Module = models.get_model(arch.name, weights=None, **options)
    if is_headless:
        path = classifier_path(module)
        if not path:
            raise BackboneError(f"{arch.full_name} has no linear layer at its end to leave out")
        module.set_submodule(path, nn.Identity())
        module.num_classes = 0  # type: ignore[assignment]
    return module


def classifier_path(module: nn.Module) -> str:
    """Path of the classifier, in published networks the last linear layer; empty without one."""
    from torch import nn

    cfg: dict[str, Any] = getattr(module, "pretrained_cfg", {})
    named = cfg.get("classifier")
    if isinstance(named, str):
        return named
    linear = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    return linear[-1] if linear else ""


def drop_auxiliary_heads(module: nn.Module) -> None:
    """Remove the heads of Inception and GoogLeNet that only training uses."""
    for name in ("AuxLogits", "aux1", "aux2"):
        if getattr(module, name, None) is not None:
            setattr(module, name, None)
            module.aux_logits = False  # type: ignore[assignment]
