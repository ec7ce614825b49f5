"""The SVM solver for many examples: Newton's method on the weight vectors.

The generalised Hessian of a model is ``I + sum_{i active} 2 c_i z_i z_i^T``. Systems are solved by
conjugate gradients (Keerthi and DeCoste 2005; LIBLINEAR's TRON does likewise), here for all classes
and folds in one matrix product, preconditioned by the inverse of ``I + rho Z^T Z`` with ``rho`` the
mean weight of an example in that model: one eigendecomposition serves every ``rho``. With many more
examples than features the active ones are a fair sample of all, and a few iterations are enough.

Steps are computed in float32. Once a certificate in float32 meets the tolerance it is computed
again in float64, and only that one counts.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.heads.objective import Problem, dual_at_slack, is_stuck, line_minimum, loss, slack

MAX_STEPS = 300
MAX_CG = 200
# Steps after which the systems are factored, one model after the other, in float64.
INEXACT_STEPS = 25
# Share of the gradient's square that a system may leave.
INEXACT = 1e-2
# Rows of Z that a core's cache holds.
BLOCK_ROWS = 512
# Up to this many numbers float64 costs nothing worth saving.
N_NUMBERS_FLOAT64 = 100_000
# Below this many features a batch of Hessians is cheaper than iterating.
N_FEATURES_FACTORED = 48


@dataclass(frozen=True, kw_only=True, slots=True)
class PrimalState:
    """Models by their weight vectors.

    Attributes
    ----------
    w : Tensor of shape (n_models, n_features), float64
        Weights.
    f : Tensor of shape (n_models, n_samples), float64
        Decision values of all examples, held-out ones included.
    gradient : Tensor of shape (n_models, n_features), float64
    primal, gap : Tensor of shape (n_models,), float64
        The objective, and a bound on its distance from the optimum.
    """

    w: Tensor
    f: Tensor
    gradient: Tensor
    primal: Tensor
    gap: Tensor

    def take(self, rows: Tensor) -> PrimalState:
        """The models at ``rows``."""
        return PrimalState(**{name: getattr(self, name)[rows] for name in self.__slots__})

    def copy(self) -> PrimalState:
        """A copy that `put` does not change."""
        return PrimalState(**{name: getattr(self, name).clone() for name in self.__slots__})

    def put(self, rows: Tensor, part: PrimalState) -> None:
        """Replace the models at ``rows``, in place."""
        for name in self.__slots__:
            getattr(self, name)[rows] = getattr(part, name)


class PrimalSolver:
    """Newton's method for models that share their examples.

    Parameters
    ----------
    Z : Tensor of shape (n_samples, n_features), float64
        Features, the constant one included.
    """

    piece_models = 50

    def __init__(self, Z: Tensor) -> None:
        self.Z = Z
        self.Z32 = Z.float() if Z.numel() > N_NUMBERS_FLOAT64 else Z
        # Eigenvectors make the preconditioner of any scale a product with a diagonal between.
        values, self.axes = torch.linalg.eigh(self.Z32.T @ self.Z32)
        self.spectrum = values.clamp(min=0)

    def fork(self) -> PrimalSolver:
        """A solver for another thread: shares the examples, not what was learnt about speed."""
        return copy.copy(self)

    def empty(self, problem: Problem) -> PrimalState:
        """All weights zero."""
        w = self.Z.new_zeros(problem.y.shape[0], self.Z.shape[1])
        f = torch.zeros_like(problem.y)
        infinite = torch.full_like(w[:, 0], torch.inf)
        return PrimalState(w=w, f=f, gradient=w.clone(), primal=infinite, gap=infinite.clone())

    def predict(self, problem: Problem, last: PrimalState, before: PrimalState) -> Tensor | None:
        """No prediction: the last solution is start enough here."""
        return None

    def weights(self, state: PrimalState) -> Tensor:
        """Weight vectors, (n_models, n_features)."""
        return state.w

    def solve(
        self, problem: Problem, start: PrimalState, tol: float, guess: Tensor | None = None
    ) -> PrimalState:
        """Solve every model to a relative duality gap of ``tol``. ``guess`` is not used."""
        state = self._assess(problem, start.w, start.f, torch.float32)
        exact = torch.zeros_like(state.gap, dtype=torch.bool)
        stuck = torch.zeros_like(exact)
        for step in range(MAX_STEPS):
            self._certify(problem, state, exact, tol)
            todo = torch.nonzero(~(exact & (state.gap <= tol * state.primal)) & ~stuck).flatten()
            if todo.numel() == 0:
                break
            part, now = problem.take(todo), state.take(todo)
            reached = self._advance(part, now, tol, step, bool(exact[todo].any()))
            state.put(todo, reached)
            stuck[todo] = exact[todo] & is_stuck(now, reached)
        self._certify(problem, state, exact, torch.inf)
        return state

    def _certify(self, problem: Problem, state: PrimalState, exact: Tensor, tol: float) -> None:
        """Compute in float64 what claims to be solved; ``exact`` notes which models were."""
        rows = torch.nonzero((state.gap <= tol * state.primal) & ~exact).flatten()
        if rows.numel():
            w = state.w[rows]
            state.put(rows, self._assess(problem.take(rows), w, w @ self.Z.T, torch.float64))
            exact[rows] = True

    def _assess(self, problem: Problem, w: Tensor, f: Tensor, dtype: torch.dtype) -> PrimalState:
        """Objective, gradient and certificate, the one product with ``Z`` in ``dtype``."""
        xi = slack(problem, f)
        force = 2 * problem.cost * xi * problem.y
        Z = self.Z32 if dtype == torch.float32 else self.Z
        pulled = (force.to(Z.dtype) @ Z).double()
        primal = 0.5 * w.square().sum(dim=1) + loss(problem, f)
        dual = dual_at_slack(problem, xi, pulled.square().sum(dim=1))
        return PrimalState(w=w, f=f, gradient=w - pulled, primal=primal, gap=primal - dual)

    def _advance(
        self, problem: Problem, now: PrimalState, tol: float, step: int, is_exact: bool
    ) -> PrimalState:
        """One Newton step with a line search."""
        weight = torch.where(problem.y * now.f < 1, 2 * problem.cost, 0)
        if self.Z.shape[1] <= N_FEATURES_FACTORED or step >= INEXACT_STEPS:
            aim = self._factor(weight, now.gradient)
            aim_f = aim @ self.Z.T
        else:
            aim, aim_f = self._conjugate(weight, now, tol)
        usable = (aim.isfinite().all(dim=1) & aim_f.isfinite().all(dim=1))[:, None]
        aim, aim_f = torch.where(usable, aim, 0), torch.where(usable, aim_f, 0)
        rate = _line_search(problem, now, aim, aim_f)[:, None]
        w, f = now.w + rate * aim, now.f + rate * aim_f
        if is_exact or step >= INEXACT_STEPS:
            return self._assess(problem, w, w @ self.Z.T, torch.float64)
        return self._assess(problem, w, f, torch.float32)

    def _factor(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """Newton directions by one Cholesky factor a model, in float64."""
        aim = torch.empty_like(gradient)
        eye = torch.eye(self.Z.shape[1], dtype=self.Z.dtype, device=self.Z.device)
        for row in range(len(gradient)):
            active = torch.nonzero(weight[row]).flatten()
            Z = self.Z[active]
            hessian = torch.addmm(eye, Z.T * weight[row, active], Z)
            factor = torch.linalg.cholesky(hessian)
            aim[row] = -torch.cholesky_solve(gradient[row, :, None], factor)[:, 0]
        return aim

    def _conjugate(self, weight: Tensor, now: PrimalState, tol: float) -> tuple[Tensor, Tensor]:
        """Newton directions and what they add to ``f``, all models at once."""
        Z = self.Z32
        heavy = weight.to(Z.dtype)
        scale = 1 / (1 + heavy.mean(dim=1, keepdim=True) * self.spectrum)
        r = -now.gradient.to(Z.dtype)
        begin = r.square().sum(dim=1)
        goal = torch.maximum(INEXACT * begin, (0.25 * tol * now.primal).to(Z.dtype))
        x, x_f = torch.zeros_like(r), torch.zeros_like(heavy)
        s = ((r @ self.axes) * scale) @ self.axes.T
        p, rho = s.clone(), (r * s).sum(dim=1)
        for _ in range(MAX_CG):
            p_f, q = self._curve(p, heavy)
            going = r.square().sum(dim=1) > goal
            rate = torch.where(going, rho / (p * q).sum(dim=1).clamp(min=1e-30), 0)[:, None]
            x.addcmul_(rate, p)
            x_f.addcmul_(rate, p_f)
            r.addcmul_(rate, q, value=-1)
            if bool((r.square().sum(dim=1) <= goal).all()):
                break
            s = ((r @ self.axes) * scale) @ self.axes.T
            previous, rho = rho, (r * s).sum(dim=1)
            p.mul_((rho / previous.clamp(min=1e-30))[:, None]).add_(s)
        return x.double(), x_f.double()

    def _curve(self, p: Tensor, heavy: Tensor) -> tuple[Tensor, Tensor]:
        """``p Z^T``, and the Hessians times ``p``; a block of rows is used twice while it is near."""
        n = len(self.Z32)
        block = BLOCK_ROWS if p.device.type == "cpu" else n
        p_f, q = torch.empty_like(heavy), p.clone()
        for start in range(0, n, block):
            rows = slice(start, start + block)
            Z = self.Z32[rows]
            part = p @ Z.T
            p_f[:, rows] = part
            q.addmm_(part.mul_(heavy[:, rows]), Z)
        return p_f, q


def _line_search(problem: Problem, now: PrimalState, aim: Tensor, aim_f: Tensor) -> Tensor:
    """The whole step where it lowers the objective, else the best part of it, (n_models,)."""
    rate = torch.ones_like(now.primal)
    primal = 0.5 * (now.w + aim).square().sum(dim=1) + loss(problem, now.f + aim_f)
    # The last digits of the objective are rounding and must not stop a good step.
    worse = torch.nonzero(~(primal <= now.primal * (1 + 1e-7))).flatten()
    if worse.numel():
        w, f, to = now.w[worse], now.f[worse], aim[worse]
        linear, square = (w * to).sum(dim=1), to.square().sum(dim=1)
        rate[worse] = line_minimum(problem.take(worse), f, aim_f[worse], linear, square)
    return rate
