from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from headstart.augment.colour import colour_maps, recolour

IMAGES = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
SAME = np.ones(2)


def changed(**factors: float) -> torch.Tensor:
    values = {"brightness": SAME, "contrast": SAME, "saturation": SAME, "hue": 0 * SAME}
    values |= {name: np.full(2, factor) for name, factor in factors.items()}
    return recolour(IMAGES, *colour_maps(**values))


def test_recolour__factors_of_one_change_nothing() -> None:
    assert torch.allclose(changed(), IMAGES, atol=1e-6)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.3, 1.8])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_recolour__equals_torchvision(name: str, factor: float) -> None:
    expected = getattr(F, f"adjust_{name}")(IMAGES, factor)
    assert torch.allclose(changed(**{name: factor}), expected, atol=5e-4)


def test_recolour__does_one_after_another() -> None:
    expected = F.adjust_saturation(F.adjust_contrast(F.adjust_brightness(IMAGES, 1.1), 0.8), 1.2)
    assert torch.allclose(
        changed(brightness=1.1, contrast=0.8, saturation=1.2), expected, atol=5e-4
    )


def test_recolour__a_turn_of_the_hue_keeps_the_grey() -> None:
    turned = changed(hue=0.1)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    inside = ((turned > 0) & (turned < 1)).all(1)
    before, after = (IMAGES * weights).sum(1), (turned * weights).sum(1)
    assert torch.allclose(before[inside], after[inside], atol=1e-4)
    assert (turned - IMAGES).abs().mean() > 0.01
    assert torch.allclose(changed(hue=1.0), IMAGES, atol=1e-5)


def test_recolour__leaves_grey_images_grey() -> None:
    grey = torch.full((1, 3, 4, 4), 0.4)
    one = np.ones(1)
    out = recolour(grey, *colour_maps(one, one, one * 1.5, one * 0.2))
    assert torch.allclose(out, grey, atol=1e-5)


def test_recolour__scales_bytes() -> None:
    maps = colour_maps(SAME * 1.2, SAME * 0.7, SAME, 0 * SAME)
    assert torch.allclose(
        recolour(IMAGES * 255, *maps, scale=1 / 255), recolour(IMAGES, *maps), atol=1e-5
    )
