"""Each score against its paper's formula, written out another way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats
from sklearn.covariance import ledoit_wolf
from sklearn.neighbors import KNeighborsClassifier

from headstart.experiments.scores.scores import (
    h_score,
    leep,
    logme,
    nce,
    neighbour_accuracy,
    neighbours_correct,
    shrinkage,
    shrunk_h_score,
)

SHAPES = [(40, 6), (30, 30), (12, 40), (60, 3)]
seeds = st.integers(0, 10_000)
quick = settings(max_examples=25, deadline=None)


def problem(
    seed: int, n: int = 30, d: int = 8, K: int = 3, signal: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Labels, and features that know something of them."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % K
    X = rng.normal(size=(n, d)) + signal * rng.normal(size=(K, d))[y] + 0.5
    return X, y


def log_evidence(
    X: NDArray[np.float64], t: NDArray[np.float64], alpha: float, beta: float
) -> float:
    """log N(t; 0, I / beta + XX' / alpha): the model with its weights integrated out."""
    covariance = np.eye(len(t)) / beta + X @ X.T / alpha
    log_determinant = np.linalg.slogdet(2 * np.pi * covariance)[1]
    return float(-0.5 * (log_determinant + t @ np.linalg.solve(covariance, t)))


def largest_evidence(X: NDArray[np.float64], t: NDArray[np.float64]) -> float:
    """By search over log alpha and log beta from several starts."""

    def loss(logs: NDArray[np.float64]) -> float:
        return -log_evidence(X, t, *np.exp(np.clip(logs, -14, 14)))

    starts = [(a, b) for a in (0.0, 3.0) for b in (1.0,)]
    found = [optimize.minimize(loss, s, method="Nelder-Mead", tol=1e-8) for s in starts]
    return -min(float(f.fun) for f in found)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_logme__is_the_largest_evidence(n: int, d: int) -> None:
    X, y = problem(1, n, d, signal=2.0)
    expected = np.mean([largest_evidence(X, (y == k).astype(float)) for k in range(3)]) / n
    # With few images the best noise may be none at all, which the search only comes near.
    assert logme(X, y) == pytest.approx(expected, abs=5e-5)
    assert logme(X, y) >= expected - 1e-7


def test_logme__evidence_equals_the_papers_form() -> None:
    """Equation 2 of the paper: with the posterior mean and A = alpha I + beta X'X written out."""
    X, y = problem(3, 25, 5)
    n, d = X.shape
    t = (y == 0).astype(float)
    alpha, beta = 0.7, 3.0
    A = alpha * np.eye(d) + beta * X.T @ X
    m = beta * np.linalg.solve(A, X.T @ t)
    fit = beta / 2 * np.sum((X @ m - t) ** 2) + alpha / 2 * m @ m
    form = n / 2 * np.log(beta) + d / 2 * np.log(alpha) - n / 2 * np.log(2 * np.pi) - fit
    form -= 0.5 * np.linalg.slogdet(A)[1]
    assert log_evidence(X, t, alpha, beta) == pytest.approx(form)


@quick
@given(seeds, st.floats(0.01, 100), st.booleans())
def test_logme__scale_rotation_order_and_names_do_not_count(
    seed: int, scale: float, is_wide: bool
) -> None:
    X, y = problem(seed, d=40 if is_wide else 8, signal=2.0)
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(X.shape[1], X.shape[1])))[0]
    order = rng.permutation(len(y))
    names = np.array(["b", "c", "a"])[y]
    assert logme(scale * (X @ rotation)[order], names[order]) == pytest.approx(
        logme(X, y), rel=1e-5, abs=1e-5
    )


def test_logme__signal_beats_noise_and_no_features_are_the_floor() -> None:
    X, y = problem(0, signal=3.0)
    noise = np.random.default_rng(1).normal(size=X.shape)
    nothing = logme(np.zeros((len(y), 4)), y)
    assert logme(X, y) > logme(noise, y) >= nothing - 1e-3
    # With no features t ~ N(0, 1/beta), best at 1/beta = mean t^2 = 1/3.
    assert nothing == pytest.approx(-0.5 * (np.log(2 * np.pi / 3) + 1))


def test_logme__features_that_give_the_labels_away_stay_finite() -> None:
    y = np.arange(20) % 2
    assert 1 < logme(np.eye(2)[y], y) < 100


@pytest.mark.parametrize(("n", "d"), [(40, 6), (60, 3)])
def test_h_score__is_the_papers_formula(n: int, d: int) -> None:
    X, y = problem(2, n, d)
    means = np.array([X[y == y_i].mean(axis=0) for y_i in y])
    covariance = np.cov(X.T, bias=True)
    expected = np.trace(np.linalg.inv(covariance) @ np.cov(means.T, bias=True))
    assert h_score(X, y) == pytest.approx(expected)


@quick
@given(seeds)
def test_h_score__any_invertible_map_leaves_it(seed: int) -> None:
    X, y = problem(seed)
    turned = X @ np.random.default_rng(seed).normal(size=(8, 8)) + 3
    assert h_score(turned, y) == pytest.approx(h_score(X, y), rel=1e-5)
    assert 0 <= h_score(X, y) <= 2 + 1e-9


def test_h_score__says_nothing_with_few_images() -> None:
    _, y = problem(0, 12, 40)
    noise = np.random.default_rng(5).normal(size=(12, 40))
    assert h_score(noise, y) == pytest.approx(2)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_shrunk_h_score__is_the_papers_formula(n: int, d: int) -> None:
    X, y = problem(4, n, d)
    covariance, a = ledoit_wolf(X)
    means = np.array([X[y == y_i].mean(axis=0) for y_i in y])
    between = np.atleast_2d(np.cov(means.T, bias=True))
    expected = np.trace(np.linalg.inv(covariance) @ ((1 - a) * between))
    assert shrunk_h_score(X, y) == pytest.approx(expected)
    assert shrinkage(X - X.mean(axis=0)) == pytest.approx(a)


def test_shrunk_h_score__tells_signal_from_noise_with_few_images() -> None:
    X, y = problem(0, 12, 40, signal=3.0)
    noise = np.random.default_rng(5).normal(size=X.shape)
    assert shrunk_h_score(X, y) > 2 * shrunk_h_score(noise, y)


def test_shrunk_h_score__constant_features_score_nothing() -> None:
    y = np.arange(9) % 3
    assert shrunk_h_score(np.ones((9, 4)), y) == 0
    assert h_score(np.ones((9, 4)), y) == 0


def source(
    seed: int, n: int = 40, Z: int = 6, K: int = 3
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % K)
    logits = rng.normal(size=(n, Z)) * 2 + rng.normal(size=(K, Z))[y]
    P = np.exp(logits)
    return P / P.sum(axis=1, keepdims=True), y


def test_leep__is_the_papers_sums() -> None:
    P, y = source(0)
    n, Z = P.shape
    total = 0.0
    for i in range(n):
        likelihood = 0.0
        for z in range(Z):
            joint = sum(P[j, z] for j in range(n) if y[j] == y[i]) / n
            marginal = sum(P[j, z] for j in range(n)) / n
            likelihood += joint / marginal * P[i, z]
        total += np.log(likelihood)
    assert leep(P, y) == pytest.approx(total / n)


def test_nce__is_the_difference_of_two_entropies() -> None:
    P, y = source(1)
    z = P.argmax(axis=1)

    def entropy(values: list[object]) -> float:
        counts = np.unique([str(v) for v in values], return_counts=True)[1]
        return float(stats.entropy(counts))

    joint = entropy(list(zip(z.tolist(), y.tolist(), strict=True)))
    assert nce(z, y) == pytest.approx(entropy(z.tolist()) - joint)


def test_nce__is_zero_where_the_source_tells_all_and_the_entropy_where_nothing() -> None:
    y = np.arange(30) % 3
    assert nce(["x", "y", "z"] * 10, y) == pytest.approx(0)
    assert nce(np.zeros(30), y) == pytest.approx(-np.log(3))


@quick
@given(seeds)
def test_leep__is_bounded_as_the_paper_proves(seed: int) -> None:
    """Property 2: LEEP >= NCE + the mean log of the largest probability; and at most 0."""
    P, y = source(seed)
    assert nce(P.argmax(axis=1), y) + np.log(P.max(axis=1)).mean() <= leep(P, y) <= 0


@quick
@given(seeds)
def test_leep__order_of_images_and_of_source_classes_does_not_count(seed: int) -> None:
    P, y = source(seed)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(len(y)), rng.permutation(P.shape[1])
    assert leep(P[rows][:, columns], y[rows]) == pytest.approx(leep(P, y))


def test_leep__certain_predictions_give_nce() -> None:
    P, y = source(3)
    z = P.argmax(axis=1)
    assert leep(np.eye(6)[z], y) == pytest.approx(nce(z, y))


@pytest.mark.parametrize("score", [logme, h_score, shrunk_h_score])
def test_scores__bad_arrays_are_told(score: object) -> None:
    assert callable(score)
    with pytest.raises(ValueError, match="2 classes"):
        score(np.ones((3, 2)), [0, 0, 0])
    with pytest.raises(ValueError, match="one row per label"):
        score(np.ones((3, 2)), [0, 1])
    with pytest.raises(ValueError, match="NaN"):
        score(np.full((2, 2), np.nan), [0, 1])


def test_leep__rows_must_be_probabilities() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        leep(np.ones((4, 3)), [0, 1, 0, 1])


def test_neighbour_accuracy__is_that_of_scikit_learn_left_one_out() -> None:
    X, y = problem(0, n=60, d=5, K=3, signal=1.0)
    right = []
    for i in range(60):
        others = np.arange(60) != i
        model = KNeighborsClassifier(5, metric="cosine", weights=lambda d: 2 - d)
        right.append(model.fit(X[others], y[others]).predict(X[[i]])[0] == y[i])
    np.testing.assert_array_equal(neighbours_correct(X, y), right)
    assert neighbour_accuracy(X, y) == pytest.approx(np.mean(right))


def test_neighbour_accuracy__copies_in_one_group_do_not_recognise_each_other() -> None:
    rng = np.random.default_rng(0)
    once = rng.normal(size=(20, 40))
    X, y = np.repeat(once, 6, axis=0), np.repeat(np.arange(20) % 2, 6)
    assert neighbour_accuracy(X, y) == 1
    assert neighbour_accuracy(X, y, np.repeat(np.arange(20), 6)) < 0.9


def test_neighbour_accuracy__few_rows_and_bad_input() -> None:
    # Two neighbours at most: of one group only one image has a vote.
    assert neighbour_accuracy([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], [0, 0, 1]) == pytest.approx(
        2 / 3
    )
    with pytest.raises(ValueError, match="two different ones"):
        neighbour_accuracy([[1.0], [2.0]], [0, 1], [7, 7])
    with pytest.raises(ValueError, match="got 1 for 2 rows"):
        neighbour_accuracy([[1.0], [2.0]], [0, 1], [7])
