"""Forward selection on blocks of which it is known which belong together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headstart.experiments.profile.greedy import forward_selection
from headstart.heads import repeated_difference, stratified_folds

N = 300


def block(signal: NDArray[np.float64], seed: int, d: int = 30) -> NDArray[np.float32]:
    """The Gram matrix of unit rows that know `signal` (n, k) among noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, d))
    X[:, : signal.shape[1]] += signal
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return np.asarray(X @ X.T, dtype=np.float32)


def setting() -> tuple[NDArray[np.str_], NDArray[np.int64], NDArray[np.float64]]:
    """Four classes from two bits."""
    member = np.arange(N) % 4
    folds = np.array([stratified_folds(member, n_folds=5, seed=s) for s in range(2)])
    bits = 4.0 * np.stack([member // 2, member % 2], axis=1) - 2.0
    return np.array([f"c{m}" for m in member]), folds, bits


def test_forward_selection__joins_blocks_that_complete_each_other_and_stops() -> None:
    y, folds, bits = setting()
    grams = [block(np.zeros((N, 1)), 0), block(bits[:, :1], 1), block(0.9 * bits[:, 1:], 2)]
    steps = forward_selection(grams, y, folds)
    taken = [step.added for step in steps if step.is_taken]
    assert set(taken) == {1, 2}
    assert steps[0].gain is None
    assert steps[1].gain is not None
    assert steps[1].gain.low > 0
    assert steps[1].accuracy > steps[0].accuracy + 0.2
    # Noise was tried and left out.
    assert steps[-1].added == 0
    assert not steps[-1].is_taken


def test_forward_selection__a_copy_of_the_best_gains_nothing() -> None:
    y, folds, bits = setting()
    one = block(bits, 3)
    steps = forward_selection([one, one.copy()], y, folds)
    assert [step.is_taken for step in steps] == [True, False]


def test_forward_selection__starts_from_the_last_block_whatever_ridge_models_say() -> None:
    y, folds, bits = setting()
    steps = forward_selection([block(bits, 1), block(bits[:, :1], 2)], y, folds)
    assert [step.added for step in steps] == [1, 0]
    assert steps[0].gain is None


def test_forward_selection__many_small_gains_that_add_up_are_taken() -> None:
    y, folds, bits = setting()
    grams = [block(0.45 * bits, seed) for seed in range(6)]
    steps = forward_selection(grams, y, folds)
    taken = [step for step in steps if step.is_taken]
    assert len(taken) >= 2
    whole = repeated_difference(taken[-1].correct, steps[0].correct)
    assert whole.low > 0
    best = max(steps, key=lambda step: step.accuracy)
    assert best is taken[-1] or repeated_difference(taken[-1].correct, best.correct).may_stand_in


def test_forward_selection__heeds_the_largest_number_of_blocks() -> None:
    y, folds, bits = setting()
    grams = [block(bits[:, :1], 1), block(bits[:, 1:], 2)]
    assert len(forward_selection(grams, y, folds, max_blocks=1)) == 1


def test_forward_selection__tells_progress_to_the_end() -> None:
    y, folds, bits = setting()
    told: list[tuple[int, int]] = []
    forward_selection(
        [block(bits, 1), block(bits, 2)],
        y,
        folds,
        progress=lambda _, done, n: told.append((done, n)),
    )
    assert told[-1][0] == told[-1][1] == 2
