from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning

from headstart.heads import (
    LinearSVM,
    cross_validate,
    fit_output_layer,
    fit_rows,
    stratified_folds,
)
from headstart.heads.output_layer import fit_searched
from headstart.heads.search import CostSearch
from headstart.heads.task import normalize_rows


@pytest.mark.parametrize("n_classes", [2, 4])
def test_fit_output_layer__predicts_as_the_svm_and_with_sensible_probabilities(
    n_classes: int,
) -> None:
    X, y = make_classification(
        400, 20, n_informative=8, n_classes=n_classes, class_sep=1.5, random_state=0
    )
    names = np.array([f"class {k}" for k in range(n_classes)])[y]
    path = cross_validate(X[:300], names[:300], (0.1, 1.0, 10.0), stratified_folds(y[:300]))
    layer = fit_output_layer(X[:300], names[:300], path)
    assert layer.coef.shape == (n_classes, 20)
    assert layer.intercept.shape == (n_classes,)
    logits = normalize_rows(X[300:], "l2") @ layer.coef.T + layer.intercept
    predicted = layer.svm.classes_[logits.argmax(axis=1)]
    np.testing.assert_array_equal(predicted, layer.svm.predict(X[300:]))

    # The log loss of held-out examples is lower than that of the SVM's own scores.
    def log_loss(scale: float) -> float:
        z = logits * scale
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        return float(-log_p[np.arange(100), y[300:]].mean())

    assert log_loss(1.0) < min(log_loss(0.2), log_loss(5.0))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_fit_rows__is_the_svm_with_and_without_held_out_scores(n_classes: int) -> None:
    X, y = make_classification(
        300, 20, n_informative=8, n_classes=n_classes, class_sep=1.5, random_state=0
    )
    path = cross_validate(X, y, (1.0, 10.0), stratified_folds(y))
    svm = LinearSVM(path.C, device="cpu").fit(X, y)
    expected = svm.coef_ if n_classes > 2 else np.vstack([-svm.coef_, svm.coef_])
    for scores in (None, path.decisions):
        coef, intercept = fit_rows(X, y, path.C, scores=scores)
        assert intercept.shape == (n_classes,)
        np.testing.assert_allclose(coef, expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("n_classes", [2, 4])
def test_fit_searched__is_the_same_svm_on_what_is_set_up(n_classes: int) -> None:
    X, y = make_classification(
        300, 20, n_informative=8, n_classes=n_classes, class_sep=1.5, random_state=0
    )
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    search = CostSearch(X, y, stratified_folds(y), sample_weight=weight)
    search.solve([10.0], range(search.n_splits))
    found = search.result([10.0])
    again = fit_searched(search, found.C, found.decisions)
    anew = fit_rows(X, y, found.C, scores=found.decisions, sample_weight=weight)
    np.testing.assert_array_equal(again[0], anew[0])
    np.testing.assert_array_equal(again[1], anew[1])


def test_fit_rows__warns_where_a_model_is_not_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = make_classification(300, 60, random_state=0)
    monkeypatch.setattr("headstart.heads.gram.MAX_STEPS", 1)
    with pytest.warns(ConvergenceWarning, match="stopped at a relative duality gap"):
        fit_rows(X, y, 100.0)
