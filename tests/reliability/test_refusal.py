"""Refusing: thresholds by brute force, what they reach on new examples, and the curve."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import InputError
from headstart.reliability.refusal import answered, refusal_threshold, risk_coverage


def _world(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    top = rng.uniform(0.3, 1, size=n)
    return top, rng.uniform(size=n) < top


def test_refusal_threshold__answers_the_most_that_stays_within_the_errors() -> None:
    rng = np.random.default_rng(0)
    top, right = _world(rng, 300)
    top = top.round(2)  # with equal probabilities
    found = refusal_threshold(top, right, 0.85)
    allowed = {
        t for t in np.unique(top) if ((~right)[top >= t].sum() + 1) <= 0.15 * (top >= t).sum()
    }
    assert found == min(allowed)


@pytest.mark.parametrize("target", [0.75, 0.85])
def test_refusal_threshold__reaches_its_target_on_new_examples(target: float) -> None:
    rng = np.random.default_rng(1)
    wrong = n_answered = 0
    for _ in range(300):
        threshold = refusal_threshold(*_world(rng, 200), target)
        top, right = _world(rng, 200)
        wrong += (~right)[top >= threshold].sum()
        n_answered += (top >= threshold).sum()
    assert target - 0.01 < 1 - wrong / n_answered < target + 0.03


def test_refusal_threshold__is_zero_where_all_can_be_answered() -> None:
    assert refusal_threshold([0.6] * 100, [True] * 100, 0.9) == 0


@pytest.mark.parametrize("target", [0, 1, 1.5])
def test_refusal_threshold__refuses_what_is_no_share(target: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        refusal_threshold([0.5], [True], target)


def test_refusal_threshold__says_what_is_out_of_reach() -> None:
    with pytest.raises(InputError, match=r"0\.99 is out of reach.*0\.9 of the time"):
        refusal_threshold([0.9] * 10, [True] * 10, 0.99)


def test_answered__counts_from_the_threshold_on() -> None:
    found = answered([0.9, 0.8, 0.4], [True, False, True], 0.8)
    assert found.coverage.value == pytest.approx(2 / 3)
    assert found.accuracy is not None
    assert found.accuracy.value == 0.5
    assert answered([0.9], [True], 0.95).accuracy is None


def test_risk_coverage__ends_at_the_accuracy_of_all() -> None:
    coverage, accuracy = risk_coverage([0.9, 0.7, 0.7, 0.2], [True, True, False, False])
    assert coverage.tolist() == [0.25, 0.75, 1.0]
    assert accuracy == pytest.approx([1, 2 / 3, 0.5])
