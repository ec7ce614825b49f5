"""One classification task as binary problems over shared features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse

from headstart.heads.examples import (
    Examples,
    Held,
    Normalize,
    Streamed,
    hold,
    normalize_rows,
    read_rows,
    row_blocks,
    working_dtype,
)
from headstart.heads.gram import GramSolver
from headstart.heads.objective import Problem, Solver
from headstart.heads.parallel import map_pieces
from headstart.heads.primal import PrimalSolver
from headstart.heads.sparse import hold_sparse

__all__ = ["Fit", "Normalize", "Task", "decide", "normalize_rows", "pick_device", "relative_gap"]

# A product with the Gram matrix costs n^2, one with the features 2 n d; but on the Gram matrix a
# step touches active examples alone. Measured on scene15 (n = 1,500 and 4,485; d = 80 to 1,280):
# both cost the same near n = 14 d, and at n = 3.5 d the Gram matrix is 6 times as fast. With more
# examples what a factor costs grows faster, and features that are alike (those of a TextCNN; n = 3,200,
# d = 300) need many iterations on it: there the features are 5 times as fast, at n = 10.6 d.
GRAM_ROWS_PER_FEATURE = 14.0
MANY_ROWS, GRAM_ROWS_PER_FEATURE_OF_MANY = 2_000, 10.0
# Above this many examples the Gram matrix (float64 and float32) passes a gigabyte.
MOST_GRAM_ROWS = 9_000
# Above this many numbers features are not copied but read block by block, again for every product
# with them. Below it the copies (float32 and bfloat16 of float32 features) stay under a gigabyte.
MOST_HELD_NUMBERS = 2**27
# Numbers in a work array of models solved together, which bounds memory.
MOST_NUMBERS = 16_000_000


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or a CUDA device where there is one, or the CPU."""
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if chosen.type == "mps":
        raise ValueError("device 'mps' has no float64, which the certificate needs; use 'cpu'")
    return chosen


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """A solved set of one-vs-rest models: ``coef`` (n_models, d), ``intercept``, ``gap``."""

    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    gap: NDArray[np.float64]


class Task:
    """Labelled features, ready to be solved for any costs.

    Parameters
    ----------
    X : ndarray or sparse array of shape (n_samples, n_features)
        Features of any real dtype; a np.memmap stays on disk if it is large. Sparse features are
        solved on their Gram matrix, however many examples there are.
    member : ndarray of shape (n_samples,), int
        Class of each example, 0 to ``n_classes - 1``.
    n_classes : int
        Two classes make one model (class 1 against class 0), more make one each.
    weight : ndarray of shape (n_samples,)
        Weights of the examples.
    class_weight : ndarray of shape (n_classes,)
        Factor of the cost of each class, the way LIBLINEAR takes it: with more than two classes it
        applies to a class as the positive one, and the rest counts 1.
    device : torch.device
        Where to compute.
    normalize : {"l2", "power", "none"}, default="none"
        Whether rows are brought to unit length; nothing to do where the caller did.
    """

    def __init__(
        self,
        X: NDArray[np.floating],
        member: NDArray[np.integer],
        n_classes: int,
        weight: NDArray[np.float64],
        class_weight: NDArray[np.float64],
        device: torch.device,
        normalize: Normalize = "none",
    ) -> None:
        self.n_classes, self.member = n_classes, member
        positive = np.arange(n_classes)[:, None] == member
        rest = np.ones(n_classes)
        if n_classes == 2:
            positive, rest, class_weight = positive[1:], class_weight[:1], class_weight[1:]
        self.y = torch.from_numpy(np.where(positive, 1.0, -1.0)).to(device)
        cost = np.where(positive, class_weight[:, None], rest[: len(positive), None]) * weight
        self.unit_cost = torch.from_numpy(cost).to(device)
        self.solver = _choose(X, normalize, device)

    @property
    def n_models(self) -> int:
        """Binary models a fit needs."""
        return self.y.shape[0]

    def pieces(self, n_splits: int) -> list[NDArray[np.intp]]:
        """All (split, class) pairs, cut into pieces that are solved together, (n, 2) each."""
        split, model = np.divmod(np.arange(n_splits * self.n_models), self.n_models)
        pairs = np.stack([split, model], axis=1)
        most = MOST_NUMBERS // self.y.shape[1]
        if self.y.device.type == "cpu":
            most = min(most, self.solver.piece_models)
        return np.array_split(pairs, -(-len(pairs) // max(most, 1)))

    def problem(
        self, C: float, models: NDArray[np.intp], train: NDArray[np.bool_] | None = None
    ) -> Problem:
        """The binary problems ``models`` on all examples, or on ``train`` (one row a model)."""
        rows = torch.from_numpy(models).to(self.y.device)
        cost = self.unit_cost[rows] * C
        if train is not None:
            cost *= torch.from_numpy(train).to(self.y.device)
        return Problem(y=self.y[rows], cost=cost)

    def fit(self, C: float, tol: float, scores: NDArray[np.floating] | None = None) -> Fit:
        """Train on every example; ``scores`` (n_models, n_samples) may predict the outcome."""

        def solve(piece: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            models = piece[:, 1]
            guess = None
            if scores is not None:
                guess = torch.from_numpy(scores[models].astype(np.float64)).to(self.y.device)
            solver, problem = self.solver.fork(), self.problem(C, models)
            state = solver.solve(problem, solver.empty(problem), tol, guess)
            return solver.weights(state).cpu().numpy(), relative_gap(state)

        solved = map_pieces(solve, self.pieces(1), self.y.device)
        w = np.concatenate([w for w, _ in solved])
        gap = np.concatenate([gap for _, gap in solved])
        return Fit(coef=w[:, :-1].copy(), intercept=w[:, -1].copy(), gap=gap)


def relative_gap(state: Any) -> NDArray[np.float64]:
    """The certified distance from the optimum as a fraction of the objective, (n_models,)."""
    gap = (state.gap / state.primal.clamp(min=1e-300)).clamp(min=0)
    return np.asarray(gap.cpu().numpy())


def decide(
    X: NDArray[Any], coef: NDArray[np.float64], intercept: NDArray[np.float64], normalize: Normalize
) -> NDArray[np.float64]:
    """Scores, (n_samples, n_models), reading ``X`` block by block."""
    scores = np.empty((len(X), len(coef)))
    for rows in row_blocks(len(X)):
        scores[rows] = read_rows(X, rows, normalize) @ coef.T + intercept
    return scores


def _choose(X: NDArray[Any], normalize: Normalize, device: torch.device) -> Solver:
    if issparse(X):
        return GramSolver(hold_sparse(X, normalize), device)
    n_samples, n_features = X.shape[0], X.shape[1] + 1
    is_large = n_samples > MANY_ROWS
    rows_per_feature = GRAM_ROWS_PER_FEATURE_OF_MANY if is_large else GRAM_ROWS_PER_FEATURE
    if n_samples <= min(rows_per_feature * n_features, MOST_GRAM_ROWS):
        return GramSolver(hold(X, normalize, np.float64).to(device))
    if X.size > MOST_HELD_NUMBERS:
        examples: Examples = Streamed(X, normalize, device)
    else:
        examples = Held(hold(X, normalize, working_dtype(X)).to(device))
    # mypy wants Z settable, as the protocol has it; nobody sets it.
    return cast(Solver, PrimalSolver(examples))
