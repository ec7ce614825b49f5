from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from headstart.augment.operations import apply_layer, bits_kept
from headstart.augment.subpolicies import OPERATIONS, SIGNED, WITHOUT_STRENGTH

IMAGES = torch.randint(0, 256, (2, 3, 16, 16), generator=torch.Generator().manual_seed(0)) / 255
BYTES = IMAGES.mul(255).round().to(torch.uint8)


def applied(name: str, strength: float) -> torch.Tensor:
    return apply_layer(IMAGES, [name] * 2, np.full(2, strength))


@pytest.mark.parametrize("name", [n for n in OPERATIONS if n not in WITHOUT_STRENGTH])
def test_apply_layer__strength_zero_changes_nothing(name: str) -> None:
    assert torch.allclose(applied(name, 0.0), IMAGES, atol=2e-5)


def as_tv(name: str, strength: float) -> torch.Tensor:
    """torchvision's version of an operation, on the scale of ours."""
    side = IMAGES.shape[-1]
    move = {"angle": 0.0, "translate": [0.0, 0.0], "scale": 1.0, "shear": [0.0, 0.0]}
    shear = float(np.degrees(np.arctan(0.3 * strength)))
    shift = 0.45 * strength * side
    moves = {
        "rotate": {"angle": -30 * strength},
        "shear_x": {"shear": [shear, 0.0]},
        "shear_y": {"shear": [0.0, shear]},
        "translate_x": {"translate": [shift, 0.0]},
        "translate_y": {"translate": [0.0, shift]},
    }
    factor = 1 + 0.9 * strength
    if name in moves:
        # A shift in whole pixels, for torchvision rounds it.
        return F.affine(
            IMAGES, **(move | moves[name]), interpolation=InterpolationMode.BILINEAR, fill=[0.5] * 3
        )
    if name in ("brightness", "contrast", "saturation", "sharpness"):
        return getattr(F, f"adjust_{name}")(IMAGES, factor)
    exact = {
        "solarize": lambda: F.solarize(IMAGES, (1 - strength) * 256 / 255),
        "posterize": lambda: F.posterize(BYTES, 8 - round(4 * strength)) / 255,
        "equalize": lambda: F.equalize(BYTES) / 255,
        "autocontrast": lambda: F.autocontrast(IMAGES),
        "invert": lambda: F.invert(IMAGES),
    }
    return exact[name]()


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("strength", [0.28, 0.56, 1.0])
def test_apply_layer__equals_torchvision(name: str, strength: float) -> None:
    if name.startswith("translate"):
        strength = round(strength * 0.45 * 16) / (0.45 * 16)
    signs = (1, -1) if name in SIGNED else (1,)
    inner = slice(5, 11)  # torchvision's fill fades differently at the edges
    for sign in signs:
        ours, theirs = applied(name, sign * strength), as_tv(name, sign * strength)
        if name.startswith(("rotate", "shear")):
            ours, theirs = ours[..., inner, inner], theirs[..., inner, inner]
        assert torch.allclose(ours, theirs, atol=2e-3), (ours - theirs).abs().max()


def test_apply_layer__uncovered_corners_are_grey() -> None:
    moved = applied("translate_x", 0.5)
    assert torch.allclose(moved[..., :3], torch.tensor(0.5), atol=1e-4)


def test_apply_layer__each_image_gets_its_own_operation() -> None:
    images = torch.cat([IMAGES, IMAGES])
    out = apply_layer(images, ["invert", None, "rotate", "brightness"], np.full(4, 0.5))
    assert torch.allclose(out[0], 1 - images[0])
    assert torch.equal(out[1], images[1])
    assert torch.allclose(out[2], applied("rotate", 0.5)[0], atol=1e-6)
    assert torch.allclose(out[3], applied("brightness", 0.5)[1], atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from((*OPERATIONS, None)), st.floats(-1, 1)), min_size=1, max_size=6
    ),
    st.integers(0, 2**31),
)
def test_apply_layer__keeps_shape_and_range(pairs: list, seed: int) -> None:
    images = torch.rand(len(pairs), 3, 10, 10, generator=torch.Generator().manual_seed(seed))
    before = images.clone()
    strengths = np.array([s if name in SIGNED else abs(s) for name, s in pairs])
    out = apply_layer(images, [name for name, _ in pairs], strengths)
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert 0 <= out.min() <= out.max() <= 1 + 1e-6
    assert torch.equal(images, before)


def test_bits_kept__from_eight_to_four() -> None:
    assert bits_kept(np.array([0.0, 0.3, 0.5, 1.0])).tolist() == [8, 7, 6, 4]
