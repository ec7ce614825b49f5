"""The linear SVM as scikit-learn estimators."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from headstart.heads.calibration import Temperature, fit_temperature
from headstart.heads.costs import COSTS
from headstart.heads.examples import Rows, decide, is_lazy
from headstart.heads.folds import stratified_folds
from headstart.heads.outofcore import StreamedTask, set_up
from headstart.heads.passes import Labels
from headstart.heads.path import Folds, label_columns, sweep
from headstart.heads.task import Device, Fit, Normalize, Task, or_on_cpu
from headstart.progress import Progress, silent

# What is taken as it is; anything else is converted to the first.
FEATURE_DTYPES = (np.float32, np.float64, np.float16)

ClassWeight = dict[Any, float] | str | None


class _LinearHead(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What both estimators share once they are fitted."""

    normalize: Normalize
    class_weight: ClassWeight
    tol: float
    device: Device

    def _set_up(
        self,
        X: ArrayLike | Rows,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        device: Device,
    ) -> tuple[Task | StreamedTask, NDArray[np.float64]]:
        """Check the input and build the task; returns the weights of the examples as well."""
        if _is_left(X):
            data, _, _ = label_columns(X, labels := column_or_1d(y, warn=True))
            self.n_features_in_ = data.shape[1]
        else:
            data, labels = validate_data(self, X, y, dtype=FEATURE_DTYPES)
        check_classification_targets(labels)
        self.classes_, member = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y needs at least 2 classes; got 1 class: {self.classes_.tolist()!r}")
        weight = _check_sample_weight(
            sample_weight, labels, dtype=np.float64, ensure_non_negative=True
        )
        factors = _class_factors(self.class_weight, self.classes_, member, weight)
        known = Labels.of(member, len(self.classes_), weight, factors)
        return set_up(data, known, device, self.normalize), weight

    def _keep(self, fit: Fit) -> None:
        self.coef_, self.intercept_, self.gap_ = fit.coef, fit.intercept, fit.gap
        warn_unsolved(fit.gap, self.tol, stacklevel=4)

    def decision_function(self, X: ArrayLike | Rows) -> NDArray[np.float64]:
        """Scores of new examples.

        Parameters
        ----------
        X : array-like or Rows of shape (n_samples, n_features), float
            Features, not normalised.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes, float64
            For two classes, positive where the second is predicted.
        """
        check_is_fitted(self)
        data: Any = X
        if not _is_left(X):
            data = validate_data(self, X, dtype=FEATURE_DTYPES, reset=False)
        elif data.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {data.shape[1]} features, but {type(self).__name__} was fitted on "
                f"{self.n_features_in_}"
            )
        scores = decide(data, self.coef_, self.intercept_, self.normalize)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: ArrayLike | Rows) -> NDArray[Any]:
        """The class with the highest score, (n_samples,)."""
        scores = self.decision_function(X)
        winner = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return np.asarray(self.classes_[winner])


class LinearSVM(_LinearHead):
    """One-vs-rest linear SVM with squared hinge loss and L2 penalty, at a given ``C``.

    Minimises, for each class against the rest,
    ``0.5 |w|^2 + C sum_i max(0, 1 - y_i f(x_i))^2`` with ``f(x) = w . x + b`` and the intercept
    regularised as the weight of a constant feature: the objective and the optimum of
    ``sklearn.svm.LinearSVC()`` and LIBLINEAR's L2-loss SVC (Fan et al. 2008). All classes are
    solved together, in the primal (many samples) or on the Gram matrix (many features).

    Parameters
    ----------
    C : float > 0, default=1.0
        Cost of the loss.
    normalize : {"l2", "power", "none"}, default="l2"
        ``"l2"`` brings rows to unit length first (Razavian et al. 2014).
    class_weight : dict, "balanced" or None, default=None
        Factors of ``C`` by class; ``"balanced"`` takes ``n_samples / (n_classes * count)``. As in
        LIBLINEAR, the rest of a one-vs-rest problem keeps factor 1 if there are three classes or more.
    tol : float, default=1e-5
        Relative duality gap to which every model is solved.
    device : str, torch.device or sequence of them, optional
        Over several the models are split. By default all CUDA devices where they are faster, or else the CPU.

    Attributes
    ----------
    coef_ : ndarray of shape (n_classes, n_features), or (1, n_features) for two classes
    intercept_ : ndarray of shape (n_classes,) or (1,)
    classes_ : ndarray of shape (n_classes,)
    gap_ : ndarray of shape (n_classes,) or (1,)
        Certified relative duality gap of each model: its objective is at most this fraction above
        the optimum.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> round(LinearSVM(C=10.0, device="cpu").fit(X, y).score(X, y), 2)
    0.95
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        normalize: Normalize = "l2",
        class_weight: ClassWeight = None,
        tol: float = 1e-5,
        device: Device = None,
    ) -> None:
        self.C = C
        self.normalize = normalize
        self.class_weight = class_weight
        self.tol = tol
        self.device = device

    def fit(
        self, X: ArrayLike | Rows, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> LinearSVM:
        """Train.

        Parameters
        ----------
        X : array-like or Rows of shape (n_samples, n_features), float
            Features.
        y : array-like of shape (n_samples,)
            Labels of at least two classes.
        sample_weight : array-like of shape (n_samples,), optional
            Factors of ``C`` by example.

        Returns
        -------
        LinearSVM

        Raises
        ------
        ValueError
            If the input is malformed, sparse, or of one class.
        """
        if not self.C > 0:
            raise ValueError(f"C must be above 0; got {self.C!r}")

        def solve(device: Device) -> Fit:
            task, _ = self._set_up(X, y, sample_weight, device)
            return task.fit(self.C, self.tol)

        self._keep(or_on_cpu(solve, self.device))
        return self


def warn_unsolved(gap: NDArray[np.float64], tol: float, stacklevel: int = 3) -> None:
    """Warn where a model's relative duality gap is above the tolerance, or not a number."""
    if not (worst := float(gap.max())) <= tol:
        warnings.warn(
            f"the solver stopped at a relative duality gap of {worst:.1e}, above tol={tol:.1e};"
            " scale the features (normalize='l2') or take a smaller C",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )


def _is_left(X: object) -> bool:
    """Whether features are to stay where they are: scikit-learn's checks make arrays as large."""
    is_mapped = isinstance(X, np.memmap) and X.ndim == 2 and X.dtype in FEATURE_DTYPES
    return is_lazy(X) or is_mapped


def _calibrates(estimator: LinearSVMPath) -> bool:
    if not estimator.calibrate:
        raise AttributeError("predict_proba is available with calibrate=True only")
    return True


class LinearSVMPath(_LinearHead):
    """`LinearSVM` that chooses ``C`` by cross-validation, all costs and folds in one sweep.

    The ``C`` of highest cross-validated accuracy is taken, of equals the nearest to 10. The model is
    then trained on all examples.

    Parameters
    ----------
    Cs : sequence of float > 0, default=10 values from 0.01 to 316
        Costs to try.
    cv : int, splitter, iterable of (train, test), or ndarray of shape (n_samples,), default=5
        Number of stratified folds, a scikit-learn splitter, the splits themselves, or the fold of
        each example.
    normalize : {"l2", "power", "none"}, default="l2"
        ``"l2"`` brings rows to unit length first (Razavian et al. 2014).
    class_weight : dict, "balanced" or None, default=None
        As in `LinearSVM`.
    seed : int, default=0
        Of the folds.
    calibrate : bool, default=True
        Whether to fit probabilities to the out-of-fold scores (`Temperature`).
    tol : float, default=1e-5
        Relative duality gap to which every model is solved.
    device : str, torch.device or sequence of them, optional
        Over several the models are split. By default all CUDA devices where they are faster, or else the CPU.

    Attributes
    ----------
    C_ : float
        The chosen cost.
    Cs_ : ndarray of shape (n_C,)
        The costs, ascending.
    coef_, intercept_, classes_, gap_
        As in `LinearSVM`.
    cv_accuracy_ : ndarray of shape (n_C,)
        Accuracy on held-out examples.
    cv_correct_ : ndarray of shape (n_C, n_samples), bool
        Whether each held-out example was recognised.
    cv_decisions_ : ndarray of shape (n_samples, n_classes), float32
        Out-of-fold scores at ``C_``; two classes have the columns ``-f`` and ``f``.
    cv_gap_ : ndarray of shape (n_C, n_folds, n_models)
        Relative duality gap of each cross-validated model.
    calibration_ : Temperature or None
    """

    def __init__(
        self,
        Cs: Sequence[float] = COSTS,
        *,
        cv: int | Folds | Any = 5,
        normalize: Normalize = "l2",
        class_weight: ClassWeight = None,
        seed: int = 0,
        calibrate: bool = True,
        tol: float = 1e-5,
        device: Device = None,
    ) -> None:
        self.Cs = Cs
        self.cv = cv
        self.normalize = normalize
        self.class_weight = class_weight
        self.seed = seed
        self.calibrate = calibrate
        self.tol = tol
        self.device = device

    def fit(
        self,
        X: ArrayLike | Rows,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        progress: Progress = silent,
    ) -> LinearSVMPath:
        """Cross-validate, choose ``C``, and train on everything.

        Parameters
        ----------
        X : array-like or Rows of shape (n_samples, n_features), float
            Features.
        y : array-like of shape (n_samples,)
            Labels of at least two classes.
        sample_weight : array-like of shape (n_samples,), optional
            Factors of ``C`` by example; they count in the accuracy as well.
        groups : array-like of shape (n_samples,), optional
            Examples of one group are never split between folds.
        progress : Progress
            Told of each cost done.

        Returns
        -------
        LinearSVMPath

        Raises
        ------
        ValueError
            If the input is malformed, sparse, or of one class.
        """
        folds: Folds | None = None

        def solve(device: Device) -> Fit:
            nonlocal folds
            task, weight = self._set_up(X, y, sample_weight, device)
            if folds is None:  # once: `cv` may be an iterator
                folds = self._folds(task.member, groups)
            found = sweep(
                task, self.classes_, self.Cs, folds, weight=weight, tol=self.tol, progress=progress
            )
            self.C_, self.Cs_ = found.C, found.Cs
            self.cv_accuracy_, self.cv_correct_ = found.accuracy, found.correct
            self.cv_decisions_, self.cv_gap_ = found.decisions, found.gap
            self.calibration_ = self._calibrate(task.member, found.tested, weight)
            # Held-out scores say well enough which examples will be active in the full model.
            scores = np.nan_to_num(self.cv_decisions_[:, -task.n_models :].T)
            return task.fit(self.C_, self.tol, scores)

        self._keep(or_on_cpu(solve, self.device))
        return self

    def _folds(self, member: NDArray[np.integer], groups: ArrayLike | None) -> Folds:
        if isinstance(self.cv, int | np.integer):
            return stratified_folds(member, groups, int(self.cv), self.seed)
        if hasattr(self.cv, "split"):
            return list(self.cv.split(np.empty((len(member), 0)), member, groups))
        if isinstance(self.cv, np.ndarray) or not isinstance(self.cv, Iterable):
            return np.asarray(self.cv)
        return list(self.cv)

    def _calibrate(
        self, member: NDArray[np.integer], tested: NDArray[np.bool_], weight: NDArray[np.float64]
    ) -> Temperature | None:
        if not self.calibrate:
            return None
        return fit_temperature(self.cv_decisions_[tested], member[tested], weight[tested])

    @available_if(_calibrates)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: ArrayLike | Rows) -> NDArray[np.float64]:
        """Calibrated probabilities, (n_samples, n_classes); rows sum to 1.

        The most probable class is the predicted one.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([-scores, scores], axis=1)
        assert self.calibration_ is not None
        return self.calibration_.probabilities(scores)


def _class_factors(
    class_weight: ClassWeight,
    classes: NDArray[Any],
    member: NDArray[np.integer],
    weight: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Factor of the cost of each class."""
    if class_weight is None:
        return np.ones(len(classes))
    if class_weight == "balanced":
        mass = np.bincount(member, weights=weight, minlength=len(classes))
        return np.asarray(weight.sum() / (len(classes) * np.maximum(mass, 1e-300)))
    if isinstance(class_weight, dict):
        factors = np.array([float(class_weight.get(c, 1.0)) for c in classes.tolist()])
        if not (np.isfinite(factors) & (factors >= 0)).all() or not factors.any():
            raise ValueError(
                f"class_weight must be 0 or more, and not 0 for all classes; got {class_weight!r}"
            )
        return factors
    raise ValueError(f"class_weight must be a dict, 'balanced' or None; got {class_weight!r}")
