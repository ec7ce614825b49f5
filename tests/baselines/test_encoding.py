from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from headstart.baselines import (
    assign_words,
    chi2_map,
    fisher_vector,
    fit_mixture,
    fit_vocabulary,
    spatial_pyramid,
)
from headstart.baselines.encoding import _posteriors
from headstart.baselines.vocabulary import Mixture, with_places
from headstart.errors import InputError


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def unit_rows(rng: np.random.Generator, n: int) -> np.ndarray:
    rows = rng.random((n, 128)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_assign_words__hard_takes_the_nearest(rng: np.random.Generator) -> None:
    X, words = unit_rows(rng, 30), unit_rows(rng, 7)
    index, weight = assign_words(X, words, "hard")
    distance = ((X[:, None] - words) ** 2).sum(axis=2)
    np.testing.assert_array_equal(index[:, 0], distance.argmin(axis=1))
    assert (weight == 1).all()


def test_assign_words__soft_shares_by_distance(rng: np.random.Generator) -> None:
    X, words = unit_rows(rng, 30), unit_rows(rng, 9)
    index, weight = assign_words(X, words, "soft")
    distance = ((X[:, None] - words) ** 2).sum(axis=2)
    expected = np.exp(-10 * np.take_along_axis(distance, index, axis=1))
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weight, expected, rtol=1e-3)
    np.testing.assert_array_equal(
        np.sort(index, axis=1), np.sort(distance.argsort(axis=1)[:, :5], axis=1)
    )
    assert assign_words(X, words[:3], "soft")[0].shape == (30, 3)


def test_spatial_pyramid__counts_by_cell_with_lazebniks_weights() -> None:
    index = np.array([[0], [1], [1], [0]])
    places = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [1.0, 1.0]], np.float32)
    found = spatial_pyramid(index, np.ones((4, 1), np.float32), places, 2, 3)
    assert found.shape == (2 * 21,)
    np.testing.assert_allclose(found[:2], np.array([2, 2]) / 4 / 4)
    # Cells row by row: upper left, upper right, lower left, lower right.
    np.testing.assert_allclose(found[2:10], np.array([1, 0, 0, 1, 0, 0, 1, 1]) / 4 / 4)
    assert found[10:].sum() == pytest.approx(0.5)
    assert found[10] == pytest.approx(1 / 4 / 2)


def test_spatial_pyramid__of_nothing_is_zero() -> None:
    none = np.zeros((0, 1))
    found = spatial_pyramid(
        none.astype(np.intp), none.astype(np.float32), np.zeros((0, 2), np.float32), 5, 2
    )
    assert found.shape == (25,)
    assert not found.any()


def test_chi2_map__products_are_the_additive_chi_square_kernel(rng: np.random.Generator) -> None:
    x, y = rng.dirichlet(np.ones(20), size=2).astype(np.float32)
    kernel = float(np.sum(2 * x * y / (x + y)))
    mapped = chi2_map(np.stack([x, y]))
    assert mapped.shape == (2, 60)
    assert float(mapped[0] @ mapped[1]) == pytest.approx(kernel, rel=0.05)


def plain_mixture(rng: np.random.Generator, n_gaussians: int = 3, n_axes: int = 4) -> Mixture:
    axes = np.linalg.qr(rng.normal(size=(128, n_axes)))[0]
    parts = {
        "mean": rng.random(128), "axes": axes, "weights": rng.dirichlet(np.ones(n_gaussians)),
        "means": rng.normal(size=(n_gaussians, n_axes + 2)) / 3,
        "deviations": rng.random((n_gaussians, n_axes + 2)) + 0.3,
    }  # fmt: skip
    return Mixture(**{name: value.astype(np.float32) for name, value in parts.items()})


def test_posteriors__are_scikit_learns(rng: np.random.Generator) -> None:
    mixture = plain_mixture(rng)
    peer = GaussianMixture(3, covariance_type="diag")
    peer.weights_, peer.means_ = mixture.weights, mixture.means
    peer.covariances_ = mixture.deviations**2
    peer.precisions_cholesky_ = 1 / mixture.deviations
    points = rng.normal(size=(40, 6)).astype(np.float32)
    np.testing.assert_allclose(_posteriors(points, mixture), peer.predict_proba(points), atol=1e-4)


def test_fisher_vector__is_the_gradient_of_the_likelihood(rng: np.random.Generator) -> None:
    """The oracle: finite differences of the mean log-likelihood, scaled, rooted, of unit length."""
    mixture, X = plain_mixture(rng), unit_rows(rng, 50)
    places = rng.random((50, 2)).astype(np.float32)
    points = with_places((X - mixture.mean) @ mixture.axes, places).astype(float)

    def likelihood(means: np.ndarray, deviations: np.ndarray) -> float:
        z = (points[:, None] - means) / deviations
        log = -0.5 * (z**2).sum(axis=2) - np.log(deviations).sum(axis=1)
        return float(np.log(np.exp(log) @ mixture.weights).mean())

    step = 1e-5
    share = _posteriors(points.astype(np.float32), mixture).mean(axis=0)
    raw = list((share - mixture.weights) / np.sqrt(mixture.weights))
    for which in (0, 1):
        for k in range(3):
            for d in range(6):
                up, down = (
                    [a.astype(float) for a in (mixture.means, mixture.deviations)] for _ in "ud"
                )
                up[which][k, d] += step
                down[which][k, d] -= step
                slope = (likelihood(*up) - likelihood(*down)) / (2 * step)
                scale = np.sqrt(mixture.weights[k] * (1 + which))
                raw.append(slope * mixture.deviations[k, d] / scale)
    rooted = np.sign(raw) * np.sqrt(np.abs(raw))
    expected: np.ndarray = rooted / np.linalg.norm(rooted)
    np.testing.assert_allclose(fisher_vector(X, places, mixture), expected, atol=2e-3)


def test_fisher_vector__of_nothing_is_zero(rng: np.random.Generator) -> None:
    none = fisher_vector(
        np.zeros((0, 128), np.float32), np.zeros((0, 2), np.float32), plain_mixture(rng)
    )
    assert none.shape == (3 * 13,)
    assert not none.any()


def test_fit_vocabulary__finds_clusters_and_repeats_itself(rng: np.random.Generator) -> None:
    centres = unit_rows(rng, 4)
    sample = np.repeat(centres, 50, axis=0) + rng.normal(size=(200, 128)).astype(np.float32) * 1e-3
    words = fit_vocabulary(sample.astype(np.float32), 4, seed=0)
    distance = ((centres[:, None] - words) ** 2).sum(axis=2)
    assert sorted(distance.argmin(axis=1)) == [0, 1, 2, 3]
    np.testing.assert_array_equal(words, fit_vocabulary(sample.astype(np.float32), 4, seed=0))


def test_vocabularies__need_ten_descriptors_a_word(rng: np.random.Generator) -> None:
    sample, places = unit_rows(rng, 99), rng.random((99, 2)).astype(np.float32)
    with pytest.raises(InputError, match=r"10 words needs 100 descriptors or more; .* give 99"):
        fit_vocabulary(sample, 10, seed=0)
    with pytest.raises(InputError, match="a mixture of 10 Gaussians needs 100 descriptors"):
        fit_mixture(sample, places, 10, 4, seed=0)


def test_fit_mixture__describes_points_in_its_own_axes(rng: np.random.Generator) -> None:
    sample, places = unit_rows(rng, 400), rng.random((400, 2)).astype(np.float32)
    mixture = fit_mixture(sample, places, 3, 5, seed=0)
    assert mixture.means.shape == mixture.deviations.shape == (3, 7)
    np.testing.assert_allclose(mixture.axes.T @ mixture.axes, np.eye(5), atol=1e-4)
    assert mixture.weights.sum() == pytest.approx(1, abs=1e-4)
