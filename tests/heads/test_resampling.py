from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headstart.heads.multilabel import average_precision
from headstart.heads.resampling import bootstrap

Values = NDArray[np.float64]


def test_bootstrap__holds_the_mean_average_precision_of_test_sets_with_rare_labels() -> None:
    """Resamples repeat the few examples of a label, so their average precisions are too high."""
    rng, n, n_labels = np.random.default_rng(0), 200, 100
    found = []
    for _ in range(30):
        has = rng.random((n, n_labels)) < 0.01
        scores = rng.normal(size=(n, n_labels)) + 2 * has

        def figures(w: Values, has: NDArray[np.bool_] = has, scores: Values = scores) -> Values:
            each = [average_precision(h, s, w) for h, s in zip(has.T, scores.T, strict=True)]
            return np.nanmean(each, axis=0)[:, None]

        [value], [[low], [high]] = bootstrap(figures, n, n_resamples=100)
        found.append((value, low, high))
    values, low, high = np.array(found).T
    mean = values.mean()
    assert np.mean((low <= mean) & (mean <= high)) >= 0.8


def test_bootstrap__gives_nothing_where_a_figure_is_never_defined() -> None:
    def figures(w: Values) -> Values:
        return np.stack([w.mean(axis=1), np.full(len(w), np.nan)], axis=1)

    values, ends = bootstrap(figures, 3, n_resamples=10)
    assert np.isnan(values).tolist() == [False, True]
    assert np.isnan(ends).tolist() == [[False, True], [False, True]]


def test_bootstrap__does_not_rely_on_a_few_groups() -> None:
    """One group alone would have an interval of no width."""
    values = np.random.default_rng(0).normal(size=40)

    def figures(w: Values) -> Values:
        return (w @ values / w.sum(axis=1))[:, None]

    _, [[low], [high]] = bootstrap(figures, 40, ["plant"] * 40)
    assert high - low > 3 * values.std() / np.sqrt(40)
