"""Cross-validation at few values of ``C``: from a guess to a best one between two that are no better.

`cross_validate` solves every cost on every fold. Here a cost is solved when the search asks for it,
each model from the active examples (or weights) of the nearest cost that is solved, and the first from
those of other features of the same examples, or else of a ridge classifier of the same fold. With
hundreds of classes a first solve takes a tenth of what it takes from nothing, and the next ones half of
that.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from headstart.heads.accuracy import paired_gain
from headstart.heads.criterion import Criterion, read_weights
from headstart.heads.examples import Normalize, Rows
from headstart.heads.objective import MANY_MODELS
from headstart.heads.outofcore import StreamedTask, set_up
from headstart.heads.parallel import map_pieces
from headstart.heads.passes import Labels
from headstart.heads.path import (
    ACCURACY,
    Folds,
    HeldOut,
    PathResult,
    best_of,
    from_usual,
    label_columns,
    merit_total,
    read_splits,
    sweep,
)
from headstart.heads.task import Device, Shard, Task, or_on_cpu, relative_gap, solve_from

R = TypeVar("R")

# The grid is not extended beyond these.
LEAST_TRIED, MOST_TRIED = 1e-5, 1e6
# Where a search begins that nothing is known of; rows have unit length.
FIRST_COST = 3.0


class CostSearch:
    """Labelled features with folds, cross-validated at one cost after another.

    Raises ValueError as :func:`headstart.heads.cross_validate`.

    Parameters
    ----------
    X : array-like, Rows or sparse array of shape (n_samples, n_features), float
        Features.
    y : array-like of shape (n_samples,)
        Labels of at least two classes.
    folds : ndarray of shape (n_samples,), int, or iterable of (train, test) index arrays
    normalize : {"l2", "power", "none"}, default="l2"
        How rows are normalised first.
    device : str, torch.device or sequence of them, optional
    tol : float, default=1e-3
        Relative duality gap to which every model is solved.
    sample_weight : array-like of shape (n_samples,), optional
    criterion : Criterion, default accuracy
        As of :func:`headstart.heads.cross_validate`.
    like : uint8 array (n_splits, n_models, ceil(n_samples / 8)), optional
        What `active` gave of other features with the same labels and folds: hard examples are hard in
        most features. Each start is of training examples of its own fold only. Where models start from
        weights it is not used.
    """

    def __init__(
        self,
        X: ArrayLike | Rows,
        y: ArrayLike,
        folds: Folds,
        normalize: Normalize = "l2",
        device: Device = None,
        *,
        tol: float = 1e-3,
        sample_weight: ArrayLike | None = None,
        criterion: Criterion = ACCURACY,
        like: NDArray[np.uint8] | None = None,
    ) -> None:
        self.like = like
        data, self.classes, member = label_columns(X, y)
        weight = read_weights(sample_weight, len(member))
        labels = Labels.of(member, len(self.classes), weight, np.ones(len(self.classes)))
        self._set_up = functools.partial(set_up, data, labels, normalize=normalize)
        self.device = device
        self.task = or_on_cpu(self._set_up, device)
        self.tol = tol
        self.held = HeldOut(
            splits=read_splits(folds, len(member)),
            member=member,
            n_classes=len(self.classes),
            counts=weight,
            criterion=criterion,
        )
        # Of each cost and split: held-out scores (n_test, n_models), gaps, and where to go on from.
        self._scores: dict[tuple[float, int], NDArray[np.float32]] = {}
        self._gaps: dict[tuple[float, int], NDArray[np.float64]] = {}
        self._kept: dict[tuple[float, int], Tensor] = {}

    @property
    def n_splits(self) -> int:
        """Number of folds that are held out."""
        return len(self.held.splits)

    @property
    def has_gram(self) -> bool:
        """Whether models are solved on a Gram matrix."""
        return isinstance(self.task, Task) and self.task.has_gram

    def solve(self, Cs: Iterable[float], splits: Sequence[int]) -> dict[float, NDArray[Any]]:
        """Solve some costs on some splits.

        Returns
        -------
        dict of float to array
            For each cost, the merit of each example that these splits hold out: of accuracy, whether
            it is classified correctly.
        """
        wanted = list(Cs)

        def work(task: Task | StreamedTask) -> None:
            if isinstance(task, StreamedTask):
                self._solve_streamed(task, sorted(wanted), splits)
                return
            for C in wanted:
                left = [s for s in splits if (C, s) not in self._scores]
                if left:
                    self._solve_held(task, C, left)

        self.on_device(work)
        rows = np.sort(np.concatenate([self.held.splits[s][1] for s in splits]))
        return {C: self.held.merits(self._columns(C, splits))[rows] for C in wanted}

    def sweep(self, Cs: Sequence[float], folds: Folds) -> PathResult:
        """`cross_validate` on the same features and labels, with any folds; nothing of it is kept."""
        splits = read_splits(folds, len(self.held.member))
        return self.on_device(
            lambda task: sweep(
                task, self.classes, Cs, splits,
                weight=self.held.counts, criterion=self.held.criterion, tol=self.tol,
            )
        )  # fmt: skip

    def on_device(self, work: Callable[[Task | StreamedTask], R]) -> R:
        """``work(task)``; on the CPU, now and later, where the memory of a GPU that was chosen is full."""

        def on(device: Device) -> R:
            if device != self.device:
                self.task, self.device = self._set_up(device), device
            return work(self.task)

        return or_on_cpu(on, self.device)

    def result(self, Cs: Iterable[float]) -> PathResult:
        """What `cross_validate` finds at costs that are solved on all splits."""
        costs = np.array(sorted(Cs))
        every = range(self.n_splits)
        judged = [self.held.judge_columns(self._columns(C, every)) for C in costs]
        correct, merits = (np.stack(found) for found in zip(*judged, strict=True))
        best = best_of(merits, costs)
        return PathResult(
            Cs=costs,
            classes=self.classes,
            decisions=self._columns(costs[best], every),
            correct=correct,
            tested=self.held.fold >= 0,
            accuracy=self.held.accuracy(correct),
            merits=merits,
            best=best,
            gap=np.stack([[self._gaps[C, s] for s in every] for C in costs]),
        )

    def active(self, C: float) -> NDArray[np.uint8] | None:
        """Active examples at a cost that is solved on all splits, as bits (n_splits, n_models, ...).

        None where models are solved by their weights.
        """
        kept = [self._kept.get((C, s)) for s in range(self.n_splits)]
        if any(memory is None or memory.dtype != torch.bool for memory in kept):
            return None
        return np.stack(
            [np.packbits(memory.numpy(), axis=1) for memory in kept if memory is not None]
        )

    def _columns(self, C: float, splits: Iterable[int]) -> NDArray[np.float32]:
        """Scores (n_samples, n_classes) at one cost, NaN for what these splits do not hold out."""
        scores = np.full((len(self.held.member), self.task.n_models), np.nan, dtype=np.float32)
        for s in splits:
            scores[self.held.splits[s][1]] = self._scores[C, s]
        return np.asarray(self.held.columns(scores), dtype=np.float32)

    def _solve_held(self, task: Task, C: float, splits: Sequence[int]) -> None:
        """Every model of these splits, from the nearest cost that is solved there."""
        device = task.shards[0].device
        found_starts = map_pieces(lambda s: self._start(task, C, s), splits, device)
        starts = dict(zip(splits, found_starts, strict=True))
        shape = {s: (len(self.held.splits[s][1]), task.n_models) for s in splits}
        scores = {(C, s): np.empty(shape[s], dtype=np.float32) for s in splits}
        gaps = {(C, s): np.empty(task.n_models) for s in splits}
        found: dict[tuple[int, int], Tensor] = {}

        def work(shard: Shard, piece: NDArray[np.intp]) -> None:
            """The models of one split."""
            s, models = int(piece[0, 0]), piece[:, 1]
            train, test = self.held.splits[s]
            problem = shard.problem(C, models, np.tile(train, (len(models), 1)))
            solver = shard.solver.fork()
            start, guess = solver.resume(problem, starts[s][models].to(shard.device))
            state = solve_from(solver, problem, start, self.tol, guess)
            scores[C, s][:, models] = state.f[:, test].float().cpu().numpy().T
            gaps[C, s][models] = relative_gap(state)
            found[s, int(models[0])] = solver.remember(problem, state).cpu()

        task.map_pieces(work, task.pieces_by_split(splits))
        self._scores |= scores
        self._gaps |= gaps
        for s in splits:
            self._kept[C, s] = torch.cat([found[key] for key in sorted(found) if key[0] == s])

    def _start(self, task: Task, C: float, split: int) -> Tensor:
        """What to begin from: the nearest solved cost, other features, or a ridge classifier.

        All of the same split: another one's models are near, but have seen what this one holds out.
        """
        near = [c for c, s in self._kept if s == split]
        if near:
            return self._kept[min(near, key=lambda c: abs(math.log(c / C))), split]
        if self.like is not None and (task.has_gram or task.n_models >= MANY_MODELS):
            bits = np.unpackbits(self.like[split], axis=1, count=len(self.held.member))
            return torch.from_numpy(bits).bool()
        return task.foresee(self.held.splits[split][0])

    def _solve_streamed(
        self, task: StreamedTask, Cs: Sequence[float], splits: Sequence[int]
    ) -> None:
        """All costs in one walk from small to large."""
        left = [s for s in splits if any((C, s) not in self._scores for C in Cs)]
        if not left:
            return
        fold = np.full(len(self.held.member), -1)
        for i, s in enumerate(left):
            fold[self.held.splits[s][1]] = i
        train = np.stack([self.held.splits[s][0] for s in left])
        for C, solved in zip(Cs, task.along(Cs, train, self.tol, lambda n: None), strict=True):
            scores = np.empty((len(fold), task.n_models), dtype=np.float32)
            for rows, found in task.held_out(solved.w, fold):
                scores[rows] = found
            for i, s in enumerate(left):
                self._scores[C, s] = scores[self.held.splits[s][1]]
                self._gaps[C, s] = solved.gap[i]


def climb(
    merits_at: Callable[[list[float]], dict[float, NDArray[Any]]],
    grid: Sequence[float],
    start: float | None = None,
    *,
    is_open: bool,
    known: dict[float, NDArray[Any]] | None = None,
) -> dict[float, NDArray[Any]]:
    """Try costs from ``start`` until the best lies between two that are not better.

    Parameters
    ----------
    merits_at : callable
        Given costs, the merit of each example at each.
    grid : sequence of float > 0
        Ascending.
    start : float, optional
        The cost of the grid nearest to it is tried first, with its neighbours. By default all that
        are `known` are enough to begin with.
    is_open : bool
        Whether to go on beyond an end of the grid, in decades, while the best cost is
        the last one tried there and each one more pays beyond the noise (one standard error of the
        paired difference).
    known : dict, optional
        What is known already.

    Returns
    -------
    dict of float to array
        What was tried.
    """
    found = dict(known or {})
    wanted: list[float] = []
    if start is not None:
        first = min(grid, key=lambda C: (abs(math.log(C / start)), C))
        wanted = [first, *_beside(first, grid)]
    while True:
        if wanted := [C for C in wanted if C not in found]:
            found |= merits_at(wanted)
        best = best_cost(found)
        # Of equals the walk goes on from the smallest too: a better one may lie behind them.
        smallest = min(found, key=lambda C: (-float(merit_total(found[C])), C))
        beside = {*_beside(best, grid), *_beside(smallest, grid)}
        wanted = sorted(C for C in beside if C not in found)
        if is_open and not wanted:
            wanted = _beyond(found, best, grid)
        if not wanted:
            return found


def best_cost(found: dict[float, NDArray[Any]]) -> float:
    """The cost of the highest mean merit; of equals as `best_of`."""
    return min(found, key=lambda C: (-float(merit_total(found[C])), *from_usual(C)))


def _beside(C: float, grid: Sequence[float]) -> list[float]:
    """The costs of the grid next to one of them."""
    if C not in grid:
        return []
    i = grid.index(C)
    return [*grid[max(i - 1, 0) : i], *grid[i + 1 : i + 2]]


def _beyond(found: dict[float, NDArray[Any]], best: float, grid: Sequence[float]) -> list[float]:
    """The next cost beyond an end of what was tried, if the best is there and more may pay."""
    tried = sorted(found)
    if len(tried) < 2 or best not in (tried[0], tried[-1]):
        return []
    is_last = best == tried[-1]
    gain = paired_gain(found[best], found[tried[-2] if is_last else tried[1]])
    if gain.value <= 0 or (best not in grid and gain.is_tie):
        return []
    following = float(f"{best * (10 if is_last else 0.1):.6g}")
    return [following] if LEAST_TRIED <= following <= MOST_TRIED else []
