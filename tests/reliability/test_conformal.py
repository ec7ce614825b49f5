"""Label sets: coverage by simulation, the formula by hand, and what cannot be asked for."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import InputError
from headstart.reliability.conformal import label_sets, set_threshold


def _world(rng: np.random.Generator, n: int, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are not calibrated, and classes."""
    y = rng.integers(k, size=n)
    scores = rng.normal(size=(n, k)) + 1.3 * np.eye(k)[y]
    P = np.exp(3 * scores)
    return P / P.sum(axis=1, keepdims=True), y


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_set_threshold__covers_the_true_class_within_a_point_of_the_level(level: float) -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        P, y = _world(rng, 120)
        Q, z = _world(rng, 200)
        held = label_sets(Q, set_threshold(P[np.arange(120), y], level))
        shares.append(held[np.arange(200), z].mean())
    assert level - 0.01 < np.mean(shares) < level + 0.01


def test_set_threshold__is_the_order_statistic_of_the_papers() -> None:
    own = np.array([0.9, 0.1, 0.5, 0.7, 0.3])
    score = np.sort(1 - own)
    assert set_threshold(own, 0.8) == pytest.approx(1 - score[int(np.ceil(6 * 0.8)) - 1])


def test_label_sets__hold_the_most_probable_class_at_least() -> None:
    held = label_sets([[0.5, 0.3, 0.2], [0.4, 0.35, 0.25]], 0.45)
    assert held.tolist() == [[True, False, False], [True, False, False]]
    assert label_sets([[0.4, 0.35, 0.25]], 0.3).tolist() == [[True, True, False]]


@pytest.mark.parametrize("level", [0.0, 1.0, -1, 2, float("nan")])
def test_set_threshold__refuses_a_level_that_is_no_share(level: float) -> None:
    with pytest.raises(InputError, match=r"between 0 and 1; got"):
        set_threshold([0.5, 0.6], level)


def test_set_threshold__says_how_many_examples_a_level_needs() -> None:
    set_threshold(np.full(19, 0.5), 0.95)
    with pytest.raises(InputError, match=r"at least 19 .* the run has 18"):
        set_threshold(np.full(18, 0.5), 0.95)


@pytest.mark.parametrize("n", [18, 30, 2000])
def test_set_threshold__the_level_that_it_suggests_is_within_reach(n: int) -> None:
    with pytest.raises(InputError, match="or less") as refused:
        set_threshold(np.full(n, 0.5), 0.9999)
    suggested = str(refused.value).split("ask for ")[1].split(" ")[0]
    assert set_threshold(np.full(n, 0.5), float(suggested)) == 0.5
