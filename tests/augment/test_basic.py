from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.augment import Policy
from headstart.augment.basic import centre_crop, crop_maps, vary


@given(st.integers(0, 2**32), st.floats(0.05, 1), st.floats(1, 4))
def test_crop_maps__upright_crops_lie_inside(seed: int, min_area: float, aspect: float) -> None:
    policy = Policy(name="basic", min_area=min_area, max_aspect=aspect, degrees=0)
    maps = crop_maps(50, policy, np.random.default_rng(seed))
    half = np.abs(maps[:, [0, 1], [0, 1]])
    assert (np.abs(maps[:, :, 2]) + half <= 1 + 1e-9).all()
    area = half.prod(1)
    # A long crop of a large area does not fit, and is cut at the edge.
    assert (area >= min_area / aspect - 1e-9).all()
    assert (area <= 1 + 1e-9).all()


def test_crop_maps__flips_as_often_as_asked() -> None:
    policy = Policy(name="basic", flip=0.25, degrees=0)
    maps = crop_maps(4000, policy, np.random.default_rng(0))
    assert abs((maps[:, 0, 0] < 0).mean() - 0.25) < 0.03


def test_vary__turns_by_no_more_than_asked() -> None:
    policy = Policy(name="basic", degrees=15, min_area=1, max_aspect=1, flip=0)
    maps = crop_maps(500, policy, np.random.default_rng(0))
    angles = np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    assert 14 < np.abs(angles).max() <= 15
    assert abs(angles.mean()) < 1.5


def test_vary__leaves_no_empty_corners() -> None:
    images = torch.full((16, 3, 40, 40), 200, dtype=torch.uint8)
    policy = Policy(name="basic", degrees=45, jitter=0, hue=0)
    out = vary(images, policy, 32, np.random.default_rng(0))
    assert torch.allclose(out, torch.tensor(200 / 255), atol=1e-4)


def test_centre_crop__takes_the_middle() -> None:
    images = torch.arange(25, dtype=torch.uint8).view(1, 1, 5, 5).expand(1, 3, 5, 5)
    assert (centre_crop(images, 1) * 255).round().flatten().tolist() == [12, 12, 12]
