from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.heads import folds, stratified_folds

labels = st.lists(st.sampled_from("abcd"), min_size=2, max_size=80)


@given(labels, st.integers(2, 8), st.integers(0, 5))
def test_stratified_folds__spreads_every_class_evenly(
    y: list[str], n_folds: int, seed: int
) -> None:
    fold = stratified_folds(y, n_folds=n_folds, seed=seed)
    used = min(n_folds, len(y))
    assert set(fold) == set(range(used))
    for name in set(y):
        counts = np.bincount(fold[np.array(y) == name], minlength=used)
        assert counts.max() - counts.min() <= 1
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= 1


@given(labels, st.integers(2, 6), st.data())
def test_stratified_folds__never_splits_a_group(
    y: list[str], n_folds: int, data: st.DataObject
) -> None:
    groups = data.draw(
        st.lists(st.integers(0, 10), min_size=len(y), max_size=len(y)).filter(
            lambda g: len(set(g)) > 1
        )
    )
    fold = stratified_folds(y, groups, n_folds)
    assert fold.shape == (len(y),)
    for group in set(groups):
        assert len(set(fold[np.array(groups) == group])) == 1
    assert 0 <= fold.min() <= fold.max() < n_folds
    assert len(set(fold)) > 1 or len(set(groups)) < 2


def test_stratified_folds__depends_on_the_seed_and_on_nothing_else() -> None:
    y = np.arange(60) % 3
    np.testing.assert_array_equal(stratified_folds(y, seed=3), stratified_folds(y, seed=3))
    assert (stratified_folds(y, seed=3) != stratified_folds(y, seed=4)).any()


def test_stratified_folds__gives_each_its_own_fold_where_there_are_few() -> None:
    assert sorted(stratified_folds(["a", "a", "b"], n_folds=10)) == [0, 1, 2]


def test_stratified_folds__names_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="n_folds must be at least 2; got 1"):
        stratified_folds([0, 1], n_folds=1)
    with pytest.raises(ValueError, match="at least 2 samples"):
        stratified_folds([0])
    with pytest.raises(ValueError, match="at least 2 samples"):
        stratified_folds([0, 1, 0], groups=[5, 5, 5])
    with pytest.raises(ValueError, match="differ in length: 2 and 3"):
        stratified_folds([0, 1], groups=[1, 2, 3])


@pytest.mark.parametrize("n_shared", [0, 1, 400])
def test_stratified_folds__of_many_groups_are_even_too(n_shared: int, monkeypatch) -> None:
    """Those that scikit-learn would take minutes for."""
    rng = np.random.default_rng(0)
    y = rng.choice(7, 3000, p=[0.4, 0.3, 0.1, 0.1, 0.06, 0.03, 0.01])
    groups = np.arange(3000)
    for k in range(n_shared):
        groups[rng.choice(3000, 3)] = 3000 + k
    monkeypatch.setattr(folds, "MOST_SPLIT_GROUPS", 1000)
    fold = stratified_folds(y, groups, 5, seed=1)
    for group in np.unique(groups):
        assert len(set(fold[groups == group])) == 1
    for label in range(7):
        sizes = np.bincount(fold[y == label], minlength=5)
        assert sizes.max() - sizes.min() <= 1 + (n_shared > 0)
    sizes = np.bincount(fold, minlength=5)
    assert sizes.max() - sizes.min() <= 7
    assert (fold != stratified_folds(y, groups, 5, seed=2)).any()
