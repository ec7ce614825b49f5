"""The SVM solver for few examples and many features: Newton's method on the Gram matrix.

Chapelle (2007, "Training a support vector machine in the primal") shows that a Newton step for the
squared hinge, written in the coefficients of the examples, is one linear system over the *active*
examples ``A`` (those with ``y f < 1``)::

    (K_AA + diag(1 / 2c_A)) beta_A = y_A,      f = K beta,      w = sum_i beta_i z_i.

All classes, folds and values of ``C`` share ``K`` and differ in ``A`` and ``c`` alone. Where ``A``
is small the systems are gathered and factored as one batch; where it is large they are solved by
conjugate gradients, all models in one matrix product an iteration. Systems are solved in float32,
which the next step corrects; iterates, objectives and certificates are float64.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from headstart.heads.examples import combine
from headstart.heads.objective import (
    Models,
    Problem,
    is_stuck,
    likely_active,
    line_minimum,
    loss,
)
from headstart.heads.ridge import outer_square, ridge_solve
from headstart.heads.sparse import sparse_gram

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MAX_STEPS = 300
# Newton steps in float32 before the inner systems are solved in float64 as well.
FLOAT32_STEPS = 12
# Steps that lead nowhere before systems are solved by factors in float64.
MAX_REJECTIONS = 3
# Up to this many examples float64 and factors cost nothing worth saving.
N_SAMPLES_FLOAT64 = 200
# Up to this many examples the Gram matrix in float64 is cheaper than two products with the features.
N_SAMPLES_EXACT_GRAM = 2_000
# Tolerances below which float32 does not help.
FLOAT32_TOL = 1e-7
# From this tolerance on a certificate may be computed in float32, where rounding is this part of it.
FLOAT32_CERTIFICATE_TOL, ROUNDING_PART = 1e-4, 0.1
MAX_CG = 400
# What conjugate gradients are expected to take before any were run.
CG_ITERATIONS = 20
# Of the objective, in float32.
MOST_ROUNDING = 1e-6
# Share of the gap that conjugate gradients may leave to the next step.
INEXACT = 3e-3
# Of the ridge classifiers that tell which examples will be active.
RIDGE = 0.5
# Rows of the Gram matrix that are read at once: few enough to stay in the cache of a core.
BLOCK_ROWS = 64
# The entries of so few are picked one by one.
FEW_ACTIVE = 250


@dataclass(frozen=True, kw_only=True, slots=True)
class GramState(Models):
    """Models on the Gram matrix."""

    # (n_models, n_samples) float64; coefficients of the examples: ``w = sum_i beta_i z_i``
    beta: Tensor
    # (n_models, n_samples) float64; decision values of all examples, held-out ones included
    f: Tensor
    # primal, gap: (n_models,) float64; the objective, and a bound on its distance from the optimum
    primal: Tensor
    gap: Tensor


class GramSolver:
    """Newton's method for models that share the Gram matrix of their examples.

    Parameters
    ----------
    Z : Tensor or SciPy CSR array of shape (n_samples, n_features), float64
        Features, the constant one included. Sparse ones stay sparse: only their Gram matrix is full.
    device : torch.device, optional
        Of the Gram matrix of sparse features; that of dense ones is where they are.
    """

    piece_models = 20

    def __init__(self, Z: Tensor | csr_array, device: torch.device | None = None) -> None:
        self.Z = Z
        n_samples, n_features = Z.shape
        # The Gram matrix in float64, and what it is made under: shared by all forks.
        self._exact: dict[str, Tensor] = {}
        self._making = threading.Lock()
        # Few features make a product with them, and back, cheaper than one with the Gram matrix.
        self.is_thin = isinstance(Z, Tensor) and 2 * n_features < n_samples
        self.Z32: Tensor | None = None
        if not isinstance(Z, Tensor):
            self._exact["gram"] = torch.from_numpy(sparse_gram(Z)).to(device)
            self.gram32 = self.gram.float() if n_samples > N_SAMPLES_FLOAT64 else self.gram
            self.norms = self.gram.diagonal().clamp(min=0).sqrt()
        else:
            rough = Z.float() if n_samples > N_SAMPLES_FLOAT64 else Z
            self.gram32 = outer_square(rough)
            self.norms = Z.square().sum(dim=1).sqrt()
            self.Z32 = rough if self.is_thin else None
        self.cg_iterations = CG_ITERATIONS
        self.inexact = INEXACT
        self.rejections = 0

    @property
    def gram(self) -> Tensor:
        """The Gram matrix in float64, made when it is first needed."""
        with self._making:
            if "gram" not in self._exact:
                assert isinstance(self.Z, Tensor)
                is_exact = self.gram32.dtype == torch.float64
                self._exact["gram"] = self.gram32 if is_exact else outer_square(self.Z)
            return self._exact["gram"]

    def product(self, beta: Tensor, dtype: torch.dtype) -> Tensor:
        """``beta K`` (n_models, n_samples), computed in ``dtype``, or finer for few examples."""
        Z: Tensor | None = self.Z32
        if dtype != torch.float32:
            is_small = len(self.gram32) <= N_SAMPLES_EXACT_GRAM and not self.is_thin
            Z = self.Z if isinstance(self.Z, Tensor) and not is_small else None
        if Z is not None:
            return combine(beta.to(Z.dtype), Z) @ Z.T
        gram = self.gram32 if dtype == torch.float32 else self.gram
        return beta.to(gram.dtype) @ gram

    def fork(self) -> GramSolver:
        """A solver for another thread: shares the examples, not what was learned about speed."""
        return copy.copy(self)

    def empty(self, problem: Problem) -> GramState:
        """All coefficients zero."""
        beta = torch.zeros_like(problem.y)
        infinite = torch.full_like(beta[:, 0], torch.inf)
        return GramState(beta=beta, f=torch.zeros_like(beta), primal=infinite, gap=infinite.clone())

    def predict(self, problem: Problem, last: GramState, before: GramState) -> Tensor:
        """Which examples the next, larger ``C`` leaves active, by the trend of the last two.

        An active example leaves where its ``alpha`` heads for zero, an inactive one enters where
        its margin heads below one. Returned as margins of 0 or 2 on the side of the target, the
        form ``solve`` takes.
        """
        inside = problem.y * last.f < 1
        stays = problem.y * (2 * last.beta - before.beta) > 0
        enters = problem.y * (2 * last.f - before.f) < 1
        return torch.where(torch.where(inside, stays, enters), 0.0, 2 * problem.y)

    def weights(self, state: GramState) -> Tensor:
        """Weight vectors, (n_models, n_features)."""
        if isinstance(self.Z, Tensor):
            return combine(state.beta, self.Z)
        return torch.from_numpy(state.beta.cpu().numpy() @ self.Z).to(state.beta.device)

    def foresee(self, y: Tensor, rows: Tensor) -> Tensor:
        """Active examples, (n_models, n_samples) bool: positives, and the negatives with high scores."""
        index = torch.nonzero(rows).flatten()
        target = y[:, index].to(self.gram32.dtype)
        if self.Z32 is not None:
            # What is left out is less than what is left.
            left_out = outer_square(self.Z32[~rows].T.contiguous())
            square = self._features_square() - left_out
            scores = (ridge_solve(square, (target @ self.Z32[index]).T, RIDGE).T) @ self.Z32.T
        else:
            gram = self.gram32.index_select(0, index)
            scores = ridge_solve(gram.index_select(1, index), target.T, RIDGE).T @ gram
        return likely_active(scores, y, rows)

    def _features_square(self) -> Tensor:
        """``Z^T Z`` of all examples, made once."""
        with self._making:
            if "square" not in self._exact:
                assert self.Z32 is not None
                self._exact["square"] = outer_square(self.Z32.T.contiguous())
            return self._exact["square"]

    def remember(self, problem: Problem, state: GramState) -> Tensor:
        """Active examples, (n_models, n_samples) bool."""
        return (problem.y * state.f < 1) & (problem.cost > 0)

    def resume(self, problem: Problem, memory: Tensor) -> tuple[GramState, Tensor]:
        """The empty state, and margins that make the remembered examples active."""
        return self.empty(problem), torch.where(memory, 0.0, 2 * problem.y)

    def begin(self, problem: Problem, scores: Tensor) -> tuple[GramState, Tensor]:
        """The empty state, and the scores, which say which examples are active."""
        return self.empty(problem), scores

    def solve(
        self, problem: Problem, start: GramState, tol: float, guess: Tensor | None = None
    ) -> GramState:
        """Solve every model to a relative duality gap of ``tol``.

        ``guess`` may hold predicted decision values (n_models, n_samples): the first step takes its
        active examples from them instead of from ``start``.
        """
        self.inexact = INEXACT
        self.rejections = 0
        state = self._assess(problem, start.beta, start.f)
        todo = torch.nonzero(~(state.gap <= tol * state.primal)).flatten()
        for step in range(MAX_STEPS):
            if todo.numel() == 0:
                break
            now, part = state.take(todo), problem.take(todo)
            seen = now.f if guess is None or step else guess[todo]
            rough = tol > FLOAT32_TOL and step < FLOAT32_STEPS and self.rejections < MAX_REJECTIONS
            dtype = torch.float32 if rough else torch.float64
            reached = self._descend(part, now, self._step(part, now, seen, tol, dtype), tol, dtype)
            state.put(todo, reached)
            todo = todo[~(reached.gap <= tol * reached.primal) & ~is_stuck(now, reached)]
        return state

    def _assess(self, problem: Problem, beta: Tensor, f: Tensor) -> GramState:
        """Objective and certificate of coefficients whose decision values are known.

        ``alpha = max(0, y beta)`` is feasible. Where clipping added ``e``, its weight vector is
        ``w + sum_i e_i y_i z_i``, whose squared norm is at most
        ``|w|^2 + 2 sum_i e_i y_i f_i + (sum_i e_i |z_i|)^2``: no further product with K is needed.
        """
        norm = (beta * f).sum(dim=1).clamp(min=0)
        primal = 0.5 * norm + loss(problem, f)
        signed = problem.y * beta
        alpha = torch.where(problem.cost > 0, signed, 0).clamp_(min=0)
        added = alpha - signed
        dual = alpha.sum(dim=1) - 0.5 * norm - (added * problem.y * f).sum(dim=1)
        dual -= 0.5 * (added.abs() @ self.norms).square()
        dual -= 0.5 * (alpha.square() * _inverse_cost(problem)).sum(dim=1)
        return GramState(beta=beta, f=f, primal=primal, gap=primal - dual)

    def _step(
        self, problem: Problem, now: GramState, seen: Tensor, tol: float, dtype: torch.dtype
    ) -> Tensor:
        """The Newton iterate ``beta`` of every model for the active examples of ``seen``."""
        active = (problem.y * seen < 1) & (problem.cost > 0)
        if self._is_direct(active.sum(dim=1)):
            return self._factor(problem, active, dtype)
        # The step adds c |residual|^2 to the gap: ask for a part of the tolerance, or of the gap.
        peak = problem.cost.amax(dim=1)
        enough = torch.maximum(0.25 * tol * now.primal, self.inexact * now.gap) / peak
        begin = torch.where(active, now.beta, 0)
        return self._conjugate(problem, active, begin, enough, dtype)

    def _is_direct(self, sizes: Tensor) -> bool:
        """Is factoring active sets of these sizes cheaper than the conjugate gradients of late?

        In seconds of one core; a GPU scales both alike.
        """
        n, m = self.gram32.shape[0], sizes.double()
        if n <= N_SAMPLES_FLOAT64 or self.rejections >= MAX_REJECTIONS:
            return True
        factor = float((5e-5 + 3e-9 * m**2 + 7e-12 * m**3).mean())
        width = 2 * self.Z.shape[1] if self.is_thin else n
        # The matrix is read from memory once for all models.
        product = n * width * (2.2e-11 + 4e-10 / len(sizes))
        return factor < self.cg_iterations * (product + 1e-8 * n)

    def _factor(self, problem: Problem, active: Tensor, dtype: torch.dtype) -> Tensor:
        """Solve the systems of all models by Cholesky factors."""
        gram = self.gram32 if dtype == torch.float32 else self.gram
        solve = _factor_each if gram.device.type == "cpu" else _factor_batch
        beta = solve(gram, problem.y, _inverse_cost(problem), active)
        if beta is None:
            if dtype == torch.float64:
                raise ArithmeticError("a Gram matrix with its ridge is not positive definite")
            return self._factor(problem, active, torch.float64)
        return beta

    def _conjugate(
        self, problem: Problem, active: Tensor, begin: Tensor, enough: Tensor, dtype: torch.dtype
    ) -> Tensor:
        """Conjugate gradients on every model at once, until ``|residual|^2 <= enough``."""
        exactness, dtype = dtype, self.gram32.dtype if dtype == torch.float32 else dtype
        mask = active.to(dtype)
        ridge = _inverse_cost(problem).to(dtype) * mask
        x = begin.to(dtype)
        r = mask * (problem.y.to(dtype) - self.product(x, exactness)) - ridge * x
        p = r.clone()
        rho = (r * r).sum(dim=1)
        goal = enough.to(dtype)
        self.cg_iterations = 0
        for _ in range(MAX_CG):
            self.cg_iterations += 1
            q = self.product(p, exactness).mul_(mask).addcmul_(ridge, p)
            curvature = (p * q).sum(dim=1)
            rate = torch.where(rho > goal, rho / curvature.clamp(min=1e-30), 0.0)[:, None]
            x.addcmul_(rate, p)
            r.addcmul_(rate, q, value=-1)
            previous, rho = rho, (r * r).sum(dim=1)
            if bool((rho <= goal).all()):
                break
            p.mul_((rho / previous.clamp(min=1e-30))[:, None]).add_(r)
        return x.double()

    def _reach(self, problem: Problem, beta: Tensor, tol: float, dtype: torch.dtype) -> GramState:
        """Assess ``beta`` in ``dtype``, and in float64 what meets the tolerance there.

        Not where the tolerance is far above the rounding of float32.
        """
        state = self._assess(problem, beta, self.product(beta, dtype).double())
        is_met = state.gap <= tol * state.primal
        if tol >= FLOAT32_CERTIFICATE_TOL:
            # Of n products each rounded on its own, the error grows as the root of their squares.
            size = beta.abs() * self.norms
            rounding = torch.finfo(torch.float32).eps * size.sum(dim=1) * size.norm(dim=1)
            is_met &= rounding > ROUNDING_PART * tol * state.primal
        rows = torch.nonzero(is_met).flatten()
        if dtype == self.gram32.dtype == torch.float32 and rows.numel():
            sure = beta[rows]
            f = self.product(sure, torch.float64)
            state.put(rows, self._assess(problem.take(rows), sure, f))
        return state

    def _descend(
        self, problem: Problem, now: GramState, wanted: Tensor, tol: float, dtype: torch.dtype
    ) -> GramState:
        """Move to ``wanted``, or only part of the way where that would not lower the objective."""
        reached = self._reach(problem, wanted, tol, dtype)
        # Rounding must not stop a good step near the end, but more than rounding may be a circle of
        # steps that never ends; and not-a-number, where float32 was not enough, has to count as worse.
        limit = now.primal * (1 + min(0.1 * tol, MOST_ROUNDING))
        better = (reached.primal <= limit) | (reached.gap <= tol * now.primal)
        worse = torch.nonzero(~better).flatten()
        if worse.numel() == 0:
            return reached
        # The step did not lead downhill: the next ones are to be closer to Newton's.
        self.inexact *= 0.1
        self.rejections += 1
        part, old = problem.take(worse), now.take(worse)
        # Where a system was beyond float32 there is no direction: stay, until float64 finds one.
        usable = reached.primal[worse].isfinite()[:, None]
        aim = torch.where(usable, wanted[worse] - old.beta, 0)
        aim_f = torch.where(usable, reached.f[worse] - old.f, 0)
        linear, square = (old.beta * aim_f).sum(dim=1), (aim * aim_f).sum(dim=1)
        rate = line_minimum(part, old.f, aim_f, linear, square)
        beta, f = old.beta + rate[:, None] * aim, old.f + rate[:, None] * aim_f
        reached.put(worse, self._assess(part, beta, f))
        return reached


def _inverse_cost(problem: Problem) -> Tensor:
    """``1 / (2 c)``, zero where the example is left out."""
    return torch.where(problem.cost > 0, 0.5 / problem.cost, 0.0)


def _factor_each(gram: Tensor, y: Tensor, ridge: Tensor, active: Tensor) -> Tensor | None:
    """One model after the other, each at its own size; None where a factor fails."""
    beta = torch.zeros_like(y)
    for row in range(len(y)):
        index = torch.nonzero(active[row]).flatten()
        system = _lower_triangle(gram, index)
        system.diagonal().add_(ridge[row, index])
        factor, failed = torch.linalg.cholesky_ex(system)
        if int(failed):
            return None
        right = y[row, index, None].to(gram.dtype)
        beta[row, index] = torch.cholesky_solve(right, factor)[:, 0].to(y.dtype)
    return beta


def _lower_triangle(gram: Tensor, index: Tensor) -> Tensor:
    """The entries of some rows and columns (m, m), ascending; those above the diagonal may be anything."""
    m = len(index)
    if m <= FEW_ACTIVE:
        at = (index[:, None] * len(gram) + index).numpy()
        return torch.from_numpy(gram.numpy().take(at))  # twice as quick as torch's
    part = gram.new_empty((m, m))
    for begin in range(0, m, BLOCK_ROWS):
        end = min(begin + BLOCK_ROWS, m)
        rows = gram[:, : int(index[end - 1]) + 1].index_select(0, index[begin:end])
        part[begin:end, :end] = rows.index_select(1, index[:end])
    return part


def _factor_batch(gram: Tensor, y: Tensor, ridge: Tensor, active: Tensor) -> Tensor | None:
    """All models at once, padded to the largest by rows of the identity; None on failure."""
    size, n = int(active.sum(dim=1).max()), gram.shape[0]
    index = torch.argsort(active.to(torch.uint8), dim=1, descending=True, stable=True)[:, :size]
    real = active.gather(1, index)
    system = gram.reshape(-1).take(index[:, :, None] * n + index[:, None, :])
    system *= real[:, :, None] & real[:, None, :]
    diagonal = torch.where(real, ridge.gather(1, index), 1.0)
    system.diagonal(dim1=1, dim2=2).add_(diagonal.to(gram.dtype))
    factor, failed = torch.linalg.cholesky_ex(system)
    if bool(failed.any()):
        return None
    right = torch.where(real, y.gather(1, index), 0.0).to(gram.dtype)
    packed = torch.cholesky_solve(right[:, :, None], factor)[:, :, 0].to(y.dtype)
    return torch.zeros_like(y).scatter_add_(1, index, torch.where(real, packed, 0))
