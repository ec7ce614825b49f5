"""The SVM solver for many examples: Newton's method on the weight vectors.

The generalised Hessian of a model is ``I + sum_{i active} 2 c_i z_i z_i^T``. Systems are solved by
conjugate gradients (Keerthi and DeCoste 2005; LIBLINEAR's TRON does likewise), here for all classes
and folds in one matrix product, preconditioned by the inverse of ``I + rho Z^T Z`` with ``rho`` the
mean weight of an example in that model: one eigendecomposition serves every ``rho``. With many more
examples than features the active ones are a fair sample of all, and a few iterations are enough.

Where few examples are active (``A``, of a class against many others), systems are solved by factors
instead, one model after the other: with ``D = diag(1 / 2c)`` over the active examples,
``H^-1 g = g - Z_A^T (Z_A Z_A^T + D)^-1 Z_A g``, a system of as many unknowns as there are active examples.

Gradients and decision values are computed in float32. The products within conjugate gradients only
shape a direction, so they are computed in bfloat16 where the machine has units for it. Once a
certificate in float32 meets the tolerance it is computed again in float64, and only that one counts.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from headstart.heads.examples import Examples, Held
from headstart.heads.objective import (
    MANY_MODELS,
    Models,
    Problem,
    dual_at_slack,
    is_stuck,
    likely_active,
    line_minimum,
    loss,
    slack,
)
from headstart.heads.ridge import outer_square, ridge_solve

MAX_STEPS = 300
MAX_CG = 200
# Steps after which bfloat16 is not trusted any more; most problems need fewer than ten.
ROUGH_STEPS = 12
# Steps after which the systems are factored, one model after the other, in float64.
INEXACT_STEPS = 25
# Share of the gradient's square that a system may leave.
INEXACT = 1e-2
# Up to this many numbers float64 costs nothing worth saving.
N_NUMBERS_FLOAT64 = 100_000
# Below this many features a batch of Hessians is cheaper than iterating.
N_FEATURES_FACTORED = 48
# What conjugate gradients are expected to take before any were run.
CG_ITERATIONS = 30
# Of the ridge classifiers that a solve may start from.
RIDGE = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class PrimalState(Models):
    """Models by their weight vectors."""

    w: Tensor  # (n_models, n_features) float64; weights
    # (n_models, n_samples) float64; decision values of all examples, held-out ones included
    f: Tensor
    gradient: Tensor  # (n_models, n_features) float64
    # primal, gap: (n_models,) float64; the objective, and a bound on its distance from the optimum
    primal: Tensor
    gap: Tensor


class PrimalSolver:
    """Newton's method for models that share their examples.

    Parameters
    ----------
    examples : Examples, or Tensor of shape (n_samples, n_features)
        Features, the constant one included.
    """

    piece_models = 50

    def __init__(self, examples: Examples | Tensor) -> None:
        self.examples = Held(examples) if isinstance(examples, Tensor) else examples
        n_samples, self.n_features = self.examples.shape
        is_small = n_samples * self.n_features <= N_NUMBERS_FLOAT64
        self.fast = torch.float64 if is_small else torch.float32
        self.rough = self.fast if is_small else _rough_dtype(self.examples.device)
        for dtype in (self.fast, self.rough):
            self.examples.keep(dtype)
        # Eigenvectors make the preconditioner of any scale a product with a diagonal between.
        self.square = self.examples.square(None, self.fast)
        values, self.axes = torch.linalg.eigh(self.square)
        self.spectrum = values.clamp(min=0)
        self.cg_iterations = CG_ITERATIONS

    @cached_property
    def Z(self) -> Tensor:
        """All examples in float64, which may be a large copy; the solver does without."""
        return self.examples.read(slice(0, self.examples.shape[0]), torch.float64)

    def fork(self) -> PrimalSolver:
        """A solver for another thread: shares the examples, not what was learned about speed."""
        return copy.copy(self)

    def empty(self, problem: Problem) -> PrimalState:
        """All weights zero."""
        w = problem.y.new_zeros(problem.y.shape[0], self.n_features)
        f = torch.zeros_like(problem.y)
        infinite = torch.full_like(w[:, 0], torch.inf)
        return PrimalState(w=w, f=f, gradient=w.clone(), primal=infinite, gap=infinite.clone())

    def predict(self, problem: Problem, last: PrimalState, before: PrimalState) -> Tensor | None:
        """No prediction: the last solution is start enough here."""
        return None

    def foresee(self, y: Tensor, rows: Tensor) -> Tensor:
        """Active examples of many models, (n_models, n_samples) bool; else weights, float64.

        By ridge classifiers: of few models their weights are start enough.
        """
        # What is left out is less than what is left.
        system = self.square - self.examples.square((~rows).to(self.fast), self.fast)
        right = self.examples.pull(y * rows, self.fast)
        w = ridge_solve(system.double(), right.T, RIDGE).T.contiguous()
        if len(y) < MANY_MODELS:
            return w
        return likely_active(self.examples.decide(w, self.fast), y, rows)

    def remember(self, problem: Problem, state: PrimalState) -> Tensor:
        """Weights, (n_models, n_features)."""
        return state.w.float()

    def resume(self, problem: Problem, memory: Tensor) -> tuple[PrimalState, Tensor | None]:
        """The state of the remembered weights, or margins that make the remembered examples active."""
        if memory.dtype == torch.bool:
            return self.empty(problem), torch.where(memory, 0.0, 2 * problem.y)
        w = memory.double()
        return replace(self.empty(problem), w=w, f=self.examples.decide(w, self.fast)), None

    def begin(self, problem: Problem, scores: Tensor) -> tuple[PrimalState, Tensor | None]:
        """The state of the weights that come nearest to the scores, by least squares."""
        right = self.examples.pull(scores, self.fast).to(self.fast)
        w = ((right @ self.axes) / (self.spectrum + RIDGE)) @ self.axes.T
        return self.resume(problem, w)

    def weights(self, state: PrimalState) -> Tensor:
        """Weight vectors, (n_models, n_features)."""
        return state.w

    def solve(
        self, problem: Problem, start: PrimalState, tol: float, guess: Tensor | None = None
    ) -> PrimalState:
        """Solve every model to a relative duality gap of ``tol``.

        ``guess`` may hold predicted decision values (n_models, n_samples): the first step takes its
        active examples from them instead of from ``start``.
        """
        self.cg_iterations = CG_ITERATIONS
        state = self._assess(problem, start.w, start.f, self.fast)
        if guess is not None:
            state = self._aim_at(problem, state, guess)
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
            state.put(rows, self._assess_exactly(problem.take(rows), state.w[rows]))
            exact[rows] = True

    def _assess(self, problem: Problem, w: Tensor, f: Tensor, dtype: torch.dtype) -> PrimalState:
        """Objective, gradient and certificate, the one product with examples in ``dtype``."""
        xi = slack(problem, f)
        force = 2 * problem.cost * xi * problem.y
        pulled = self.examples.pull(force, dtype)
        primal = 0.5 * w.square().sum(dim=1) + loss(problem, f)
        dual = dual_at_slack(problem, xi, pulled.square().sum(dim=1))
        return PrimalState(w=w, f=f, gradient=w - pulled, primal=primal, gap=primal - dual)

    def _assess_exactly(self, problem: Problem, w: Tensor) -> PrimalState:
        """The same in float64, decision values included."""
        return self._assess(problem, w, self.examples.decide(w, torch.float64), torch.float64)

    def _advance(
        self, problem: Problem, now: PrimalState, tol: float, step: int, is_exact: bool
    ) -> PrimalState:
        """One Newton step with a line search."""
        weight = torch.where(problem.y * now.f < 1, 2 * problem.cost, 0)
        if self.n_features <= N_FEATURES_FACTORED or step >= INEXACT_STEPS:
            aim = self._factor(weight, now.gradient)
            aim_f = self.examples.decide(aim, torch.float64)
        else:
            found = self._active(weight, now.gradient)
            rough = self.rough if step < ROUGH_STEPS else self.fast
            aim = self._conjugate(weight, now, tol, rough) if found is None else found
            aim_f = self.examples.decide(aim, self.fast)
        usable = (aim.isfinite().all(dim=1) & aim_f.isfinite().all(dim=1))[:, None]
        aim, aim_f = torch.where(usable, aim, 0), torch.where(usable, aim_f, 0)
        rate = _line_search(problem, now, aim, aim_f)[:, None]
        w, f = now.w + rate * aim, now.f + rate * aim_f
        if is_exact or step >= INEXACT_STEPS:
            return self._assess_exactly(problem, w)
        return self._assess(problem, w, f, self.fast)

    def _aim_at(self, problem: Problem, now: PrimalState, seen: Tensor) -> PrimalState:
        """One step for the active examples of ``seen``, where factors are cheap; else as it was."""
        weight = torch.where(problem.y * seen < 1, 2 * problem.cost, 0)
        gradient = now.w - self.examples.pull(weight * (problem.y - now.f), self.fast)
        aim = self._active(weight, gradient)
        if aim is None or not bool(aim.isfinite().all()):
            return now
        aim_f = self.examples.decide(aim, self.fast)
        rate = _line_search(problem, now, aim, aim_f)[:, None]
        return self._assess(problem, now.w + rate * aim, now.f + rate * aim_f, self.fast)

    def _active(self, weight: Tensor, gradient: Tensor) -> Tensor | None:
        """Newton directions by factors of the active examples; None where iterating is cheaper.

        Only of examples that are in memory on a CPU: there the active ones are picked in no time.
        """
        if not isinstance(self.examples, Held) or self.examples.device.type != "cpu":
            return None
        n, d = self.examples.shape
        m = (weight > 0).sum(dim=1).double()
        k = m.clamp(max=d)  # unknowns
        # Seconds of one core.
        factors = float((5e-5 + 2e-9 * m * d + 1.1e-11 * m * k * d + 7e-12 * k**3).mean())
        iteration = 2.7e-11 * n * d + 5e-11 * d**2
        if factors > self.cg_iterations * iteration:
            return None
        Z = self.examples.read(slice(0, n), self.fast)
        aim = -gradient.to(self.fast)
        for row in range(len(aim)):
            index = torch.nonzero(weight[row]).flatten()
            part, own = Z[index], weight[row, index].to(self.fast)
            is_wide = len(index) <= d
            system = outer_square(part if is_wide else (part * own.sqrt()[:, None]).T.contiguous())
            system.diagonal().add_(1 / own if is_wide else 1.0)
            factor, failed = torch.linalg.cholesky_ex(system)
            if int(failed):
                return None
            right = part @ aim[row] if is_wide else aim[row]
            inner = torch.cholesky_solve(right[:, None], factor)[:, 0]
            aim[row] = aim[row] - part.T @ inner if is_wide else inner
        return aim.double()

    def _factor(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """Newton directions by one Cholesky factor a model, in float64."""
        aim = torch.empty_like(gradient)
        for row in range(len(gradient)):
            hessian = self.examples.square(weight[row], torch.float64)
            hessian.diagonal().add_(1)
            factor = torch.linalg.cholesky(hessian)
            aim[row] = -torch.cholesky_solve(gradient[row, :, None], factor)[:, 0]
        return aim

    def _conjugate(
        self, weight: Tensor, now: PrimalState, tol: float, dtype: torch.dtype
    ) -> Tensor:
        """Newton directions of all models at once, products with examples in ``dtype``."""
        heavy = weight.to(dtype)
        scale = 1 / (1 + weight.mean(dim=1, keepdim=True).to(self.fast) * self.spectrum)
        r = -now.gradient.to(self.fast)
        begin = r.square().sum(dim=1)
        goal = torch.maximum(INEXACT * begin, (0.25 * tol * now.primal).to(self.fast))
        x = torch.zeros_like(r)
        s = ((r @ self.axes) * scale) @ self.axes.T
        p, rho = s.clone(), (r * s).sum(dim=1)
        self.cg_iterations = 0
        for _ in range(MAX_CG):
            self.cg_iterations += 1
            q = self._curve(p, heavy)
            going = r.square().sum(dim=1) > goal
            rate = torch.where(going, rho / (p * q).sum(dim=1).clamp(min=1e-30), 0)[:, None]
            x.addcmul_(rate, p)
            r.addcmul_(rate, q, value=-1)
            if bool((r.square().sum(dim=1) <= goal).all()):
                break
            s = ((r @ self.axes) * scale) @ self.axes.T
            previous, rho = rho, (r * s).sum(dim=1)
            p.mul_((rho / previous.clamp(min=1e-30))[:, None]).add_(s)
        return x.double()

    def _curve(self, p: Tensor, heavy: Tensor) -> Tensor:
        """The Hessians times ``p``; a block of rows is used twice while it is near."""
        q, narrow = p.clone(), p.to(heavy.dtype)
        for rows, Z in self.examples.blocks(heavy.dtype):
            q.add_((narrow @ Z.T).mul_(heavy[:, rows]) @ Z)
        return q


def _rough_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where matrix units compute it several times as fast as float32, else float32."""
    if device.type == "cuda":
        has_units = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        # A private name of torch, so it may go; float32 is right without it.
        is_supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
        has_units = is_supported is not None and bool(is_supported())
    return torch.bfloat16 if has_units else torch.float32


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
