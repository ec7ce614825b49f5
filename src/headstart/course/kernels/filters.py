"""First filters of a pretrained network, and its feature maps of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.errors import BackboneError, InputError, argument

if TYPE_CHECKING:
    from PIL import Image

    from headstart.backbones import Backbone

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class FirstFilters:
    """The filters of the first convolution over RGB."""

    layer: str  # path of the layer in the network
    weights: Floats  # (n, k, k, 3)
    stride: int


@dataclass(frozen=True, kw_only=True)
class FeatureMaps:
    """Some of a tap's feature maps of one image."""

    maps: Floats  # (n, H, W); those that vary most over the image, in falling order
    channels: NDArray[np.intp]  # (n,); their channel numbers
    n_channels: int  # number of channels of the tap
    crop: Image.Image  # the network's input


def first_filters(backbone: Backbone) -> FirstFilters:
    """The filters of the first convolution over the three colours.

    Raises BackboneError where there is none.
    """
    from torch import nn

    for path, module in backbone.module.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == 3 and module.groups == 1:
            weights = module.weight.detach().float().cpu().permute(0, 2, 3, 1).numpy()
            return FirstFilters(layer=path, weights=weights, stride=int(module.stride[0]))
    raise BackboneError(
        f"{backbone.name} has no convolution over RGB, so it has no filters to "
        "show: headstart backbones lists others"
    )


def feature_maps(backbone: Backbone, image: Image.Image, tap: str, n_maps: int) -> FeatureMaps:
    """The maps of a tap that vary most over an image.

    Raises BackboneError where there is no such tap; InputError where the tap gives a vector, which
    has no positions.

    `image`: RGB; it is preprocessed for the network. `n_maps`: maximum number of maps.
    """
    import torch
    from PIL import Image

    from headstart.backbones import normalise, tapped_forward, to_uint8

    named = backbone.tap(tap)
    if not named.has_places:
        maps = [t.name for t in backbone.taps if t.has_places]
        raise InputError(
            f"{argument('tap')} {tap} gives a vector, not a map; {backbone.name} has maps at: "
            f"{', '.join(maps) or 'no tap'}"
        )
    crop = to_uint8(image, backbone.preprocessing)
    pixels = normalise(torch.from_numpy(crop)[None], backbone.preprocessing)
    value = tapped_forward(backbone, pixels, [tap])[tap].float()[0]
    if named.kind == "tokens":
        value = value[named.n_prefix :]
        side = round(len(value) ** 0.5)
        value = value.reshape(side, side, -1)
    channels_last = named.kind == "tokens" or named.channels_last
    maps_of = (value.permute(2, 0, 1) if channels_last else value).numpy()
    order = np.argsort(-maps_of.std(axis=(1, 2)), kind="stable")[:n_maps]
    return FeatureMaps(
        maps=maps_of[order], channels=order, n_channels=len(maps_of), crop=Image.fromarray(crop)
    )
