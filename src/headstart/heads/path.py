"""Cross-validation of every ``C`` on every fold in one sweep, and the choice among them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse

from headstart.heads.criterion import Criterion, read_weights
from headstart.heads.examples import Rows, is_lazy, row_blocks
from headstart.heads.outofcore import StreamedTask, set_up
from headstart.heads.passes import Labels
from headstart.heads.sparse import require_finite
from headstart.heads.task import Device, Normalize, Shard, Task, or_on_cpu, relative_gap, solve_from
from headstart.progress import Progress, silent

Folds = NDArray[np.integer] | Iterable[tuple[ArrayLike, ArrayLike]]

Split = tuple[NDArray[np.bool_], NDArray[np.intp]]

ACCURACY = Criterion()

# Of costs that cross-validation cannot tell apart, the one nearest to this is taken; rows have unit length.
USUAL_COST = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PathResult:
    """What cross-validation found for each ``C``.

    Attributes
    ----------
    Cs : ndarray of shape (n_C,), float64
        Ascending.
    classes : ndarray of shape (n_classes,)
        Labels, in the order of the columns of ``decisions``.
    decisions : ndarray of shape (n_samples, n_classes), float32
        Scores of each example, at the chosen cost, by the models of the fold that held it out. Two classes have the
        columns ``-f`` and ``f``. NaN for an example that no fold held out.
    correct : ndarray of shape (n_C, n_samples), bool
        Whether the highest score was that of the example's own class.
    tested : ndarray of shape (n_samples,), bool
        Which examples a fold held out.
    accuracy : ndarray of shape (n_C,), float64
        Weighted share of ``correct`` among ``tested``.
    merits : ndarray of shape (n_C, n_samples), bool or float64
        What is optimised (:class:`headstart.heads.Criterion`); ``correct`` where that is accuracy.
    best : int
        Index of the best ``C`` by the mean merit, of equals the nearest to 10. (With few examples there are
        many equals, and the smallest cost up to 0.7 points of test accuracy. A one-standard-error rule
        towards smaller ``C`` cost up to a point on scene15 at every layer tried.)
    gap : ndarray of shape (n_C, n_folds, n_models), float64
        Relative duality gap of each model.
    """

    Cs: NDArray[np.float64]
    classes: NDArray[Any]
    decisions: NDArray[np.float32]
    correct: NDArray[np.bool_]
    tested: NDArray[np.bool_]
    accuracy: NDArray[np.float64]
    merits: NDArray[Any]
    best: int
    gap: NDArray[np.float64]

    @property
    def C(self) -> float:
        """The chosen cost."""
        return float(self.Cs[self.best])


def cross_validate(
    X: ArrayLike | Rows,
    y: ArrayLike,
    Cs: Sequence[float],
    folds: Folds,
    normalize: Normalize = "l2",
    device: Device = None,
    *,
    tol: float = 1e-5,
    sample_weight: ArrayLike | None = None,
    criterion: Criterion = ACCURACY,
    progress: Progress = silent,
) -> PathResult:
    """Out-of-fold scores of the linear SVM for every ``C``.

    Parameters
    ----------
    X : array-like, Rows or sparse array of shape (n_samples, n_features), float
        Features.
    y : array-like of shape (n_samples,)
        Labels of at least two classes.
    Cs : sequence of float > 0
        Costs to try; the result has them in ascending order.
    folds : ndarray of shape (n_samples,), int, or iterable of (train, test) index arrays
        Fold of each example (negative: never held out), or the splits themselves.
    normalize : {"l2", "power", "none"}, default="l2"
        Whether rows are brought to unit length first.
    device : str, torch.device or sequence of them, optional
        Over several the models are split. By default all CUDA devices where they are faster, or else the CPU.
    tol : float, default=1e-5
        Relative duality gap to which every model is solved.
    sample_weight : array-like of shape (n_samples,), optional
        Factors of ``C`` by example; they count in accuracy and criterion as well.
    criterion : Criterion, default accuracy
        Decides the best ``C``.
    progress : Progress
        Told of each ``C`` done.

    Returns
    -------
    PathResult

    Raises
    ------
    ValueError
        If a cost is not positive, the folds do not fit the data, or there is one class only.
    HeadstartError
        If the memory of a GPU that was asked for is full; one that was chosen leaves it to the CPU.

    Notes
    -----
    A class that is absent from the training part of a fold is scored one below the lowest other
    score in that fold, so that it is never predicted there.
    """
    data, classes, member = label_columns(X, y)
    weight = read_weights(sample_weight, len(member))
    labels = Labels.of(member, len(classes), weight, np.ones(len(classes)))
    splits = read_splits(folds, len(member))  # once: they may be an iterator

    def solve(device: Device) -> PathResult:
        task = set_up(data, labels, device, normalize)
        return sweep(
            task,
            classes,
            Cs,
            splits,
            weight=weight,
            criterion=criterion,
            tol=tol,
            progress=progress,
        )

    return or_on_cpu(solve, device)


def join_paths(one: PathResult, other: PathResult) -> PathResult:
    """Two cross-validations of the same examples and folds at different costs, as one."""
    order = np.argsort(np.concatenate([one.Cs, other.Cs]))
    accuracy = np.concatenate([one.accuracy, other.accuracy])[order]
    Cs = np.concatenate([one.Cs, other.Cs])[order]
    merits = np.concatenate([one.merits, other.merits])[order]
    best = best_of(merits, Cs)
    return replace(
        one if Cs[best] in one.Cs else other,
        Cs=Cs,
        correct=np.concatenate([one.correct, other.correct])[order],
        accuracy=accuracy,
        merits=merits,
        best=best,
        gap=np.concatenate([one.gap, other.gap])[order],
    )


def label_columns(
    X: ArrayLike | Rows, y: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.intp]]:
    """Checked features, the classes, and the class of each example as a number."""
    data: Any = X if issparse(X) or is_lazy(X) else np.asarray(X)
    classes, member = np.unique(np.asarray(y), return_inverse=True)
    if len(data.shape) != 2 or data.shape[0] != member.size:
        raise ValueError(
            f"X must be (n_samples, n_features) with one row per label; got {data.shape} and "
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
    task: Task | StreamedTask,
    classes: NDArray[Any],
    Cs: Sequence[float],
    folds: Folds,
    *,
    weight: NDArray[np.float64] | None = None,
    criterion: Criterion = ACCURACY,
    tol: float = 1e-5,
    progress: Progress = silent,
) -> PathResult:
    """`cross_validate` for a task that is set up; ``weight`` says how often an example counts."""
    costs = _check_costs(Cs)
    n = len(task.member)
    held = HeldOut(
        splits=read_splits(folds, n),
        member=task.member,
        n_classes=len(classes),
        counts=np.ones(n) if weight is None else weight,
        criterion=criterion,
    )
    if isinstance(task, StreamedTask):
        decisions, correct, merits, gap = _sweep_streamed(task, costs, held, tol, progress)
    else:
        decisions, correct, merits, gap = _sweep_held(task, costs, held, tol, progress)
    return PathResult(
        Cs=costs, classes=classes, decisions=decisions, correct=correct, tested=held.fold >= 0,
        accuracy=held.accuracy(correct), merits=merits, best=best_of(merits, costs), gap=gap,
    )  # fmt: skip


def best_of(merits: NDArray[Any], Cs: Sequence[float] | NDArray[np.float64]) -> int:
    """The row of the highest mean merit; of equals, the one whose cost is nearest to `USUAL_COST`."""
    totals = merit_total(merits)
    return min(range(len(totals)), key=lambda i: (-totals[i], *from_usual(float(Cs[i]))))


def from_usual(C: float) -> tuple[float, float]:
    """Orders costs by how far they are from the usual one, then by size."""
    return round(abs(math.log(C / USUAL_COST)), 6), C


def merit_total(merits: NDArray[Any]) -> NDArray[np.float64]:
    """Sums of merits along the last axis, equal where they differ by rounding alone."""
    return np.asarray(merits.sum(axis=-1, dtype=np.float64).round(9))


class HeldOut:
    """The splits, and what scores of held-out examples are worth."""

    def __init__(
        self,
        *,
        splits: list[Split],
        member: NDArray[np.integer],
        n_classes: int,
        counts: NDArray[np.float64],
        criterion: Criterion = ACCURACY,
    ) -> None:
        self.splits, self.member, self.counts = splits, member, counts
        self.criterion = criterion
        self.is_plain = criterion.is_plain and bool((counts == 1).all())
        self.fold = np.full(len(member), -1)
        self.unseen = np.zeros((len(splits), n_classes), dtype=bool)
        for s, (train, test) in enumerate(splits):
            self.fold[test] = s
            self.unseen[s] = np.bincount(member[train], minlength=n_classes) == 0

    def accuracy(self, correct: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Weighted share of ``correct`` (n_C, n_samples) among what was held out, (n_C,)."""
        return np.asarray(correct @ self.counts / (self.counts @ (self.fold >= 0)))

    def correct(
        self, columns: NDArray[np.floating], rows: slice = slice(None)
    ) -> NDArray[np.bool_]:
        """Whether the highest score is that of an example's own class, (n_rows,)."""
        return np.asarray((columns.argmax(axis=1) == self.member[rows]) & (self.fold[rows] >= 0))

    def merits(self, columns: NDArray[np.floating]) -> NDArray[Any]:
        """What each example contributes to the criterion, (n_samples,): 0 where it is not held out.

        Examples of a class that their split did not train on say nothing of the features.
        """
        if self.is_plain:
            return self.correct(columns)
        rows = (self.fold >= 0) & np.isfinite(columns).all(axis=1)
        rows &= ~self.unseen[self.fold, self.member]
        merits = np.zeros(len(self.member))
        if rows.any():
            merits[rows] = self.criterion.merits(
                columns[rows], self.member[rows], self.counts[rows]
            )
        return merits

    def judge(self, scores: NDArray[np.floating]) -> tuple[NDArray[np.bool_], NDArray[Any]]:
        """What is correct, and the merits, of scores (n_samples, n_models)."""
        return self.judge_columns(self.columns(scores))

    def judge_columns(
        self, columns: NDArray[np.floating]
    ) -> tuple[NDArray[np.bool_], NDArray[Any]]:
        """The same of scores with one column per class."""
        correct = self.correct(columns)
        return correct, correct if self.is_plain else self.merits(columns)

    def columns(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """One column per class, with classes that a split did not train on out of the running.

        ``scores`` are those of all examples, (n_samples, n_models).
        """
        if self.unseen.shape[1] == 2:
            return np.concatenate([-scores, scores], axis=1)
        for (_, test), unseen in zip(self.splits, self.unseen, strict=True):
            if unseen.any() and not unseen.all():
                lowest = scores[test][:, ~unseen].min() - 1
                scores[test[:, None], np.flatnonzero(unseen)] = lowest
        return scores


def _sweep_held(
    task: Task, costs: NDArray[np.float64], held: HeldOut, tol: float, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[Any], NDArray[np.float64]]:
    """Scores at the best cost, what is correct at each, the merits, and the gaps."""
    n, splits = len(task.member), held.splits
    scores = np.full((len(costs), n, task.n_models), np.nan, dtype=np.float32)
    gap = np.zeros((len(costs), len(splits), task.n_models))
    n_steps = len(task.pieces(len(splits))) * len(costs)
    done = itertools.count(1)

    def walk(shard: Shard, piece: NDArray[np.intp]) -> None:
        for i, (f, found) in enumerate(_walk(shard, costs, splits, piece, tol)):
            gap[i, piece[:, 0], piece[:, 1]] = found
            for s in np.unique(piece[:, 0]):
                rows, test = piece[:, 0] == s, splits[s][1]
                scores[i, test[:, None], piece[rows, 1]] = f[rows][:, test].T
            progress("cross-validate", next(done), n_steps)

    task.map(walk, len(splits))
    correct, merits = (
        np.stack(found) for found in zip(*(held.judge(each) for each in scores), strict=True)
    )
    return held.columns(scores[best_of(merits, costs)]), correct, merits, gap


def _walk(
    shard: Shard,
    costs: NDArray[np.float64],
    splits: list[Split],
    piece: NDArray[np.intp],
    tol: float,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64]]]:
    """Solve (split, class) pairs along the costs: decision values and relative gaps at each."""
    train = np.stack([splits[s][0] for s in piece[:, 0]])
    solver = shard.solver.fork()
    unit = shard.problem(1.0, piece[:, 1], train)
    state = solver.empty(unit)
    before = None
    for i, C in enumerate(costs):
        problem = unit.scaled(float(C))
        guess = None if before is None else solver.predict(problem, state, before)
        # The empty state before the first cost is not part of a trend.
        before = state.copy() if i else None
        state = solve_from(solver, problem, state, tol, guess)
        yield state.f.float().cpu().numpy(), relative_gap(state)


def _sweep_streamed(
    task: StreamedTask, costs: NDArray[np.float64], held: HeldOut, tol: float, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[Any], NDArray[np.float64]]:
    """The same, with the scores of one cost in memory and those of the others forgotten."""
    n, n_splits = len(task.member), len(held.splits)
    train = np.stack([mask for mask, _ in held.splits])
    correct = np.zeros((len(costs), n), dtype=bool)
    merits = correct if held.is_plain else np.zeros((len(costs), n))
    gap = np.zeros((len(costs), n_splits, task.n_models))
    scores = np.empty((n, task.n_models), dtype=np.float32)
    best, best_w = (math.inf, math.inf, math.inf), None
    n_steps = n_splits * task.n_models * len(costs)
    done = itertools.count(1)

    def tell(n_models: int) -> None:
        progress("cross-validate", [next(done) for _ in range(n_models)][-1], n_steps)

    for i, solved in enumerate(task.along(costs, train, tol, tell)):
        gap[i] = solved.gap
        for rows, found in task.held_out(solved.w, held.fold):
            scores[rows] = found
        correct[i], merits[i] = held.judge(scores)
        # The order of `best_of`, so that the scores are those of the cost that is reported.
        key = (-float(merit_total(merits[i])), *from_usual(float(costs[i])))
        if key < best:
            best, best_w = key, solved.w
    assert best_w is not None
    for rows, found in task.held_out(best_w, held.fold):
        scores[rows] = found
    return held.columns(scores), correct, merits, gap


def _check_costs(Cs: Sequence[float]) -> NDArray[np.float64]:
    costs = np.unique(np.asarray(Cs, dtype=float))
    if costs.size == 0 or not np.isfinite(costs).all() or costs[0] <= 0:
        raise ValueError(f"Cs must be one or more finite numbers above 0; got {Cs!r}")
    return costs


def read_splits(folds: Folds, n: int) -> list[Split]:
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
