"""Classifiers with few images per class: what the heads do, and the page."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import few_heads


def test_heads__recognise_classes_that_lie_apart() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 8)
    X = (np.eye(3)[y] + 0.1 * rng.standard_normal((24, 3))).astype(np.float32)
    for predict in (few_heads.HEADS | few_heads.LARGER).values():
        kept = X.copy()
        assert (predict(X[::2], y[::2], X[1::2]) == y[1::2]).all()
        assert (kept == X).all()


def test_page__gains_are_over_the_svm_and_sets_without_enough_images_are_left_out() -> None:
    rest = few_heads.HEADS.keys() - {few_heads.OURS}
    one = {few_heads.OURS: 0.6} | dict.fromkeys(rest, 0.5)
    draws = [{"1": one}, {"1": one | dict.fromkeys(rest, 0.7)}]
    other = [{"1": one, "16": one | dict.fromkeys(few_heads.LARGER, 0.4)}]
    trials = {"domains/a": draws, "b": other}
    head = "nearest neighbour"
    np.testing.assert_allclose(few_heads.gains(trials, head, 1), [0, -0.1], atol=1e-12)
    assert len(few_heads.gains(trials, head, 16)) == 1
    assert few_heads.gains(trials, head, 4) == []
    text = few_heads.page(trials)
    assert "2 sets, 1 to 2 draws" in text
    assert "nan" not in text
