"""Cross-validation of every ``C`` on every fold in one sweep, and the choice among them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse

from headstart.heads.examples import row_blocks
from headstart.heads.parallel import map_pieces
from headstart.heads.sparse import require_finite
from headstart.heads.task import Normalize, Task, pick_device, relative_gap
from headstart.progress import Progress, silent

Folds = NDArray[np.integer] | Iterable[tuple[ArrayLike, ArrayLike]]

Split = tuple[NDArray[np.bool_], NDArray[np.intp]]


@dataclass(frozen=True, kw_only=True, slots=True)
class PathResult:
    """What cross-validation found for each ``C``.

    Attributes
    ----------
    Cs : ndarray of shape (n_C,), float64
        Ascending.
    classes : ndarray of shape (n_classes,)
        Labels, in the order of the columns of ``decisions``.
    decisions : ndarray of shape (n_C, n_samples, n_classes), float32
        Scores of each example by the models of the fold that held it out. Two classes have the
        columns ``-f`` and ``f``. NaN for an example that no fold held out.
    correct : ndarray of shape (n_C, n_samples), bool
        Whether the highest score was that of the example's own class.
    tested : ndarray of shape (n_samples,), bool
        Which examples a fold held out.
    accuracy : ndarray of shape (n_C,), float64
        Weighted share of ``correct`` among ``tested``.
    best : int
        Index of the most accurate ``C``, the smallest of equals. (A one-standard-error rule towards
        smaller ``C`` cost up to a point of test accuracy on scene15 at every layer tried.)
    gap : ndarray of shape (n_C, n_folds, n_models), float64
        Relative duality gap of each model.
    """

    Cs: NDArray[np.float64]
    classes: NDArray[Any]
    decisions: NDArray[np.float32]
    correct: NDArray[np.bool_]
    tested: NDArray[np.bool_]
    accuracy: NDArray[np.float64]
    best: int
    gap: NDArray[np.float64]

    @property
    def C(self) -> float:
        """The chosen cost."""
        return float(self.Cs[self.best])


def cross_validate(
    X: ArrayLike,
    y: ArrayLike,
    Cs: Sequence[float],
    folds: Folds,
    normalize: Normalize = "l2",
    device: str | torch.device | None = None,
    *,
    tol: float = 1e-5,
    progress: Progress = silent,
) -> PathResult:
    """Out-of-fold scores of the linear SVM for every ``C``.

    Parameters
    ----------
    X : array-like or sparse array of shape (n_samples, n_features), float
        Features.
    y : array-like of shape (n_samples,)
        Labels of at least two classes.
    Cs : sequence of float > 0
        Costs to try; the result has them in ascending order.
    folds : ndarray of shape (n_samples,), int, or iterable of (train, test) index arrays
        Fold of each example (negative: never held out), or the splits themselves.
    normalize : {"l2", "power", "none"}, default="l2"
        Whether rows are brought to unit length first.
    device : str or torch.device, optional
        By default a CUDA device where there is one, else the CPU.
    tol : float, default=1e-5
        Relative duality gap to which every model is solved.
    progress : Progress
        Told of each ``C`` done.

    Returns
    -------
    PathResult

    Raises
    ------
    ValueError
        If a cost is not positive, the folds do not fit the data, or there is one class only.

    Notes
    -----
    A class that is absent from the training part of a fold is scored one below the lowest other
    score in that fold, so that it is never predicted there.
    """
    data, classes, member = label_columns(X, y)
    task = Task(
        data,
        member,
        len(classes),
        np.ones(len(member)),
        np.ones(len(classes)),
        pick_device(device),
        normalize,
    )
    return sweep(task, classes, Cs, folds, tol=tol, progress=progress)


def label_columns(
    X: ArrayLike, y: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.intp]]:
    """Checked features, the classes, and the class of each example as a number."""
    data: Any = X if issparse(X) else np.asarray(X)
    classes, member = np.unique(np.asarray(y), return_inverse=True)
    if data.ndim != 2 or data.shape[0] != member.size:
        raise ValueError(
            f"X must be (n_samples, n_features) with one row a label; got {data.shape} and "
            f"{member.size} labels"
        )
    if len(classes) < 2:
        raise ValueError(f"y needs at least 2 classes; got 1 class: {classes.tolist()!r}")
    if issparse(data):
        require_finite(data)
        return data, classes, member.reshape(-1)
    for rows in row_blocks(len(data)):
        if not (finite := np.isfinite(data[rows]).all(axis=1)).all():
            row = rows.start + int(finite.argmin())
            raise ValueError(f"X holds NaN or infinity, first in row {row}")
    return data, classes, member.reshape(-1)


def sweep(
    task: Task,
    classes: NDArray[Any],
    Cs: Sequence[float],
    folds: Folds,
    *,
    weight: NDArray[np.float64] | None = None,
    tol: float = 1e-5,
    progress: Progress = silent,
) -> PathResult:
    """`cross_validate` for a task that is set up; ``weight`` says how often an example counts."""
    costs = _check_costs(Cs)
    n = len(task.member)
    splits = _splits(folds, n)
    tested = np.zeros(n, dtype=bool)
    for _, test in splits:
        tested[test] = True
    scores = np.full((len(costs), n, task.n_models), np.nan, dtype=np.float32)
    gap = np.zeros((len(costs), len(splits), task.n_models))
    pieces = task.pieces(len(splits))
    done = itertools.count(1)

    def walk(piece: NDArray[np.intp]) -> None:
        for i, (f, found) in enumerate(_walk(task, costs, splits, piece, tol)):
            gap[i, piece[:, 0], piece[:, 1]] = found
            for s in np.unique(piece[:, 0]):
                rows, test = piece[:, 0] == s, splits[s][1]
                scores[i, test[:, None], piece[rows, 1]] = f[rows][:, test].T
            progress("cross-validate", next(done), len(pieces) * len(costs))

    map_pieces(walk, pieces, task.y.device)
    decisions = _columns(task, splits, scores)
    member = task.member
    counts = np.ones(n) if weight is None else weight
    correct = (decisions.argmax(axis=2) == member) & tested
    accuracy = correct @ counts / (counts @ tested)
    return PathResult(
        Cs=costs, classes=classes, decisions=decisions, correct=correct, tested=tested,
        accuracy=accuracy, best=int(accuracy.argmax()), gap=gap,
    )  # fmt: skip


def _walk(
    task: Task, costs: NDArray[np.float64], splits: list[Split], piece: NDArray[np.intp], tol: float
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64]]]:
    """Solve (split, class) pairs along the costs: decision values and relative gaps at each."""
    train = np.stack([splits[s][0] for s in piece[:, 0]])
    solver = task.solver.fork()
    unit = task.problem(1.0, piece[:, 1], train)
    state = solver.empty(unit)
    before = None
    for i, C in enumerate(costs):
        problem = unit.scaled(float(C))
        guess = None if before is None else solver.predict(problem, state, before)
        # The empty state before the first cost is no part of a trend.
        before = state.copy() if i else None
        state = solver.solve(problem, state, tol, guess)
        yield state.f.float().cpu().numpy(), relative_gap(state)


def _columns(
    task: Task,
    splits: list[Split],
    scores: NDArray[np.float32],
) -> NDArray[np.float32]:
    """One column a class, with classes that a split did not train on out of the running."""
    if task.n_classes == 2:
        return np.concatenate([-scores, scores], axis=2)
    for train, test in splits:
        seen = np.isin(np.arange(task.n_classes), task.member[train])
        if not seen.all() and seen.any():
            lowest = scores[:, test][:, :, seen].min(axis=(1, 2)) - 1
            scores[:, test[:, None], np.flatnonzero(~seen)] = lowest[:, None, None]
    return scores


def _check_costs(Cs: Sequence[float]) -> NDArray[np.float64]:
    costs = np.unique(np.asarray(Cs, dtype=float))
    if costs.size == 0 or not np.isfinite(costs).all() or costs[0] <= 0:
        raise ValueError(f"Cs must be one or more finite numbers above 0; got {Cs!r}")
    return costs


def _splits(folds: Folds, n: int) -> list[Split]:
    """(mask of training examples, indices of held-out ones) of each fold."""
    if isinstance(folds, np.ndarray) and folds.ndim == 1:
        if len(folds) != n:
            raise ValueError(f"folds has {len(folds)} entries for {n} samples")
        ids = np.unique(folds[folds >= 0])
        found = [(folds != i, np.flatnonzero(folds == i)) for i in ids]
    else:
        found = []
        for train, test in folds:
            mask = np.zeros(n, dtype=bool)
            mask[np.asarray(train)] = True
            found.append((mask, np.arange(n)[np.asarray(test)]))
    _check_splits(found, n)
    return found


def _check_splits(found: list[Split], n: int) -> None:
    if not found:
        raise ValueError("folds holds no fold")
    times = np.zeros(n, dtype=int)
    for number, (mask, test) in enumerate(found):
        times[test] += 1
        if not mask.any() or mask[test].any():
            raise ValueError(f"fold {number} has no training samples, or tests on some of them")
    if times.max() > 1:
        raise ValueError(
            f"sample {int(times.argmax())} is held out by {times.max()} folds; one is the most"
        )
