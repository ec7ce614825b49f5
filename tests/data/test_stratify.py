from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from headstart.data.records import Example
from headstart.data.stratify import iterative_stratification, target_counts


@settings(max_examples=30)
@given(
    has=arrays(
        np.int64, st.tuples(st.integers(10, 60), st.integers(1, 5)), elements=st.integers(0, 1)
    ),
    n_parts=st.integers(2, 4),
)
def test_iterative_stratification__deals_evenly(has: np.ndarray, n_parts: int) -> None:
    part = iterative_stratification(has, np.ones(len(has), int), [1 / n_parts] * n_parts)
    sizes = np.bincount(part, minlength=n_parts)
    assert sizes.sum() == len(has)
    # The rarest label is dealt out first, as evenly as it can be.
    totals = has.sum(axis=0)
    if (totals > 0).any():
        rarest = int(np.where(totals > 0, totals, 10**9).argmin())
        own = np.bincount(part[has[:, rarest] > 0], minlength=n_parts)
        assert own.max() - own.min() <= 1


def test_iterative_stratification__keeps_shares_of_every_label() -> None:
    rng = np.random.default_rng(0)
    has = (rng.random((1_000, 6)) < [0.5, 0.3, 0.1, 0.05, 0.02, 0.2]).astype(int)
    test = iterative_stratification(has, np.ones(1_000, int), [0.8, 0.2]) == 1
    assert has[test].sum(axis=0) / has.sum(axis=0) == pytest.approx([0.2] * 6, abs=0.03)
    assert test.sum() == pytest.approx(200, abs=5)


def test_iterative_stratification__gives_every_part_a_rare_label() -> None:
    has = np.zeros((40, 1), int)
    has[[3, 30]] = 1
    part = iterative_stratification(has, np.ones(40, int), [0.8, 0.2])
    assert set(part[[3, 30]]) == {0, 1}


def test_iterative_stratification__counts_the_examples_of_units() -> None:
    counts = np.array([[8], [1], [1], [1], [1], [1], [1], [1], [1]])
    part = iterative_stratification(counts, counts[:, 0], [0.5, 0.5])
    assert counts[part == 0].sum() == counts[part == 1].sum() == 8


def test_target_counts__keeps_pairs_of_labels_in_their_shares() -> None:
    rng = np.random.default_rng(0)
    has = rng.random((300, 8)) < rng.uniform(0.05, 0.3, 8)
    records = [
        Example(
            name=str(i),
            label="",
            digest="",
            split="",
            target=tuple("abcdefgh"[k] for k in np.flatnonzero(own)),
        )
        for i, own in enumerate(has)
    ]
    counts, sizes = target_counts(records, np.arange(300), 5)
    np.testing.assert_array_equal(counts[:, :8], has)
    frequent = sorted(
        (int((has[:, i] & has[:, j]).sum()) for i in range(8) for j in range(i)), reverse=True
    )
    of_pairs = counts[:, 8:].sum(axis=0).tolist()
    assert of_pairs == [n for n in frequent if n > 1]
    both = has[:, :, None] & has[:, None]
    pairs = [both[:, i, j] for i in range(8) for j in range(i)]

    def spread(table: np.ndarray) -> float:
        """How far the parts are from an even share of each pair."""
        part = iterative_stratification(table, sizes, [0.2] * 5)
        of = np.array([np.bincount(part[pair], minlength=5) for pair in pairs])
        return float(np.abs(of - of.mean(axis=1, keepdims=True)).mean())

    assert spread(counts) < 0.8 * spread(counts[:, :8])


def test_target_counts__divides_numbers_by_quantiles() -> None:
    records = [
        Example(name=str(i), label="", digest="", split="", target=float(i**3)) for i in range(100)
    ]
    counts, sizes = target_counts(records, np.arange(100), 5)
    assert counts.sum(axis=0).tolist() == [10] * 10
    assert sizes.tolist() == [1] * 100
