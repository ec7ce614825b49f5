"""Time the linear SVM path against GridSearchCV(LinearSVC), at equal objective.

    python bench/svm.py --quick     less than a minute
    python bench/svm.py             the figures of the documentation, some minutes

Both sides get the same features (clusters shaped like pooled CNN features, of unit length), costs and
folds, and refit the chosen model on all examples. Runs are interleaved, so that a slow minute of the
machine hits both; the table has medians. ``spread`` is (slowest - fastest) / median of the ratio of
neighbouring runs. The peer runs with ``dual`` as is faster on that size, two processes.

The check solves four classes at every ``C`` once more with LIBLINEAR to a tolerance of 1e-8 and demands
an objective within 1e-4 of it, the same signs on the held-out fold but for ties, and a certified
relative duality gap below 1e-4 of every class.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))

from peers import svm_sklearn

from headstart.heads import LinearSVM, LinearSVMPath, stratified_folds

CS = np.logspace(-2, 2.5, 10)
# Of each task, this many one-vs-rest models are solved again by LIBLINEAR; the gap covers all.
N_CLASSES_CHECKED = 4


@dataclass(frozen=True, kw_only=True)
class Case:
    """One size: a path over ``CS`` with 5 folds or, where ``C`` is given, one fit."""

    n_samples: int
    n_features: int
    n_classes: int
    noise: float
    C: float | None = None

    @property
    def name(self) -> str:
        kind = "path of 10 C x 5 folds" if self.C is None else f"fit at C={self.C:g}"
        return f"{kind}, n={self.n_samples}, d={self.n_features}, {self.n_classes} classes"


QUICK = [Case(n_samples=400, n_features=640, n_classes=8, noise=3.0)]
FULL = [
    Case(n_samples=1500, n_features=1280, n_classes=15, noise=3.0),
    Case(n_samples=1500, n_features=4096, n_classes=15, noise=3.0),
    Case(n_samples=20000, n_features=1280, n_classes=100, noise=3.2, C=1.0),
]


def cnn_like(case: Case, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit-length rectified features: class means and variation in one decaying spectrum, noise."""
    rng = np.random.default_rng(seed)
    n, d = case.n_samples, case.n_features
    n_factors = min(d, 256)
    scale = np.arange(1, n_factors + 1) ** -0.5
    scale /= np.linalg.norm(scale)
    means = rng.standard_normal((case.n_classes, n_factors)) * scale
    y = rng.integers(0, case.n_classes, n)
    factors = means[y] + case.noise * rng.standard_normal((n, n_factors)) * scale
    mixed = factors @ rng.standard_normal((n_factors, d))
    X = np.maximum(mixed + 0.3 * rng.standard_normal((n, d)), 0)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X.astype(np.float32), y


def objective(
    w: NDArray[Any], b: float, X: NDArray[Any], positive: NDArray[np.bool_], C: float
) -> float:
    """LIBLINEAR's objective of one model, by the plain formula."""
    f = X.astype(np.float64) @ w + b
    slack = np.maximum(0, 1 - np.where(positive, f, -f))
    return float(0.5 * (w @ w + b * b) + C * (slack @ slack))


def check(X: NDArray[Any], y: NDArray[Any], Cs: NDArray[np.float64], fold: NDArray[Any]) -> str:
    """Compare with LIBLINEAR's optimum at every ``C`` on the first fold; "ok" or what is off."""
    train, test = fold != 0, fold == 0
    worst, differing = 0.0, 0
    for C in Cs:
        ours = LinearSVM(C, normalize="none").fit(X[train], y[train])
        for k in range(min(len(ours.classes_), N_CLASSES_CHECKED)):
            peer = tight(X[train], y[train] == ours.classes_[k], C)
            w, b = ours.coef_[k], ours.intercept_[k]
            target = objective(peer.coef_[0], peer.intercept_[0], X[train], y[train] == k, C)
            worst = max(worst, objective(w, b, X[train], y[train] == k, C) / target - 1)
            theirs = peer.decision_function(X[test].astype(np.float64))
            clear = np.abs(theirs) > 0.01
            differing += int((((X[test] @ w + b) > 0) != (theirs > 0))[clear].sum())
        worst = max(worst, float(ours.gap_.max()))
    verdict = "ok" if worst <= 1e-4 and differing == 0 else "FAILED"
    return f"{verdict}: objective or gap +{worst:.0e}, {differing} signs differ beyond ties"


def tight(X: NDArray[Any], positive: NDArray[np.bool_], C: float) -> Any:
    """LIBLINEAR's optimum of one class against the rest."""
    return svm_sklearn.fit(X.astype(np.float64), positive, C, dual=False, tol=1e-8, max_iter=20_000)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def faster_dual(X: NDArray[Any], y: NDArray[Any], Cs: NDArray[np.float64]) -> tuple[bool, float]:
    """Which of LIBLINEAR's solvers is faster here, and how many times.

    Timed on two classes against the rest at every third ``C``; LIBLINEAR treats classes alike.
    """
    spent = {True: 0.0, False: 0.0}
    for C in Cs[::3]:
        for k in (0, 1):
            for dual in spent:
                spent[dual] += timed(lambda: svm_sklearn.fit(X, y == k, C, dual=dual))  # noqa: B023
    dual = spent[True] <= spent[False]
    return dual, spent[not dual] / spent[dual]


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """One row of the table."""
    X, y = cnn_like(case)
    fold = stratified_folds(y, n_folds=5, seed=0)
    Cs = CS if case.C is None else np.array([case.C])
    dual, factor = faster_dual(X, y, Cs)
    if case.C is None:
        splits = [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(5)]
        model = LinearSVMPath(tuple(CS), cv=fold, normalize="none", calibrate=False)

        def peer() -> object:
            return svm_sklearn.search(X, y, CS, splits, dual=dual)
    else:
        C = case.C
        model = LinearSVM(C, normalize="none")

        def peer() -> object:
            return svm_sklearn.fit(X, y, C, dual=dual)

    model.fit(X, y)
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(timed(lambda: model.fit(X, y)))
        theirs.append(timed(peer))
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    return {
        "name": case.name,
        "ours_s": statistics.median(ours),
        "peer_s": statistics.median(theirs),
        "ratio": ratio,
        "spread": (max(ratios) - min(ratios)) / ratio,
        "check": check(X, y, Cs, fold),
        "peer": f"LinearSVC(dual={dual}), {factor:.1f} times as fast as the other",
        "accuracy": float(model.cv_accuracy_.max()) if case.C is None else None,
    }


def run(quick: bool) -> list[dict[str, Any]]:
    """The rows of the table: name, ours_s, peer_s, ratio, spread, check."""
    return [measure(case, 5) for case in (QUICK if quick else FULL)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one small size, under a minute")
    rows = run(parser.parse_args().quick)
    for row in rows:
        print(row["name"])
        print(
            f"  ours {row['ours_s']:.3f} s, peer {row['peer_s']:.3f} s, ratio {row['ratio']:.1f}x "
            f"(spread {row['spread']:.0%}); {row['check']}"
        )
        print(f"  peer: {row['peer']}; best accuracy {row['accuracy']}")
    return int(any(not row["check"].startswith("ok") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
