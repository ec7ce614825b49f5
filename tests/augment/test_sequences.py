from __future__ import annotations

from collections import Counter

import numpy as np

from headstart.augment import Choice
from headstart.augment.sequences import RANDAUGMENT, Steps, draw_learnt, draw_randaugment


def test_draw_randaugment__draws_evenly_at_one_strength() -> None:
    steps = draw_randaugment(2000, n_ops=2, magnitude=9, rng=np.random.default_rng(0))
    counts = Counter(steps.operations.ravel())
    assert set(counts) == set(RANDAUGMENT)
    assert len(RANDAUGMENT) == 14
    assert max(counts.values()) < 1.3 * 4000 / 14
    assert np.allclose(np.abs(steps.strengths), 0.3)


def test_draw_randaugment__no_operations_change_nothing() -> None:
    steps = draw_randaugment(3, n_ops=0, magnitude=9, rng=np.random.default_rng(0))
    assert steps.words(0) == []


def test_draw_learnt__follows_weights_and_probabilities() -> None:
    step = (
        Choice(operation="rotate", weight=0.8, probability=0.5, magnitude=0.4),
        Choice(operation="invert", weight=0.2, probability=1.0, magnitude=0.0),
    )
    only = (Choice(operation="solarize", weight=1.0, probability=0.0, magnitude=1.0),)
    steps = draw_learnt(4000, [(step, only)], rng=np.random.default_rng(0))
    share = {k: v / 4000 for k, v in Counter(steps.operations[:, 0]).items()}
    assert abs(share["rotate"] - 0.4) < 0.03
    assert abs(share["invert"] - 0.2) < 0.03
    assert set(steps.operations[:, 1]) == {""}
    rotated = steps.strengths[steps.operations == "rotate"]
    assert set(rotated.round(6)) == {-0.4, 0.4}


def test_draw_learnt__takes_sub_policies_of_unequal_length() -> None:
    one = (Choice(operation="invert", weight=1.0, probability=1.0, magnitude=0.0),)
    steps = draw_learnt(50, [(one,), (one, one)], rng=np.random.default_rng(0))
    assert set((steps.operations == "invert").sum(1)) == {1, 2}


def test_words__say_what_was_done() -> None:
    steps = Steps(
        np.array([["rotate", "identity", "posterize", "equalize"]]),
        np.array([[-0.3, 0.3, 0.5, 0.2]]),
    )
    assert steps.words(0) == ["rotate -0.30", "posterize 0.50", "equalize"]
