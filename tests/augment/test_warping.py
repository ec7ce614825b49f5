from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from headstart.augment.warping import affine, warp

ONE, NONE = np.ones(1), np.zeros(1)
IDENTITY = affine(ONE, NONE, NONE, NONE, ONE, NONE)


def noise(side: int) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("reflect", [True, False])
def test_warp__the_identity_changes_nothing(reflect: bool) -> None:
    images = noise(9)
    assert torch.allclose(warp(images, IDENTITY, 9, reflect=reflect), images, atol=1e-5)


def test_warp__mirrors() -> None:
    images = noise(8)
    mirror = affine(-ONE, NONE, NONE, NONE, ONE, NONE)
    assert torch.allclose(warp(images, mirror, 8, reflect=True), images.flip(3), atol=1e-5)


def test_warp__cuts_the_lower_right_quarter() -> None:
    images = noise(8)
    half = ONE / 2
    quarter = affine(half, NONE, half, NONE, half, half)
    assert torch.allclose(warp(images, quarter, 4, reflect=True), images[:, :, 4:, 4:], atol=1e-5)


def test_warp__a_quarter_turn_is_rot90() -> None:
    images = noise(8)
    turn = affine(NONE, -ONE, NONE, ONE, NONE, NONE)
    assert torch.allclose(warp(images, turn, 8, reflect=True), images.rot90(1, (2, 3)), atol=1e-5)


def test_warp__shrinks_without_aliasing() -> None:
    # Stripes a pixel wide look grey from afar; plain bilinear look-up would show stripes.
    stripes = (torch.arange(64) % 2).float().expand(1, 3, 64, 64)
    small = warp(stripes, IDENTITY, 15, reflect=True)
    assert (small - 0.5).abs().max() < 0.15
    expected = F.interpolate(stripes, (15, 15), mode="bilinear", antialias=True)
    assert torch.allclose(small, expected, atol=1e-5)


def test_warp__treats_each_image_by_itself() -> None:
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    maps = affine(
        np.array([1.0, 0.3, 1.0]), np.zeros(3), np.zeros(3), np.zeros(3), np.array([0.3, 0.3, 1.0]),
        np.zeros(3),
    )  # fmt: skip
    together = warp(images, maps, 20, reflect=True)
    for i in range(3):
        alone = warp(images[i : i + 1], maps[i : i + 1], 20, reflect=True)
        assert torch.allclose(together[i : i + 1], alone, atol=1e-6)
