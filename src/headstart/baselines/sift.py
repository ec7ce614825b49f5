"""Dense SIFT with OpenCV: one descriptor at every point of a regular grid."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.baselines.settings import N_BINS, SiftSettings
from headstart.errors import InputError

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

N_DIMS = 128
# OpenCV's cells are 3 x size / 2 wide, so 4 of them are 6 sizes.
_PATCH_PER_SIZE = 6.0
# The smoothing of VLFeat's dense SIFT, a sixth of a cell. Lowe's 1.6 px is too much for a 16 px patch
# and costs six points of accuracy on scene15.
_CELLS_PER_SIGMA = 6.0


def dense_sift(grey: Bytes, settings: SiftSettings) -> tuple[Bytes, Floats]:
    """SIFT descriptors (Lowe 2004) on a grid, upright, at every scale of the settings.

    Raises InputError where OpenCV is not installed.

    Parameters
    ----------
    grey : uint8 array (H, W)

    Returns
    -------
    descriptors : uint8 array (n, 128)
        OpenCV's format: unit length times 512, clipped. Rows of flat patches are zero. Patches that do
        not fit into the image are left out, so ``n`` may be 0.
    places : float32 array (n, 2)
        Centres of the patches, x and y as fractions of width and height.
    """
    parts = [_one_scale(grey, patch, settings.step_px) for patch in settings.patches_px]
    return np.concatenate([d for d, _ in parts]), np.concatenate([p for _, p in parts])


def root_sift(descriptors: NDArray[Any]) -> Floats:
    """RootSIFT (Arandjelović and Zisserman 2012): the square root of shares, of unit length.

    Parameters
    ----------
    descriptors : array (n, 128), not negative

    Returns
    -------
    float32 array (n, 128)
        Rows of zeros stay zero.
    """
    values = descriptors.astype(np.float32)
    total = values.sum(axis=1, keepdims=True)
    root: Floats = np.sqrt(values / np.where(total > 0, total, 1))
    return root


def _one_scale(grey: Bytes, patch_px: int, step_px: int) -> tuple[Bytes, Floats]:
    height, width = grey.shape
    ys, xs = (_centres(side, patch_px, step_px) for side in (height, width))
    points = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    if not len(points):
        return np.zeros((0, N_DIMS), np.uint8), np.zeros((0, 2), np.float32)
    cv2 = opencv()
    size = patch_px / _PATCH_PER_SIZE
    # Angle 0 and octave 0: upright, at the original size.
    keypoints = [cv2.KeyPoint(float(x), float(y), size, 0, 0, 0, -1) for x, y in points]
    sift = cv2.SIFT_create(sigma=patch_px / N_BINS / _CELLS_PER_SIGMA)
    _, found = sift.compute(grey, keypoints)
    places = (points + 0.5) / (width, height)
    return found.astype(np.uint8), places.astype(np.float32)


def _centres(side: int, patch_px: int, step_px: int) -> NDArray[np.float64]:
    """Centres along one side, with the grid centred."""
    n = (side - patch_px) // step_px + 1
    if n < 1:
        return np.empty(0)
    rest = side - patch_px - (n - 1) * step_px
    return rest // 2 + patch_px / 2 + step_px * np.arange(n, dtype=float)


@lru_cache(maxsize=1)
def opencv() -> Any:
    """Import OpenCV with one thread, since images are processed in parallel."""
    try:
        import cv2
    except ImportError as error:
        raise InputError(
            "dense SIFT needs OpenCV: pip install 'headstart[sift]' (opencv-python-headless)"
        ) from error
    cv2.setNumThreads(1)
    return cv2
