"""Retrieval against the plain formula and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from headstart.heads.retrieval import average_precision, measure_retrieval, nearest, precision_at


def arrays(seed: int, q: int = 9, n: int = 30, d: int = 4) -> tuple[NDArray[np.float64], ...]:
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(q, d)),
        rng.integers(0, 3, q),
        rng.normal(size=(n, d)),
        rng.integers(0, 3, n),
    )


def test_nearest__equals_all_distances_sorted() -> None:
    Q, _, G, _ = arrays(0, q=300)  # more than one block
    rows, distances = nearest(Q, G, 5)
    every = np.linalg.norm(Q[:, None] - G[None], axis=2)
    np.testing.assert_array_equal(rows, np.argsort(every, axis=1)[:, :5])
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :5])


def test_nearest__of_equals_the_earlier_and_the_same_row_at_exactly_zero() -> None:
    G = np.array([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0]])
    rows, distances = nearest(G[2:], G, 7)
    assert rows.tolist() == [[0, 2, 1]]
    assert distances[0, 0] == distances[0, 1] == 0


def test_precision_at__counts() -> None:
    assert precision_at([True, False, True, True], 3) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="from 1 to 2"):
        precision_at([True, False], 3)


def test_average_precision__by_hand() -> None:
    assert average_precision([True, False, True]) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert np.isnan(average_precision([False, False]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30).filter(any))
def test_average_precision__equals_sklearns(relevant: list[bool]) -> None:
    scores = -np.arange(len(relevant), dtype=float)
    assert average_precision(relevant) == pytest.approx(average_precision_score(relevant, scores))


def test_measure_retrieval__is_the_mean_over_queries() -> None:
    Q, asked, G, known = arrays(1)
    found = measure_retrieval(Q, asked, G, known, ks=(1, 5, 99))
    every = np.linalg.norm(Q[:, None] - G[None], axis=2)
    averages = [average_precision_score(known == a, -d) for a, d in zip(asked, every, strict=True)]
    assert found.mean_average_precision.value == pytest.approx(np.mean(averages))
    ranked = [known[np.argsort(d)] == a for a, d in zip(asked, every, strict=True)]
    assert found.ks == (1, 5)
    assert [p.value for p in found.precision] == pytest.approx(
        [np.mean([precision_at(r, k) for r in ranked]) for k in (1, 5)]
    )
    by_class = {str(c): np.mean([a for a, x in zip(averages, asked, strict=True) if x == c])
                for c in np.unique(asked)}  # fmt: skip
    assert found.by_class == pytest.approx(by_class)


def test_measure_retrieval__perfect_and_interval() -> None:
    G = np.repeat(np.eye(3), 4, axis=0)
    y = np.repeat(["a", "b", "c"], 4)
    found = measure_retrieval(G, y, G, y, ks=(4,))
    assert found.mean_average_precision.value == found.precision[0].value == 1
    worse = measure_retrieval(G, np.roll(y, 1), G, y, ks=(4,)).precision[0]
    assert worse.low < worse.value < worse.high


def test_measure_retrieval__a_class_that_the_gallery_lacks_is_left_out() -> None:
    Q, _, G, known = arrays(2, q=3)
    found = measure_retrieval(Q, [0, 1, 7], G, known)
    assert (found.n_queries, found.n_left_out) == (2, 1)
    with pytest.raises(ValueError, match="no query"):
        measure_retrieval(Q, [7, 8, 9], G, known)


def test_measure_retrieval__bad_shapes_are_told() -> None:
    Q, asked, G, known = arrays(3)
    with pytest.raises(ValueError, match="one label a row"):
        measure_retrieval(Q, asked[1:], G, known)
    with pytest.raises(ValueError, match="as many features"):
        nearest(Q, G[:, 1:], 1)
    with pytest.raises(ValueError, match="at least 1"):
        nearest(Q, G, 0)


def test_nearest__sparse_rows_as_dense_ones() -> None:
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((30, 50)) < 0.1, rng.random((30, 50)), 0.0)
    X = scipy.sparse.csr_array(dense)
    labels = np.arange(30) % 3
    rows, distances = nearest(X[:6], X[6:], 4)
    wanted_rows, wanted = nearest(X[:6].toarray(), X[6:].toarray(), 4)
    np.testing.assert_array_equal(rows, wanted_rows)
    np.testing.assert_allclose(distances, wanted, atol=1e-12)
    found = measure_retrieval(X[:6], labels[:6], X[6:], labels[6:])
    assert found == measure_retrieval(X[:6].toarray(), labels[:6], X[6:].toarray(), labels[6:])


def test_measure_retrieval__few_perfect_queries_are_not_certain() -> None:
    rows = np.eye(4).repeat(3, axis=0)
    labels = np.arange(4).repeat(3)
    found = measure_retrieval(rows, labels, rows + 0.01, labels, ks=(1, 2))
    for interval in found.precision:
        assert interval.value == 1.0
        assert 0.7 < interval.low < 0.8  # Wilson's of 12 of 12 is 0.757
    assert found.mean_average_precision.low < 0.9


def test_measure_retrieval__copies_of_a_query_in_a_group_say_no_more_than_it() -> None:
    rng = np.random.default_rng(0)
    gallery, labels = rng.normal(size=(30, 2)), np.repeat(["a", "b"], 15)
    gallery[:15, 0] += 1
    queries, asked = rng.normal(size=(40, 2)), np.repeat(["a", "b"], 20)
    rows = np.repeat(np.arange(40), 20)
    once = measure_retrieval(queries, asked, gallery, labels)
    copies = measure_retrieval(queries[rows], asked[rows], gallery, labels, groups=rows)
    pairs = [*zip(once.precision, copies.precision, strict=True)]
    for one, many in (*pairs, (once.mean_average_precision, copies.mean_average_precision)):
        assert many.value == pytest.approx(one.value)
        assert many.high - many.low == pytest.approx(one.high - one.low, rel=0.1)
