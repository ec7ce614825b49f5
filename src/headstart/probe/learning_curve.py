"""Learning curves: fits on nested random subsets of the examples, scored on the same test examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError, argument
from headstart.heads.accuracy import design_effect
from headstart.heads.output_layer import fit_predict
from headstart.probe.powerlaw import MIN_POINTS
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from headstart.data.records import Example

    Rows: TypeAlias = NDArray[Any] | csr_array

STEPS = (1, 2, 3, 5, 7)


def learning_curve(
    train: Sequence[Example],
    test: Sequence[Example],
    rows_of: tuple[Rows, Rows],
    C: float,
    tol: float,
    *,
    counts: Sequence[int],
    seeds: Sequence[int],
    progress: Progress = silent,
) -> tuple[tuple[float, ...], NDArray[np.bool_]]:
    """Fit SVMs on nested subsets of examples in several random orders; score the same test examples.

    Parameters
    ----------
    rows_of : array or CSR array (n_train, d) and (n_test, d)
        Features of unit length.
    C, tol : float
        Of the SVMs.
    counts : sequence of int
        Examples a class, ascending.
    seeds : sequence of int
        One an order.
    progress : Progress
        Told after each fit of the examples fitted to so far, as a share of those of all fits.

    Returns
    -------
    means : tuple of float, length n_counts
        Examples a class that a subset really had.
    correct : bool array (n_seeds, n_counts, n_test)
    """
    X, X_test = rows_of
    y, truth = (np.array([r.label for r in records]) for records in (train, test))
    subsets = [[take(y, random_order(train, s), k) for k in counts] for s in seeds]
    correct, n_fitted = [], 0  # a fit takes the longer, the more examples it has
    n_to_fit = sum(len(rows) for nested in subsets for rows in nested)
    for nested in subsets:
        for rows in nested:
            correct.append(fit_predict(X[rows], y[rows], X_test, C, tol) == truth)
            n_fitted += len(rows)
            progress("learning curve", n_fitted, n_to_fit)
    n_classes = len(np.unique(y))
    means = tuple(len(rows) / n_classes for rows in subsets[0])
    return means, np.array(correct).reshape(len(seeds), len(counts), -1)


def independent_tests(correct: NDArray[np.bool_], groups: Sequence[str] | None) -> float:
    """Independent test examples with the variance of these: fewer where they come in groups.

    Parameters
    ----------
    correct : bool array (n_seeds, n_counts, n_test)
        As of :func:`learning_curve`.
    groups : sequence of str, length n_test, optional
        The group of each test example; a design effect, the mean over counts, divides their number.
    """
    n_test = correct.shape[2]
    shares = correct.mean(axis=0)
    effect = np.mean([design_effect(share >= 0.5, groups) for share in shares])
    return float(n_test / effect)


def choose_counts(y: NDArray[np.str_], asked: Sequence[int] | None = None) -> tuple[int, ...]:
    """Examples a class: those asked for, else 1, 2, 3, 5, 7, 10, ... and all of a median class.

    Raises DataError where a count is more than any class has, or there would be too few counts for
    a curve.
    """
    sizes = np.unique(y, return_counts=True)[1]
    most = int(np.median(sizes))
    if len(sizes) < 2:
        raise DataError("a learning curve needs examples of two classes or more; got 1")
    if asked is not None:
        counts = sorted(set(asked))
        if counts and (counts[0] < 1 or counts[-1] > sizes.max()):
            raise DataError(
                f"{argument('sizes')} must lie between 1 and {sizes.max()}, the examples of the largest class; "
                f"got {', '.join(map(str, counts))}"
            )
    else:
        grid = [step * 10**k for k in range(6) for step in STEPS]
        counts = sorted({*(n for n in grid if n <= most), most})
    if len(counts) < MIN_POINTS:
        raise DataError(
            f"a learning curve needs {MIN_POINTS} different numbers of examples per class; "
            f"got {', '.join(map(str, counts))} of classes with {most} in the median: give it more examples"
        )
    return tuple(counts)


def random_order(train: Sequence[Example], seed: int) -> NDArray[np.intp]:
    """A random order of the examples, in which copies of the same bytes come last."""
    order = np.random.default_rng(seed).permutation(len(train))
    seen: set[str] = set()
    first: list[np.intp] = []
    copies: list[np.intp] = []
    for i in order:
        (copies if train[i].digest in seen else first).append(i)
        seen.add(train[i].digest)
    return np.array([*first, *copies], dtype=np.intp)


def take(y: NDArray[np.str_], order: NDArray[np.intp], k: int) -> NDArray[np.intp]:
    """The first `k` examples of each class in that order, or all of a class that has fewer."""
    rank = np.empty(len(y), dtype=np.intp)
    for label in np.unique(y):
        rows = order[y[order] == label]
        rank[rows] = np.arange(len(rows))
    return np.flatnonzero(rank < k)
