"""A batch beside the training examples."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.reliability.shift import (
    detect_shift,
    difference_of_confidences,
    threshold_accuracy,
)


def _world(rng: np.random.Generator, n: int, harder: float = 0.0) -> tuple[np.ndarray, ...]:
    top = np.clip(rng.beta(6, 1.5, size=n) - harder, 0.2, 1)
    return top, rng.uniform(size=n) < top


@pytest.mark.parametrize("harder", [0.0, 0.15, 0.3])
def test_estimates__are_near_the_truth_where_probabilities_stay_calibrated(harder: float) -> None:
    rng = np.random.default_rng(0)
    top, right = _world(rng, 2000)
    new, truth = _world(rng, 2000, harder)
    assert difference_of_confidences(top, right, new) == pytest.approx(truth.mean(), abs=0.03)
    assert threshold_accuracy(top, right, top) == pytest.approx(right.mean(), abs=0.001)


def test_detect_shift__is_silent_on_more_of_the_same() -> None:
    rng = np.random.default_rng(1)
    top, right = _world(rng, 500)
    n_shifted = 0
    for _ in range(200):
        new, _ = _world(rng, 60)
        found = detect_shift(top=top, correct=right, batch_top=new, novelty=rng.uniform(size=60))
        n_shifted += found.is_shifted
    assert n_shifted == 0


def test_detect_shift__speaks_of_other_pictures_with_what_to_expect() -> None:
    rng = np.random.default_rng(2)
    top, right = _world(rng, 500)
    new, _ = _world(rng, 60, 0.3)
    found = detect_shift(top=top, correct=right, batch_top=new, novelty=rng.beta(5, 1, size=60))
    assert found.is_shifted
    assert 0 <= found.expected_accuracy < found.accuracy
    assert "60 images" in found.sentence
    assert "expect about" in found.sentence


def test_detect_shift__names_no_accuracy_of_other_things() -> None:
    top, right = _world(np.random.default_rng(3), 500)
    found = detect_shift(top=top, correct=right, batch_top=top[:40], novelty=np.ones(40))
    assert found.is_shifted
    assert "none of the classes" in found.sentence
    assert "expect" not in found.sentence
