"""Brightness, contrast, saturation and hue as one linear map of the three channels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.augment.placing import placed

Array = NDArray[np.float64]

GREY = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""

# Two axes orthogonal to grey; hue is the angle in their plane.
_YIQ = np.array([GREY, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])


def colour_maps(
    brightness: Array, contrast: Array, saturation: Array, hue: Array
) -> tuple[Array, Array]:
    """Linear maps of colour changes, applied in the order of the arguments.

    Parameters
    ----------
    brightness, contrast, saturation : arrays (n,)
        Factors; 1 changes nothing.
    hue : array (n,)
        Rotation of the hue in turns, in the YIQ colour space, where it is linear (unlike in HSV).

    Returns
    -------
    matrices : array (n, 3, 3)
    of_grey : array (n,)
        The change is ``matrices @ pixel + of_grey * m`` with ``m`` the mean grey of the image:
        contrast is relative to it.
    """
    eye, ones = np.eye(3), np.ones((3, 1))
    scale = (brightness * contrast)[:, None, None] * eye
    blend = saturation[:, None, None] * eye + (1 - saturation)[:, None, None] * (ones @ GREY[None])
    return _turns(hue) @ blend @ scale, (1 - contrast) * brightness


def _turns(hue: Array) -> Array:
    cos, sin = np.cos(2 * np.pi * hue), np.sin(2 * np.pi * hue)
    turn = np.zeros((len(hue), 3, 3))
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = cos
    turn[:, 1, 2], turn[:, 2, 1] = -sin, sin
    turned: Array = np.linalg.inv(_YIQ) @ turn @ _YIQ
    return turned


def recolour(images: Tensor, matrices: Array, of_grey: Array, *, scale: float = 1.0) -> Tensor:
    """Apply `colour_maps`, multiply by `scale` and clip to [0, 1].

    Parameters
    ----------
    images : float32 tensor (n, 3, H, W)
    matrices, of_grey : arrays (n, 3, 3) and (n,)
    scale : float, default 1
        1/255 if the range of the images is 0 to 255.

    Returns
    -------
    float32 tensor (n, 3, H, W)
    """
    weights, of_mean, m = (
        placed(values, images, torch.float32)
        for values in (GREY, of_grey * scale, matrices * scale)
    )
    offset = of_mean * (images.mean((2, 3)) @ weights)
    offsets = offset[:, None, None].expand(-1, 3, 1)
    return torch.baddbmm(offsets, m, images.flatten(2)).clamp_(0, 1).view_as(images)
