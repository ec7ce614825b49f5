from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from headstart.heads import LinearSVM, LinearSVMPath, stratified_folds


# The check of sample weights compares fits to seven digits, so it needs a tolerance to match.
@parametrize_with_checks(
    [LinearSVM(tol=1e-17, device="cpu"), LinearSVMPath(cv=3, tol=1e-17, device="cpu")]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_linear_svm__passes_the_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def objective(model: Any, X: NDArray[Any], y: NDArray[Any], C: float) -> NDArray[np.float64]:
    """LIBLINEAR's objective by the plain formula, one value per model."""
    positive = model.classes_[1:] if len(model.classes_) == 2 else model.classes_
    sign = np.where(y[:, None] == positive, 1, -1)
    f = X.astype(np.float64) @ model.coef_.T + model.intercept_
    penalty = 0.5 * ((model.coef_**2).sum(axis=1) + model.intercept_**2)
    return penalty + C * (np.maximum(0, 1 - sign * f) ** 2).sum(axis=0)


def liblinear(X: NDArray[Any], y: NDArray[Any], C: float, **options: Any) -> LinearSVC:
    model = LinearSVC(C=C, dual=False, tol=1e-9, max_iter=100_000, random_state=0, **options)
    return model.fit(X.astype(np.float64), y)


@pytest.mark.parametrize("C", [1e-3, 1.0, 300.0])
@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize(
    ("n", "d"), [(90, 200), (150, 100), (400, 100), (300, 8)], ids=str
)  # Gram matrix (wide, tall), primal by conjugate gradients, primal by factors
def test_linear_svm__reaches_the_optimum_of_liblinear(
    clusters: Any, n: int, d: int, n_classes: int, C: float
) -> None:
    X, y = clusters(n, d, n_classes, noise=2.0)
    ours = LinearSVM(C, normalize="none", device="cpu").fit(X, y)
    peer = liblinear(X, y, C)
    excess = objective(ours, X, y, C) / objective(peer, X, y, C) - 1
    assert excess.max() < 2e-5
    assert (excess <= ours.gap_ + 1e-7).all()
    scores = np.atleast_2d(peer.decision_function(X.astype(np.float64)).T).T
    if n_classes == 2:
        scores = np.hstack([-scores / 2, scores / 2])
    ordered = np.sort(scores, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 0.02
    assert (ours.predict(X) == peer.predict(X.astype(np.float64)))[clear].all()


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(6, 40),
    d=st.integers(1, 60),
    n_classes=st.integers(2, 4),
    log_C=st.floats(-4, 4),
    scale=st.sampled_from([1e-2, 1.0, 30.0]),
    seed=st.integers(0, 10_000),
)
@example(n=18, d=10, n_classes=4, log_C=2.0, scale=30.0, seed=1)  # long Newton steps overshoot
@example(n=21, d=14, n_classes=4, log_C=2.0, scale=30.0, seed=1)
@example(n=6, d=2, n_classes=2, log_C=2.0, scale=30.0, seed=1)
def test_linear_svm__is_optimal_and_certified_on_any_data(
    n: int, d: int, n_classes: int, log_C: float, scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    X, y, C = scale * rng.standard_normal((n, d)), np.arange(n) % n_classes, 10**log_C
    ours = LinearSVM(C, normalize="none", device="cpu").fit(X, y)
    assert (ours.gap_ <= 1e-5).all()
    # A certified gap has to hold against any other weights: try some near the solution.
    value = objective(ours, X, y, C)
    for size in (1e-4, 1e-2):
        other = LinearSVM(C, normalize="none")
        other.classes_ = ours.classes_
        other.coef_ = ours.coef_ * (1 + size * rng.standard_normal(ours.coef_.shape))
        other.intercept_ = ours.intercept_ * (1 + size * rng.standard_normal(len(ours.coef_)))
        assert (objective(other, X, y, C) >= value * (1 - 1e-5)).all()


@pytest.mark.parametrize(("n", "d"), [(60, 90), (300, 60)])
def test_linear_svm__does_not_depend_on_the_order_of_rows(clusters: Any, n: int, d: int) -> None:
    X, y = clusters(n, d, 4)
    order = np.random.default_rng(1).permutation(n)
    one = LinearSVM(3.0, tol=1e-9, device="cpu").fit(X, y)
    two = LinearSVM(3.0, tol=1e-9, device="cpu").fit(X[order], y[order])
    np.testing.assert_allclose(one.coef_, two.coef_, atol=1e-4)


@pytest.mark.parametrize(("n", "d"), [(260, 200), (900, 150)], ids=["gram", "primal"])
@pytest.mark.parametrize(("scale", "C"), [(30.0, 1e3), (300.0, 1.0), (1e-3, 1e3)])
def test_linear_svm__copes_with_features_beyond_float32(
    n: int, d: int, scale: float, C: float
) -> None:
    X, y = scale * np.random.default_rng(0).standard_normal((n, d)), np.arange(n) % 3
    assert LinearSVM(C, normalize="none", device="cpu").fit(X, y).gap_.max() <= 1e-5


def test_linear_svm__reaches_a_tight_tolerance(clusters: Any) -> None:
    for n, d in [(60, 90), (300, 60)]:
        X, y = clusters(n, d, 3, noise=2.0)
        assert LinearSVM(10.0, tol=1e-11, device="cpu").fit(X, y).gap_.max() <= 1e-11


def test_linear_svm__says_when_it_did_not_reach_the_tolerance(
    clusters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.heads.gram.MAX_STEPS", 1)
    X, y = clusters(60, 90, 3)
    with pytest.warns(ConvergenceWarning, match=r"relative duality gap of .* above tol=1\.0e-09"):
        LinearSVM(10.0, tol=1e-9, device="cpu").fit(X, y)


def test_linear_svm__normalizes_rows_like_normalized_input(clusters: Any) -> None:
    X, y = clusters(60, 90, 3)
    stretched = X * np.random.default_rng(0).uniform(0.1, 50, (60, 1))
    one = LinearSVM(tol=1e-12, device="cpu").fit(stretched, y)
    two = LinearSVM(tol=1e-12, normalize="none", device="cpu").fit(X.astype(np.float64), y)
    np.testing.assert_allclose(one.coef_, two.coef_, atol=1e-5)
    np.testing.assert_allclose(one.decision_function(7 * X), two.decision_function(X), atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 5.0, 1: 0.5}])
def test_linear_svm__weighs_classes_as_liblinear_does(
    clusters: Any, n_classes: int, class_weight: Any
) -> None:
    X, y = clusters(120, 30, n_classes, noise=3.0)
    keep = np.r_[np.flatnonzero(y == 0)[:15], np.flatnonzero(y > 0)]
    X, y = X[keep], y[keep]
    options = {"class_weight": class_weight}
    ours = LinearSVM(1.0, normalize="none", tol=1e-9, device="cpu", **options).fit(X, y)
    peer = liblinear(X, y, 1.0, **options)
    np.testing.assert_allclose(ours.coef_, peer.coef_, atol=1e-3)


@settings(max_examples=10)
@given(
    n=st.integers(12, 40),
    n_classes=st.integers(2, 4),
    class_weight=st.sampled_from([None, "balanced", {0: 3.0, 1: 0.2}]),
    seed=st.integers(0, 10_000),
)
def test_linear_svm__weighs_examples_and_classes_as_liblinear_does(
    n: int, n_classes: int, class_weight: Any, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    y = np.r_[np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)]
    X = rng.normal(size=(n, 5)) + y[:, None]
    weight = rng.choice([0.0, 0.3, 1.0, 4.0], n)
    weight[:n_classes] = 1.0
    ours = LinearSVM(1.0, normalize="none", class_weight=class_weight, tol=1e-10, device="cpu")
    ours.fit(X, y, sample_weight=weight)
    peer = LinearSVC(dual=False, tol=1e-10, max_iter=100_000, class_weight=class_weight)
    peer.fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(ours.coef_, peer.coef_, atol=1e-3)


@pytest.mark.parametrize("class_weight", [{0: -1.0}, {1: float("nan")}, {0: 0.0, 1: 0.0, 2: 0.0}])
def test_linear_svm__refuses_class_weights_that_are_none(clusters: Any, class_weight: Any) -> None:
    X, y = clusters(30, 5, 3)
    with pytest.raises(ValueError, match="class_weight must be 0 or more"):
        LinearSVM(class_weight=class_weight, device="cpu").fit(X, y)


def test_linear_svm__refuses_sparse_input_one_class_and_bad_settings(clusters: Any) -> None:
    X, y = clusters(20, 5, 2)
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        LinearSVM().fit(scipy.sparse.csr_array(X), y)
    with pytest.raises(ValueError, match="at least 2 classes; got 1 class"):
        LinearSVM().fit(X, np.zeros(20))
    with pytest.raises(ValueError, match="C must be above 0; got -1"):
        LinearSVM(-1).fit(X, y)
    with pytest.raises(ValueError, match="normalize must be 'l2', 'power' or 'none'; got 'l1'"):
        LinearSVM(normalize="l1").fit(X, y)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="class_weight must be"):
        LinearSVM(class_weight="even").fit(X, y)


def test_linear_svm_path__refits_what_linear_svm_fits(clusters: Any) -> None:
    X, y = clusters(90, 60, 3, noise=3.0)
    path = LinearSVMPath(cv=3, device="cpu", tol=1e-9).fit(X, y)
    single = LinearSVM(path.C_, device="cpu", tol=1e-9).fit(X, y)
    np.testing.assert_allclose(path.coef_, single.coef_, atol=1e-4)
    assert path.cv_accuracy_.shape == (10,)
    assert path.cv_decisions_.shape == (90, 3)
    assert path.cv_gap_.max() <= 1e-9


def test_linear_svm_path__is_deterministic(clusters: Any) -> None:
    X, y = clusters(90, 60, 3, noise=3.0)
    one, two = (LinearSVMPath(cv=3, device="cpu").fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(one.coef_, two.coef_)
    np.testing.assert_array_equal(one.cv_decisions_, two.cv_decisions_)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_linear_svm_path__gives_the_predicted_class_the_highest_probability(
    clusters: Any, n_classes: int
) -> None:
    X, y = clusters(80, 40, n_classes, noise=4.0)
    labels = np.array(["ash", "beech", "cedar", "durian"])[y]
    path = LinearSVMPath(cv=4, device="cpu").fit(X, labels)
    p = path.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(path.classes_[p.argmax(axis=1)], path.predict(X))


def test_linear_svm_path__takes_folds_in_every_form(clusters: Any) -> None:
    X, y = clusters(60, 30, 3, noise=3.0)
    fold = stratified_folds(y, n_folds=3, seed=0)
    pairs = [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(3)]
    found = [LinearSVMPath(cv=cv, device="cpu").fit(X, y).cv_decisions_ for cv in (3, fold, pairs)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_linear_svm_path__keeps_groups_together(clusters: Any) -> None:
    X, y = clusters(60, 30, 3, noise=30.0)
    X, y = np.repeat(X, 2, axis=0), np.repeat(y, 2)
    apart = LinearSVMPath(cv=5, device="cpu").fit(X, y)
    together = LinearSVMPath(cv=5, device="cpu").fit(X, y, groups=np.arange(120) // 2)
    # Twins on both sides of a split make noise look learnable.
    assert apart.cv_accuracy_.max() > together.cv_accuracy_.max() + 0.2


def test_linear_svm_path__offers_probabilities_only_when_calibrated(clusters: Any) -> None:
    X, y = clusters(30, 10, 3)
    path = LinearSVMPath(cv=3, calibrate=False, device="cpu").fit(X, y)
    assert not hasattr(path, "predict_proba")
