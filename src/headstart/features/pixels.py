"""From a file to uint8 crops at several resolutions, with one decode.

:func:`headstart.data.read_pixels` decodes, to Pillow's pixels; torch resizes uint8, twice as fast as
Pillow and within one grey level of it. The reference is :func:`headstart.backbones.transform`. torchvision uses the same function, but importing it
takes as long as importing torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from headstart.backbones.preprocessing import centre_window, crop_offset, resized_size
from headstart.data import MAX_PIXELS, read_pixels

if TYPE_CHECKING:
    from headstart.backbones import Preprocessing

Crop = NDArray[np.uint8]
Content = Path | bytes | Image.Image

# Large JPEGs are decoded at 1/2, 1/4 or 1/8 of their size, but at least at twice the target size,
# where the mean difference from a full decode is one grey level.
DECODE_MARGIN = 2
# All resolutions up to about 320 px share this bound and thus one decode, so a crop does not depend
# on which others are requested. A quarter of a 12-megapixel photograph is above it.
DECODE_PX = 736


def crops(
    source: Content,
    preprocessings: Sequence[Preprocessing],
    *,
    max_pixels: int = MAX_PIXELS,
    digest: str | None = None,
    name: str | None = None,
) -> list[Crop]:
    """Read an image once and crop it for each preprocessing, (size_px, size_px, 3) each.

    Images of more than `max_pixels` are refused before decoding, and files whose SHA-256 is not `digest`,
    that of the file when it was indexed. `name` is that of the image in errors, default its path. Raises
    DataError where the file cannot be read or decoded, or is not the one that was indexed.
    """
    decoded: dict[int, torch.Tensor] = {}
    cut = []
    for preprocessing in preprocessings:
        enough = max(DECODE_PX, DECODE_MARGIN * preprocessing.resize_px)
        if enough not in decoded:
            pixels = read_pixels(
                source, max_pixels=max_pixels, at_least=enough, digest=digest, name=name
            )
            decoded[enough] = torch.from_numpy(pixels).permute(2, 0, 1)
        cut.append(resize_and_crop(decoded[enough], preprocessing))
    return cut


def resize_and_crop(pixels: torch.Tensor, preprocessing: Preprocessing) -> Crop:
    """Resize pixels (3, H, W) with antialiasing and crop the centre, (size_px, size_px, 3)."""
    height, width = pixels.shape[1:]
    left, top, right, bottom = centre_window((width, height), preprocessing)
    pixels = pixels[:, top:bottom, left:right]
    height, width = pixels.shape[1:]
    new_width, new_height = resized_size((width, height), preprocessing)
    if (new_width, new_height) != (width, height):
        mode = preprocessing.interpolation
        size = (new_height, new_width)
        # A batch axis added last keeps the strides, so that torch sees channels-last memory.
        batch = pixels.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
        pixels = interpolate(batch, size, mode=mode, antialias=True)[0]
    side = preprocessing.size_px
    top, left = crop_offset(new_height, side), crop_offset(new_width, side)
    # NumPy copies in this thread; torch would share a copy this small out among OpenMP threads,
    # which wait for one another while every core decodes.
    whole = pixels.permute(1, 2, 0).numpy()
    crop = whole[max(top, 0) : top + side, max(left, 0) : left + side]
    if crop.shape[:2] == (side, side):
        return np.ascontiguousarray(crop)
    padded = np.empty((side, side, 3), np.uint8)
    padded[:] = preprocessing.fill
    at_y, at_x = max(-top, 0), max(-left, 0)
    padded[at_y : at_y + crop.shape[0], at_x : at_x + crop.shape[1]] = crop
    return padded
