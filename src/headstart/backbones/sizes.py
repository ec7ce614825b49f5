"""Which sides of the input a network is made for, and the network for another side."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from headstart.backbones.backbone import Backbone
from headstart.backbones.taps import find_taps
from headstart.errors import BackboneError, one_line

if TYPE_CHECKING:
    from torch import nn

STRIDE_PX = 32
"""The strides of most networks divide it."""


def size_step(backbone: Backbone) -> int:
    """The pixels by which sizes of a network differ: its patch, or `STRIDE_PX`."""
    return patch_px(backbone) or STRIDE_PX


def patch_px(backbone: Backbone) -> int | None:
    """Side of the patches of a vision transformer whose blocks all have the same tokens."""
    blocks = [tap for tap in backbone.taps if tap.kind == "tokens"]
    widths = {tap.n_features for tap in backbone.taps if tap.kind != "vector"}
    if not blocks or len(widths) != 1 or any(tap.kind == "map" for tap in backbone.taps):
        return None
    module = backbone.module
    found = getattr(getattr(module, "patch_embed", module), "patch_size", None)
    side = found[0] if isinstance(found, tuple | list) else found
    return side if isinstance(side, int) and side >= 4 else None


def at_size(backbone: Backbone, size_px: int) -> Backbone:
    """The same backbone for another input size; for its own size, the backbone itself.

    The module is shared if it takes inputs of any size. Vision transformers of timm and torchvision,
    which are built for one size, are copied with resampled position embeddings; the digest remains
    that of the weights as loaded.

    Parameters
    ----------
    backbone : Backbone
    size_px : int
        Side of the square input, in pixels.

    Raises
    ------
    BackboneError
        If the network cannot take inputs of this side, or the side is not a multiple of the patch
        of a vision transformer, which would drop a strip of the image.
    """
    if size_px == backbone.preprocessing.size_px:
        return backbone
    patch = patch_px(backbone)
    if patch and size_px % patch:
        below = size_px // patch * patch
        near = f"{below} or {below + patch}" if below else f"{patch}"
        raise BackboneError(
            f"{backbone.name} divides images into patches of {patch}x{patch} px, so a size must be a "
            f"multiple of {patch}; got {size_px}: take {near}"
        )
    preprocessing = backbone.preprocessing.at(size_px)
    module = backbone.module
    try:
        taps = find_taps(module, size_px)
    except BackboneError:
        module = _resampled(module, size_px)
        taps = find_taps(module, size_px)
    return dataclasses.replace(backbone, module=module, preprocessing=preprocessing, taps=taps)


def _resampled(module: nn.Module, size_px: int) -> nn.Module:
    """A copy of a transformer for another input size.

    Raises BackboneError where the library cannot resample this one.
    """
    resample: Callable[..., None] | None = getattr(module, "set_input_size", None)
    if resample is None and type(module).__module__ != "torchvision.models.vision_transformer":
        find_taps(module, size_px)  # raises the reason
    module = copy.deepcopy(module)
    try:
        if resample is None:
            _resample_torchvision(module, size_px)
        else:
            module.set_input_size(img_size=size_px)  # type: ignore[operator]
    # timm asserts that patches and windows fill the image.
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        raise BackboneError(
            f"{type(module).__name__} cannot be resampled to an input of {size_px}x{size_px} px "
            f"({one_line(str(error), limit=120)})"
        ) from error
    return module.eval().requires_grad_(False)


def _resample_torchvision(module: nn.Module, size_px: int) -> None:
    """Give torchvision's vision transformer the position embeddings of another size."""
    from torch import nn
    from torchvision.models.vision_transformer import interpolate_embeddings

    name = "encoder.pos_embedding"
    position = module.get_parameter(name).detach()
    if size_px % module.patch_size:  # type: ignore[operator]
        raise ValueError(f"the side is not a multiple of {module.patch_size}")
    resized = interpolate_embeddings(size_px, module.patch_size, {name: position.clone()})[name]
    module.encoder.pos_embedding = nn.Parameter(resized)  # type: ignore[union-attr]
    module.image_size = size_px  # type: ignore[assignment]
