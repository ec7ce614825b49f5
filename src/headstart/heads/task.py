"""One classification task as binary problems over shared features."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from torch import Tensor

from headstart.errors import explain_full_memory
from headstart.heads.examples import (
    Held,
    Normalize,
    Rows,
    hold,
    normalize_rows,
    working_dtype,
)
from headstart.heads.gram import GramSolver
from headstart.heads.objective import MANY_MODELS, Problem, Solver
from headstart.heads.parallel import map_devices, map_pieces
from headstart.heads.passes import Labels
from headstart.heads.primal import PrimalSolver
from headstart.heads.sparse import hold_sparse

__all__ = ["Fit", "Normalize", "Task", "normalize_rows", "pick_device", "relative_gap"]

logger = logging.getLogger(__name__)

R = TypeVar("R")

Device = str | torch.device | Sequence[str | torch.device] | None

# A product with the Gram matrix costs n^2, one with the features 2 n d; but on the Gram matrix a
# step touches active examples alone. Measured on scene15 (n = 1,500 and 4,485; d = 80 to 1,280):
# both cost the same near n = 14 d, and at n = 3.5 d the Gram matrix is 6 times as fast. With more
# examples what a factor costs grows faster, and features that are alike (those of a TextCNN; n = 3,200,
# d = 300) need many iterations on it: there the features are 5 times as fast, at n = 10.6 d.
GRAM_ROWS_PER_FEATURE = 14.0
MANY_ROWS, GRAM_ROWS_PER_FEATURE_OF_MANY = 2_000, 10.0
# Above this many examples the Gram matrix (float64 and float32) passes a gigabyte.
MOST_GRAM_ROWS = 9_000
# Numbers in a work array of models solved together, which bounds memory.
MOST_NUMBERS = 16_000_000
# There are at least so many pieces, for as many cores, unless examples are so few that threads do not pay.
LEAST_PIECES, FEW_ROWS = 4, 200

# Numbers in the features from which a GPU is considered: below it launching costs more than it saves.
GPU_NUMBERS = 5_000_000
# GPUs that could not compute; this process does not try them again.
_failed: set[str] = set()


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or a CUDA device where there is one, or the CPU."""
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if chosen.type == "mps":
        raise ValueError("device 'mps' has no float64, which the certificate needs; use 'cpu'")
    return chosen


def pick_devices(
    device: Device, n_models: int, shape: tuple[int, int] | None = None
) -> tuple[torch.device, ...]:
    """The device or devices asked for, or the CUDA devices that are faster than the CPU, or the CPU.

    At most one for each of ``n_models``, which are split over them. By default the CPU solves problems
    whose ``shape`` (n_samples, n_features) is small, and those for which no GPU is faster.
    """
    if device is None:
        n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        gpus = [f"cuda:{i}" for i in range(n_gpus)]
        device = [gpu for gpu in gpus if shape is None or _pays_on_gpu(gpu, *shape)] or "cpu"
    if isinstance(device, str | torch.device):
        return (pick_device(device),)
    if not device:
        raise ValueError("device must be a device or several of them; got none")
    return tuple(pick_device(each) for each in device)[:n_models]


def _pays_on_gpu(gpu: str, n_samples: int, n_features: int) -> bool:
    """Whether a GPU takes products of this size, or of a sample of it, in less time than the CPU."""
    if n_samples * n_features < GPU_NUMBERS or gpu in _failed:
        return False
    # Powers of two, so that few sizes are measured in a process.
    n, d = (
        2 ** min(side, most).bit_length() for side, most in ((n_samples, 2047), (n_features, 2047))
    )
    try:
        return product_seconds(gpu, n, d) < product_seconds("cpu", n, d)
    except RuntimeError as error:  # too old for this build of torch, or its memory is taken
        _failed.add(gpu)
        logger.warning("%s is not used for SVMs (%s)", gpu, str(error).partition("\n")[0])
        return False


def or_on_cpu(work: Callable[[Device], R], device: Device) -> R:
    """``work(device)``; where that is the default and a GPU's memory is not enough, ``work("cpu")``.

    Raises HeadstartError if the memory of a device that was asked for is not enough.
    """
    if device is not None:
        name = device if isinstance(device, str | torch.device) else ", ".join(map(str, device))
        with explain_full_memory(str(name)):
            return work(device)
    try:
        return work(None)
    except torch.OutOfMemoryError as error:
        reason = str(error).partition("\n")[0]
        logger.warning("SVMs are solved on the CPU: the memory of the GPU is full (%s)", reason)
    # Not in the handler, where the error still holds the tensors.
    torch.cuda.empty_cache()
    return work("cpu")


@cache
def product_seconds(device: str, n: int, d: int) -> float:
    """Best time of three for a Gram matrix (n, n) in float64, in which the solvers' certificates are."""
    Z = torch.ones((n, d), dtype=torch.float64, device=device)
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        float((Z @ Z.T)[0, 0])  # waits for the device
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """A solved set of one-vs-rest models: ``coef`` (n_models, d), ``intercept``, ``gap``."""

    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    gap: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """What one device needs to solve any of a task's models."""

    device: torch.device
    # y, unit_cost: (n_models, n_samples) float64; targets, and costs at ``C = 1``
    y: Tensor
    unit_cost: Tensor
    solver: Solver

    def problem(
        self, C: float, models: NDArray[np.intp], train: NDArray[np.bool_] | None = None
    ) -> Problem:
        """The binary problems ``models`` on all examples, or on ``train`` (one row per model)."""
        rows = torch.from_numpy(models).to(self.device)
        cost = self.unit_cost[rows] * C
        if train is not None:
            cost *= torch.from_numpy(train).to(self.device)
        return Problem(y=self.y[rows], cost=cost)


class Task:
    """Labelled features held in memory, ready to be solved for any costs.

    Parameters
    ----------
    X : ndarray, Rows or sparse array of shape (n_samples, n_features)
        Features of any real dtype. Sparse features are solved on their Gram matrix, however many
        examples there are.
    labels : Labels
        Classes and costs; its splits are of no matter.
    devices : sequence of torch.device
        Where to compute: the models are split over them, and each holds all features.
    normalize : {"l2", "power", "none"}, default="none"
        Whether rows are brought to unit length; nothing to do where the caller did.
    """

    def __init__(
        self,
        X: NDArray[np.floating] | Rows,
        labels: Labels,
        devices: Sequence[torch.device],
        normalize: Normalize = "none",
    ) -> None:
        self.member = labels.member
        positive = labels.label[:, None] == labels.member
        y = torch.from_numpy(np.where(positive, 1.0, -1.0))
        cost = np.where(positive, labels.own[:, None], labels.rest[:, None]) * labels.weight
        self.shards = [
            Shard(
                device=device,
                y=y.to(device),
                unit_cost=torch.from_numpy(cost).to(device),
                solver=_choose(X, normalize, device, len(labels.label)),
            )
            for device in devices
        ]

    @property
    def n_models(self) -> int:
        """Binary models a fit needs."""
        return self.shards[0].y.shape[0]

    def pieces(self, n_splits: int, *, least: int = LEAST_PIECES) -> list[NDArray[np.intp]]:
        """All (split, class) pairs, cut into pieces that are solved together, (n, 2) each.

        On a CPU there are at least so many.
        """
        split, model = np.divmod(np.arange(n_splits * self.n_models), self.n_models)
        pairs = np.stack([split, model], axis=1)
        most, n_least = MOST_NUMBERS // len(self.member), len(self.shards)
        if self.shards[0].device.type == "cpu":
            most = min(most, self.shards[0].solver.piece_models)
            if len(self.member) >= FEW_ROWS:
                n_least = max(n_least, least)
        n_pieces = max(-(-len(pairs) // max(most, 1)), min(n_least, len(pairs)))
        return np.array_split(pairs, n_pieces)

    def pieces_by_split(self, splits: Sequence[int]) -> list[NDArray[np.intp]]:
        """The (split, class) pairs of some splits, each piece of one split only."""
        of_one = self.pieces(1, least=-(-LEAST_PIECES // len(splits)))
        return [np.stack([np.full(len(p), s), p[:, 1]], axis=1) for s in splits for p in of_one]

    @property
    def has_gram(self) -> bool:
        """Whether models are solved on a Gram matrix."""
        return isinstance(self.shards[0].solver, GramSolver)

    def map(self, work: Callable[[Shard, NDArray[np.intp]], R], n_splits: int) -> list[R]:
        """``work`` of every piece, on the devices and their cores, in order."""
        return self.map_pieces(work, self.pieces(n_splits))

    def map_pieces(
        self, work: Callable[[Shard, NDArray[np.intp]], R], pieces: Sequence[NDArray[np.intp]]
    ) -> list[R]:
        """The same for pieces that are made already."""

        def share(shard: Shard, mine: Sequence[NDArray[np.intp]]) -> list[R]:
            return map_pieces(lambda piece: work(shard, piece), mine, shard.device)

        return map_devices(share, pieces, self.shards)

    def foresee(self, train: NDArray[np.bool_]) -> Tensor:
        """What all models may start from (`Solver.resume`): a ridge classifier of ``train``."""
        shard = self.shards[0]
        rows = torch.from_numpy(train).to(shard.device)
        return shard.solver.foresee(shard.y, rows)

    def fit(self, C: float, tol: float, scores: NDArray[np.floating] | None = None) -> Fit:
        """Train on every example; ``scores`` (n_models, n_samples) may predict the outcome."""
        expected = None
        if scores is None and self.n_models >= MANY_MODELS:
            expected = self.foresee(np.ones(len(self.member), dtype=bool))

        def solve(
            shard: Shard, piece: NDArray[np.intp]
        ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            models = piece[:, 1]
            guess = None
            solver, problem = shard.solver.fork(), shard.problem(C, models)
            start = solver.empty(problem)
            if scores is not None:
                known = torch.from_numpy(scores[models].astype(np.float64)).to(shard.device)
                start, guess = solver.begin(problem, known)
            elif expected is not None:
                start, guess = solver.resume(problem, expected[models].to(shard.device))
            state = solve_from(solver, problem, start, tol, guess)
            return solver.weights(state).cpu().numpy(), relative_gap(state)

        solved = self.map(solve, 1)
        w = np.concatenate([w for w, _ in solved])
        gap = np.concatenate([gap for _, gap in solved])
        return Fit(coef=w[:, :-1].copy(), intercept=w[:, -1].copy(), gap=gap)


def solve_from(
    solver: Solver, problem: Problem, start: Any, tol: float, guess: Tensor | None
) -> Any:
    """`Solver.solve`; models that do not get there from what was expected begin again from nothing."""
    state = solver.solve(problem, start, tol, guess)
    left = torch.nonzero(~(state.gap <= tol * state.primal)).flatten()
    is_warm = guess is not None or bool((start.f != 0).any())
    if left.numel() and is_warm:
        part = problem.take(left)
        again = solver.fork().solve(part, solver.empty(part), tol)
        better = ~(state.primal[left] <= again.primal)  # it may be NaN
        state.put(left[better], again.take(better))
    return state


def relative_gap(state: Any) -> NDArray[np.float64]:
    """The certified distance from the optimum as a fraction of the objective, (n_models,)."""
    gap = (state.gap / state.primal.clamp(min=1e-300)).clamp(min=0)
    return np.asarray(gap.cpu().numpy())


def needs_gram(X: Any, n_models: int) -> bool:
    """Whether the Gram matrix is the shorter way: few examples for the number of features.

    Or many classes: of each few examples are positive, and so few are active.
    """
    if issparse(X) or (n_models >= MANY_MODELS and X.shape[0] <= MOST_GRAM_ROWS):
        return True
    n_samples, n_features = X.shape[0], X.shape[1] + 1
    is_large = n_samples > MANY_ROWS
    rows_per_feature = GRAM_ROWS_PER_FEATURE_OF_MANY if is_large else GRAM_ROWS_PER_FEATURE
    return bool(n_samples <= min(rows_per_feature * n_features, MOST_GRAM_ROWS))


def _choose(
    X: NDArray[Any] | Rows, normalize: Normalize, device: torch.device, n_models: int
) -> Solver:
    if issparse(X):
        return GramSolver(hold_sparse(X, normalize), device)
    if needs_gram(X, n_models):
        return GramSolver(hold(X, normalize, np.float64).to(device))
    # mypy wants Z settable, as the protocol has it; nobody sets it.
    return cast(Solver, PrimalSolver(Held(hold(X, normalize, working_dtype(X)).to(device))))
