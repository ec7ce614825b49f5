"""From an image to the network's input, with preprocessing from timm's and torchvision's metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from headstart.backbones.backbone import CROP_MODES, Preprocessing
from headstart.errors import BackboneError, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


MAX_ASPECT = 16
"""Images with a larger ratio of sides are cropped before they are resized."""


def centre_window(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int, int, int]:
    """``(left, top, right, bottom)`` of the part of an image that is resized.

    This is the whole image, unless its sides differ by more than a factor of `MAX_ASPECT` and a centre
    crop follows: then the ends of the longer side, which the crop would remove anyway, are cut off
    first, since resizing an image of 1,000,000 x 1 pixels would take gigabytes. Both ends lose the
    same number of pixels, so the crop moves by less than one pixel of the resized image.
    """
    width, height = size
    if preprocessing.crop_mode != "center":
        return 0, 0, width, height
    longest = MAX_ASPECT * min(size)
    left, top = (max(length - longest, 0) // 2 for length in size)
    return left, top, width - left, height - top


def resized_size(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """``(width, height)`` to which an image of `size` is resized before the crop."""
    width, height = size
    target = preprocessing.resize_px
    if preprocessing.crop_mode == "squash":
        return target, target
    if preprocessing.crop_mode == "letterbox":
        ratio = max(width / target, height / target)
        return max(1, round(width / ratio)), max(1, round(height / ratio))
    if width <= height:
        return target, int(target * height / width)
    return int(target * width / height), target


def crop_offset(length: int, side: int) -> int:
    """Offset of a centre crop; halves are rounded as in torchvision's CenterCrop.

    Negative if the image is smaller than the crop, which is then padded with black.
    """
    return round((length - side) / 2.0) if length >= side else -((side - length) // 2)


def resize_and_crop(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """`image` resized with antialiasing and cropped to ``size_px`` squared."""
    window = centre_window(image.size, preprocessing)
    if window != (0, 0, *image.size):
        image = image.crop(window)
    new_size = resized_size(image.size, preprocessing)
    if new_size != image.size:
        image = image.resize(new_size, _FILTERS[preprocessing.interpolation])
    side = preprocessing.size_px
    left, top = crop_offset(image.width, side), crop_offset(image.height, side)
    if preprocessing.crop_mode == "letterbox":
        whole = Image.new("RGB", (side, side), preprocessing.fill)
        whole.paste(image, (-left, -top))
        return whole
    return image.crop((left, top, left + side, top + side))


def to_uint8(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Resize and crop only.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB.
    preprocessing : Preprocessing
        Size, crop and filter.

    Returns
    -------
    ndarray of shape (size_px, size_px, 3), uint8
    """
    if image.mode != "RGB":
        raise BackboneError(f"the image must be RGB, got mode {image.mode!r}: convert it first")
    return np.array(resize_and_crop(image, preprocessing), dtype=np.uint8)


def normalise(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Convert pixels to network input.

    Parameters
    ----------
    images : Tensor of shape (B, H, W, 3), uint8
        Outputs of `to_uint8`, stacked.
    preprocessing : Preprocessing
        Mean and std.

    Returns
    -------
    Tensor of shape (B, 3, H, W), float32
    """
    import torch

    scaled = images.permute(0, 3, 1, 2).to(torch.float32).div(255)
    mean = torch.tensor(preprocessing.mean, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=images.device).view(1, 3, 1, 1)
    return (scaled - mean).div(std).contiguous()


def transform(image: Image.Image, preprocessing: Preprocessing) -> Tensor:
    """The exact input of the network for `image`.

    Equals ``timm.data.create_transform(..., is_training=False)`` and torchvision's
    ``weights.transforms()`` bit for bit, except for images that `centre_window` crops.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB.
    preprocessing : Preprocessing
        The network's own.

    Returns
    -------
    Tensor of shape (3, size_px, size_px), float32
    """
    import torch

    return normalise(torch.from_numpy(to_uint8(image, preprocessing))[None], preprocessing)[0]


def _of_channels(values: Any) -> tuple[float, float, float]:
    try:
        red, green, blue = map(float, values)
    except (TypeError, ValueError):
        raise ValueError(f"mean and std must be 3 numbers; got {values!r}") from None
    return red, green, blue


def from_timm(cfg: Any, name: str) -> Preprocessing:
    """timm's ``pretrained_cfg`` as a `Preprocessing`; `name` is for the message.

    Raises BackboneError where a value is not one of timm's, or the network needs preprocessing that
    Headstart does not support (non-square or non-RGB input).
    """
    try:
        channels, height, width = map(int, cfg.input_size)
        crop_mode = {None: "center", "": "center", "border": "letterbox"}.get(
            cfg.crop_mode, cfg.crop_mode
        )
        crop_pct, mean, std = float(cfg.crop_pct), _of_channels(cfg.mean), _of_channels(cfg.std)
    except (TypeError, ValueError) as error:
        raise BackboneError(
            f"the preprocessing of {name} is not as timm writes it ({one_line(str(error))})"
        ) from error
    if channels != 3 or height != width or crop_mode not in CROP_MODES:
        raise BackboneError(
            f"{name} takes {width}x{height} px, {channels} channels, crop mode {crop_mode!r}; "
            f"Headstart feeds square RGB images cropped by 'center', 'squash' or 'border'. "
            f"Choose another backbone: headstart backbones"
        )
    return Preprocessing(
        size_px=height,
        crop_pct=crop_pct,
        interpolation=cfg.interpolation,
        mean=mean,
        std=std,
        crop_mode=crop_mode,
    )


def from_torchvision(weights: Any) -> Preprocessing:
    """The constants of torchvision's ``weights.transforms()`` as a `Preprocessing`."""
    constants = weights.transforms()
    size_px, resize_px = constants.crop_size[0], constants.resize_size[0]
    return Preprocessing(
        size_px=size_px,
        crop_pct=size_px / resize_px,
        interpolation=constants.interpolation.value,
        mean=tuple(constants.mean),
        std=tuple(constants.std),
    )
