"""Crop, flip, rotate, shear and shift as one affine map with one bilinear resampling."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from headstart.augment.placing import placed

Array = NDArray[np.float64]

# Bilinear sampling reads 2 x 2 pixels. If a result pixel spans more than this many source pixels, it
# would skip some (aliasing), so the source is reduced first.
SHARP_ENOUGH = 1.25


def affine(a: Array, b: Array, c: Array, d: Array, e: Array, f: Array) -> Array:
    """Maps ``(x, y) -> (a x + b y + c, d x + e y + f)`` as an array (n, 2, 3)."""
    return np.stack([np.stack([a, b, c], -1), np.stack([d, e, f], -1)], -2)


def warp(images: Tensor, maps: Array, size_px: int, *, reflect: bool) -> Tensor:
    """Resample each image with its own affine map.

    Parameters
    ----------
    images : float32 tensor (n, 3, H, W)
    maps : array (n, 2, 3)
        From a position in the result to one in the source; both run from -1 to 1, edge to edge,
        x to the right and y downwards.
    size_px : int
        Side of the result.
    reflect : bool
        Fill values outside the source with its reflection (True) or with 0 (False).

    Returns
    -------
    float32 tensor (n, 3, size_px, size_px)
    """
    padding = "reflection" if reflect else "zeros"
    grid = _grid(maps, size_px, images)
    spans = _spans(maps, images.shape[2:], size_px)
    coarse = np.flatnonzero((spans > SHARP_ENOUGH).any(1))
    if not len(coarse):
        return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)
    out = images.new_empty(len(images), images.shape[1], size_px, size_px)
    fine = placed(np.setdiff1d(np.arange(len(images)), coarse), images, torch.int64)
    if len(fine):
        out[fine] = F.grid_sample(
            images[fine], grid[fine], padding_mode=padding, align_corners=False
        )
    for i in coarse:
        small = _shrunk(images[i : i + 1], spans[i])
        out[i] = F.grid_sample(small, grid[i : i + 1], padding_mode=padding, align_corners=False)[0]
    return out


def _grid(maps: Array, size_px: int, like: Tensor) -> Tensor:
    """Sampling positions (n, size_px, size_px, 2); faster than torch's matrix product."""
    m = placed(maps, like, torch.float32)[..., None, None]
    centres = (torch.arange(size_px, device=like.device, dtype=torch.float32) * 2 + 1) / size_px - 1
    x, y = centres.view(1, 1, -1), centres.view(1, -1, 1)
    grid = torch.empty(len(maps), size_px, size_px, 2, device=like.device)
    for axis in (0, 1):
        torch.add(m[:, axis, 0] * x + m[:, axis, 2], m[:, axis, 1] * y, out=grid[..., axis])
    return grid


def _spans(maps: Array, sides: tuple[int, ...], size_px: int) -> Array:
    """Source pixels between neighbouring result pixels, vertically and horizontally (n, 2)."""
    across = np.hypot(maps[:, 0, 0], maps[:, 0, 1]) * sides[1] / size_px
    down = np.hypot(maps[:, 1, 0], maps[:, 1, 1]) * sides[0] / size_px
    return np.stack([down, across], -1)


def _shrunk(image: Tensor, spans: Array) -> Tensor:
    """`image` (1, 3, H, W) reduced with antialiasing so that sampling skips no pixels."""
    sides = [max(1, round(s / max(1.0, k))) for s, k in zip(image.shape[2:], spans, strict=True)]
    return F.interpolate(image, sides, mode="bilinear", antialias=True, align_corners=False)
