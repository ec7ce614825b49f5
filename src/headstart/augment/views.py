"""Reproducible jittered views of an image for off-the-shelf features (Razavian 2014)."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.augment.basic import centre_crop, vary
from headstart.augment.policy import Policy
from headstart.errors import InputError

VIEWS = Policy(name="basic", min_area=0.5)
"""The policy of views: basic, with larger crops."""


def jittered_views(
    image: NDArray[np.uint8],
    n_views: int,
    *,
    size_px: int,
    seed: int = 0,
    policy: Policy = VIEWS,
) -> NDArray[np.uint8]:
    """Several views of one image, whose features can be averaged or added as rows.

    Parameters
    ----------
    image : uint8 array (R, R, 3)
        Decoded, larger than `size_px`.
    n_views : int >= 1
        The first is the centre crop, the others are random. A larger number keeps the first views.
    size_px : int
        Side of a view in pixels, at most R.
    seed : int >= 0
        Together with the image's bytes it seeds the draws, independent of other images.
    policy : Policy, default `VIEWS`
        ``"basic"``, with any parameters.

    Returns
    -------
    uint8 array (n_views, size_px, size_px, 3)

    Raises
    ------
    InputError
        A shape, size, number of views or policy is illegal.
    """
    if n_views < 1:
        raise InputError(f"n_views must be 1 or more; got {n_views}")
    if policy.name != "basic":
        raise InputError(f"views are jittered by the policy 'basic'; got {policy.name!r}")
    if image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < size_px:
        raise InputError(
            f"an image to view must be (R, R, 3) with R at least {size_px} (size_px); "
            f"got {image.shape}"
        )
    pixels = np.ascontiguousarray(image)
    key = hashlib.sha256(pixels.tobytes()).digest()
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    drawn = [centre_crop(batch, size_px)]
    for view in range(1, n_views):
        entropy = [seed, view, int.from_bytes(key[:8], "little")]
        drawn.append(vary(batch, policy, size_px, np.random.default_rng(entropy)))
    levels = torch.cat(drawn).mul_(255).round_().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).numpy())
