from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.augment.mixing import Mix, draw_cutmix, draw_mixup


def test_mix__blends_by_hand() -> None:
    images = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 2, 2)
    mix = Mix(np.array([1, 0]), np.array([0.75, 0.6]))
    assert torch.allclose(mix.images(images)[:, 0, 0, 0], torch.tensor([0.25, 0.6]))
    expected = torch.tensor([[0.75, 0.25], [0.4, 0.6]])
    assert torch.allclose(mix.targets(torch.eye(2)), expected)


def test_mix__pastes_by_hand() -> None:
    images = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 2, 2)
    boxes = np.array([[0, 0, 1, 2], [1, 1, 1, 2]])
    mixed = Mix(np.array([1, 0]), np.array([0.5, 1.0]), boxes).images(images)
    assert mixed[0, 0].tolist() == [[1, 1], [0, 0]]
    assert mixed[1, 0].tolist() == [[1, 1], [1, 1]]
    assert images[0].sum() == 0


@given(st.integers(1, 40), st.floats(0.01, 50), st.integers(0, 2**32))
def test_draw__no_image_meets_itself(n: int, alpha: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for mix in (draw_mixup(n, alpha=alpha, rng=rng), draw_cutmix(n, 16, alpha=alpha, rng=rng)):
        assert sorted(mix.partner) == list(range(n))
        assert n == 1 or (mix.partner != np.arange(n)).all()
        assert ((mix.weight >= 0) & (mix.weight <= 1)).all()


def test_draw_mixup__an_image_keeps_the_larger_part() -> None:
    mix = draw_mixup(1000, alpha=1.0, rng=np.random.default_rng(0))
    assert mix.weight.min() >= 0.5
    assert abs(mix.weight.mean() - 0.75) < 0.02  # of a flat distribution, folded


@given(st.integers(0, 2**32), st.sampled_from([1, 7, 32]))
def test_draw_cutmix__the_weight_is_the_area_that_is_left(seed: int, side: int) -> None:
    mix = draw_cutmix(8, side, alpha=1.0, rng=np.random.default_rng(seed))
    images = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, side, side)
    kept = (mix.images(images) == images).float().mean((1, 2, 3))
    assert torch.allclose(kept, torch.tensor(mix.weight, dtype=torch.float32), atol=1e-6)
