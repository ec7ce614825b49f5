"""Do repeated cross-validation and leave-one-out judge few examples better than five folds once?

    python bench/repeats.py

Draws of few examples from classes of normal distributions, seen through several kinds of features of
different strength. Each kind is judged by five folds, by five folds repeated ten times, and by
leave-one-out (one factorisation a class); the truth is the accuracy of the SVM of all examples on
4,000 others. Printed: the mean error of the estimate and its root mean square, in points, and the
regret: how many points the kind that looks best is behind the best one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headstart.heads import LinearSVM, cross_validate, leave_one_out, stratified_folds

N_TRIALS, N_REPEATS, N_TEST, N_CLASSES = 40, 10, 4_000, 4
STRENGTHS = (0.5, 0.7, 0.8, 0.9, 1.0, 1.1)
RULES = ("5 folds", f"5 folds, {N_REPEATS} times", "scores averaged", "leave-one-out")


def draw(
    rng: np.random.Generator, n: int
) -> tuple[
    list[NDArray[np.float64]], list[NDArray[np.float64]], NDArray[np.intp], NDArray[np.intp]
]:
    """Training and test features of every kind, and the labels of both."""
    y, test = np.arange(n) % N_CLASSES, np.arange(N_TEST) % N_CLASSES
    latent = 8
    means = rng.normal(size=(N_CLASSES, latent))
    hidden = [means[labels] + rng.normal(size=(len(labels), latent)) for labels in (y, test)]
    kinds: list[list[NDArray[np.float64]]] = [[], []]
    for strength in rng.permutation(STRENGTHS):
        mixed = rng.normal(size=(latent, 24)) / np.sqrt(latent)
        for side, h in zip(kinds, hidden, strict=True):
            side.append(strength * h @ mixed + rng.normal(size=(len(h), 24)))
    return kinds[0], kinds[1], y, test


def estimates(X: NDArray[np.float64], y: NDArray[np.intp], seed: int) -> list[float]:
    """The accuracy by every rule."""
    decisions, accuracies = [], []
    for repeat in range(N_REPEATS):
        folds = stratified_folds(y, n_folds=5, seed=1_000 * seed + repeat)
        found = cross_validate(X, y, [1.0], folds, "l2", "cpu", tol=1e-3)
        decisions.append(found.decisions)
        accuracies.append(float(found.accuracy[0]))
    averaged = np.mean(decisions, axis=0).argmax(axis=1) == y
    loo = leave_one_out(X, y, 1.0, device="cpu").correct
    return [
        accuracies[0], float(np.mean(accuracies)), float(averaged.mean()), float(loo.mean()),
    ]  # fmt: skip


def main() -> None:
    """Print the table of every number of training examples."""
    for n in (20, 40, 80):
        errors: list[NDArray[np.float64]] = []
        regrets: list[NDArray[np.float64]] = []
        for trial in range(N_TRIALS):
            train, test, y, truth = draw(np.random.default_rng([trial, n]), n)
            fitted = [LinearSVM(device="cpu", tol=1e-3).fit(X, y) for X in train]
            true = np.array(
                [(svm.predict(X) == truth).mean() for svm, X in zip(fitted, test, strict=True)]
            )
            found = np.array([estimates(X, y, trial) for X in train])
            errors.append(found - true[:, None])
            regrets.append(true.max() - true[found.argmax(axis=0)])
        off = 100 * np.concatenate(errors)
        behind = 100 * np.array(regrets)
        print(f"{n} examples of {N_CLASSES} classes")
        for i, rule in enumerate(RULES):
            noise = behind[:, i].std(ddof=1) / np.sqrt(N_TRIALS)
            print(
                f"  {rule:24} error {off[:, i].mean():+5.1f}, RMS {np.sqrt((off[:, i] ** 2).mean()):5.1f}"
                f", regret {behind[:, i].mean():4.1f} +- {noise:.1f}"
            )


if __name__ == "__main__":
    main()
