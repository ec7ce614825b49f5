"""From a file to the uint8 crops that a backbone wants, at several resolutions from one decode.

Pillow decodes; torchvision's native resize, twice as fast as Pillow's and within one grey level of
it, cuts the crops. The reference is :func:`headstart.backbones.transform`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from headstart.data import read_rgb

if TYPE_CHECKING:
    from headstart.backbones import Preprocessing

Crop = NDArray[np.uint8]

# Large JPEG photographs are decoded at 1/2, 1/4 or 1/8 of their size, never below twice the size
# they are resized to, where the difference to a full decode is a grey level on average.
DECODE_MARGIN = 2
# All resolutions up to about 320 px share this bound, and so one decode, and a crop does not depend
# on which others are cut beside it. A quarter of a 12-megapixel photograph lies above it.
DECODE_PX = 736


def crops(path: Path, preprocessings: Sequence[Preprocessing]) -> list[Crop]:
    """Read an image once and cut it for each preprocessing.

    Parameters
    ----------
    path : Path
        An image file.
    preprocessings : sequence of Preprocessing
        One a resolution.

    Returns
    -------
    list of uint8 arrays (size_px, size_px, 3)
        In the order of ``preprocessings``.

    Raises
    ------
    DataError
        The file cannot be read or decoded.
    """
    decoded: dict[int, torch.Tensor] = {}
    cut = []
    for preprocessing in preprocessings:
        enough = max(DECODE_PX, DECODE_MARGIN * preprocessing.resize_px)
        if enough not in decoded:
            image = read_rgb(path, at_least=enough)
            decoded[enough] = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        cut.append(resize_and_crop(decoded[enough], preprocessing))
    return cut


def resize_and_crop(pixels: torch.Tensor, preprocessing: Preprocessing) -> Crop:
    """Resize with antialiasing as the preprocessing says, and cut out the centre.

    Parameters
    ----------
    pixels : uint8 tensor (3, H, W)
    preprocessing : Preprocessing

    Returns
    -------
    uint8 array (size_px, size_px, 3)
    """
    mode = InterpolationMode(preprocessing.interpolation)
    side = preprocessing.resize_px
    sides = [side, side] if preprocessing.crop_mode == "squash" else [side]
    scaled = F.resize(pixels, sides, interpolation=mode, antialias=True)
    size = preprocessing.size_px
    crop = F.center_crop(scaled, [size, size]).permute(1, 2, 0)
    # NumPy copies in this thread; torch would share a copy this small out among OpenMP threads,
    # which wait for one another while every core decodes.
    return np.ascontiguousarray(crop.numpy())
