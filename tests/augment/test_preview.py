from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import ImageFont

from headstart.augment import Choice, Policy, parse_policy, preview_grid
from headstart.augment.contact import fitted
from headstart.errors import InputError

IMAGES = torch.randint(
    0, 256, (3, 3, 40, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)
NAMES = ["dark", "bright\n\x1b[31m", "a class with a very long name"]
STEP = (Choice(operation="rotate", weight=1.0, probability=1.0, magnitude=0.5),)


@pytest.mark.parametrize(
    "policy",
    [
        *map(parse_policy, ("none", "basic", "mixup", "cutmix", "augmix:depth=2", "randaugment")),
        parse_policy("mixup:probability=0"),
        Policy(name="learnt", sub_policies=((STEP,),)),
    ],
    ids=lambda p: p.name,
)
def test_preview_grid__shows_originals_and_draws(policy: Policy) -> None:
    grid = preview_grid(policy, IMAGES, NAMES, n_draws=2, size_px=32)
    shown = np.array(grid)
    assert (shown[10:42, 10:42] == IMAGES[0, :, 4:36, 4:36].permute(1, 2, 0).numpy()).all()
    rows = 3 * policy.width if policy.name == "augmix" else 3
    assert grid.height > rows * 32
    again = preview_grid(policy, IMAGES, NAMES, n_draws=2, size_px=32)
    assert (np.array(again) == shown).all()
    if policy.name not in ("none", "augmix"):
        other = preview_grid(policy, IMAGES, NAMES, n_draws=2, size_px=32, seed=1)
        assert not (np.array(other) == shown).all()


def test_preview_grid__one_image_is_enough() -> None:
    for name in ("mixup", "cutmix", "augmix"):
        preview_grid(parse_policy(name), IMAGES[:1], NAMES[:1], n_draws=1, size_px=32)


@pytest.mark.parametrize(("n", "n_draws"), [(0, 1), (1, 0)])
def test_preview_grid__needs_images_and_draws(n: int, n_draws: int) -> None:
    with pytest.raises(InputError, match="needs images and draws"):
        preview_grid(parse_policy("basic"), IMAGES[:n], NAMES[:n], n_draws=n_draws, size_px=32)


def test_fitted__cuts_to_the_width() -> None:
    font = ImageFont.load_default(size=12)
    assert fitted("short", 200, font) == "short"
    cut = fitted("a very long caption indeed", 60, font)
    assert cut.endswith("…")
    assert font.getlength(cut) <= 60
