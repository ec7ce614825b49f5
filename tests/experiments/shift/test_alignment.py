from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.errors import InputError
from headstart.experiments.shift.alignment import (
    Dann,
    DannSettings,
    coral,
    dann_lambda,
    reverse_gradient,
)


def test_coral__gives_the_targets_mean_and_covariance() -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(size=(20_000, 4)) @ np.diag([1, 2, 3, 0.5]) + 5
    mix = rng.normal(size=(4, 4))
    target = rng.normal(size=(20_000, 4)) @ mix - 1
    moved = coral(source, target)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved.mean(0), target.mean(0), atol=1e-3)
    np.testing.assert_allclose(np.cov(moved.T), np.cov(target.T), atol=0.05)


def test_coral__the_plain_formula() -> None:
    from scipy.linalg import sqrtm
    from sklearn.covariance import ledoit_wolf

    rng = np.random.default_rng(1)
    source, target = rng.normal(size=(30, 6)), 2 * rng.normal(size=(25, 6)) + 1
    whitening = np.linalg.inv(sqrtm(ledoit_wolf(source)[0]))
    colouring = sqrtm(ledoit_wolf(target)[0])
    expected = (source - source.mean(0)) @ whitening @ colouring + target.mean(0)
    np.testing.assert_allclose(coral(source, target), expected.real, rtol=1e-4, atol=1e-5)


def test_coral__fewer_images_than_features_and_none() -> None:
    rng = np.random.default_rng(2)
    assert np.isfinite(coral(rng.normal(size=(5, 40)), rng.normal(size=(4, 40)))).all()
    assert np.isfinite(coral(np.zeros((5, 3)), rng.normal(size=(4, 3)))).all()
    with pytest.raises(InputError, match="two images per side or more; got 1 and 4"):
        coral(np.ones((1, 3)), np.ones((4, 3)))


def test_reverse_gradient__turns_the_gradient_and_not_the_value() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = reverse_gradient(x, 0.5)
    assert torch.equal(y, x)
    (y * torch.tensor([3.0, 4.0])).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.tensor([-1.5, -2.0]))


def test_dann_lambda__rises_from_nought_to_one() -> None:
    assert dann_lambda(0.0) == 0.0
    assert dann_lambda(0.5) == pytest.approx(2 / (1 + np.exp(-5)) - 1)
    assert dann_lambda(1.0) == pytest.approx(1, abs=1e-4)


def shifted(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two classes told by the first feature; on the target it is moved by as much as they differ."""
    rng = np.random.default_rng(seed)
    y = np.repeat(["a", "b"], 200)
    X = rng.normal(0, 0.4, (400, 2)) + np.where(y == "a", -1, 1)[:, None] * np.array([1, 0.5])
    T = rng.normal(0, 0.4, (400, 2)) + np.where(y == "a", -1, 1)[:, None] * np.array([1, 0.5])
    return X, y, T + np.array([1.6, 0.0]), y


def test_dann__the_adversary_wins_back_a_shift() -> None:
    X, y, T, truth = shifted()
    found = {}
    for strength in (0.0, 1.0):
        settings = DannSettings(n_steps=600, n_hidden=32, strength=strength)
        net = Dann(settings).fit(X, y, T)
        found[strength] = float(np.mean(net.predict(T) == truth))
        assert np.mean(net.predict(X) == y) > 0.9
    assert found[0.0] < 0.8
    assert found[1.0] > found[0.0] + 0.1


def test_dann__is_reproducible_and_leaves_the_generator() -> None:
    X, y, T, _ = shifted()
    state = torch.get_rng_state()
    first = Dann(DannSettings(n_steps=20)).fit(X, y, T).predict(T)
    np.testing.assert_array_equal(first, Dann(DannSettings(n_steps=20)).fit(X, y, T).predict(T))
    assert torch.equal(torch.get_rng_state(), state)
