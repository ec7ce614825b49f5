"""The mean of candidates of labels and numbers: votes, honest judgement, and the head that it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from headstart.heads.examples import normalize_rows
from headstart.heads.ridge_targets import fit_targets
from headstart.probe.targets import Truth, judge_targets
from headstart.runs.averaging import summed_heads
from headstart.runs.choose import Candidate
from headstart.runs.target_mean import _products, _votes, average_targets
from headstart.sources.blocks import Averaged, Blocks

N, FOLDS = 60, np.arange(60) % 4


@pytest.fixture(scope="module")
def features() -> dict[str, np.ndarray]:
    """Two layers that see one half each of what decides, and one that sees nothing."""
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(N, 4)).astype(np.float32) for name in ("a", "b", "noise")}


@pytest.fixture(scope="module")
def truth(features: dict[str, np.ndarray]) -> Truth:
    seen = np.stack([features["a"][:, k] + features["b"][:, k] for k in range(2)], axis=1)
    return Truth(names=("x", "y"), Y=(seen > 0).astype(float), is_number=False)


@pytest.fixture(scope="module")
def candidates(features: dict[str, np.ndarray], truth: Truth) -> list[Candidate]:
    return [
        Candidate(
            blocks=Blocks(taps=(name,), resolutions=(64,)),
            macs=1,
            scores=judge_targets(X, truth, FOLDS),
            judged=np.ones(N, dtype=bool),
        )
        for name, X in features.items()
    ]


def average(some: Sequence[Blocks]) -> Averaged:
    pairs = tuple(pair for blocks in some for pair in blocks.pairs)
    union = Blocks(taps=tuple(tap for tap, _ in pairs), resolutions=(64,), only=pairs)
    return Averaged(
        taps=union.taps, resolutions=(64,), union=union, n_averaged=len(some), n_features=(4,) * len(pairs)
    )  # fmt: skip


def test_average_targets__takes_what_helps_and_is_better(
    candidates: list[Candidate], truth: Truth
) -> None:
    mean = average_targets(candidates, 0, truth, FOLDS, average)
    assert mean is not None
    assert [c.blocks.taps for c in mean.members[:2]] == [("a",), ("b",)]
    assert sum(mean.votes) == 24
    assert str(mean.blocks).startswith(f"Mean of {len(mean.members)} ridge regressions")
    assert mean.merits.mean() > max(c.merits.mean() for c in candidates)


def test_average_targets__is_the_prior_alone_where_nothing_helps(
    candidates: list[Candidate], truth: Truth
) -> None:
    assert average_targets([candidates[0]], 0, truth, FOLDS, average) is None


def test_average_targets__no_fold_is_judged_by_votes_of_its_own(
    candidates: list[Candidate], truth: Truth
) -> None:
    mean = average_targets(candidates, 0, truth, FOLDS, average)
    Y = truth.Y.copy()
    Y[FOLDS == 1] = 1 - Y[FOLDS == 1]
    other = average_targets(
        candidates, 0, Truth(names=truth.names, Y=Y, is_number=False), FOLDS, average
    )
    assert mean is not None
    assert other is not None
    own = FOLDS == 1
    np.testing.assert_array_equal(mean.scores.decisions[own], other.scores.decisions[own])


def test_votes__are_those_of_the_squared_error(candidates: list[Candidate], truth: Truth) -> None:
    decisions = [np.asarray(c.scores.decisions, dtype=np.float64) for c in candidates]
    votes, total = [8, 0, 0], 8 * decisions[0]
    for n in range(9, 25):
        best = int(
            np.argmin([((total + d) / n - truth.targets).__pow__(2).sum() for d in decisions])
        )
        votes[best] += 1
        total = total + decisions[best]
    assert _votes(_products(decisions, truth.targets, np.ones(N, dtype=bool))) == votes


def test_summed_heads__predict_the_mean(
    candidates: list[Candidate], truth: Truth, features: dict[str, np.ndarray]
) -> None:
    mean = average_targets(candidates, 0, truth, FOLDS, average)
    assert mean is not None
    shares: list[Any] = [n / 24 for n in mean.votes]
    heads = [
        fit_targets(features[c.blocks.taps[0]], truth.targets, c.scores.C) for c in mean.members
    ]
    coef, intercept = summed_heads(mean, shares, heads)
    rows = {name: normalize_rows(X, "l2") for name, X in features.items()}
    joined = normalize_rows(np.hstack([rows[c.blocks.taps[0]] for c in mean.members]), "l2")
    expected = sum(
        share * (rows[c.blocks.taps[0]] @ w.T + b)
        for share, c, (w, b) in zip(shares, mean.members, heads, strict=True)
    )
    np.testing.assert_allclose(joined @ coef.T + intercept, expected, atol=1e-5)
