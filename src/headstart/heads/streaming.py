"""The linear SVM on features larger than memory: Newton's method in passes over the rows.

The objective, the certificate and the method are those of `primal`: conjugate gradients on the
generalised Hessian, all classes and folds in one product, preconditioned by the inverse of
``I + rho Z^T Z``. What differs is what is kept: weights and sums, (n_models, n_features), and nothing
for each model and example (`passes`). So each product with a Hessian forms the decision values once
more, and the step is tried whole first, which takes one pass with the sums at its end. The sums at
``C = 1`` serve any ``C``, so a larger ``C`` starts from the last solution without a pass.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.heads.objective import ROUNDING
from headstart.heads.passes import Passes, Sums
from headstart.heads.primal import INEXACT, INEXACT_STEPS, MAX_CG, MAX_STEPS

# Iterations of conjugate gradients that a step needs however good the preconditioner is.
FEW_ITERATIONS = 3
# Added to the diagonal, relative to its largest: what float32 sums are off by.
ROUNDED = 1e-7
# Parts of a step that are tried in one pass where the whole step does not lead downhill.
RATES = 2.0 ** -torch.arange(16, dtype=torch.float64).flip(0)


class Newton:
    """Newton's method for a piece of models on one device.

    Parameters
    ----------
    piece : ndarray of shape (n_models, 2), int
        Split and model of each.
    axes, spectrum : Tensor
        Eigenvectors and eigenvalues of (an estimate of) ``Z^T Z``.
    """

    def __init__(
        self, passes: Passes, piece: NDArray[np.intp], axes: Tensor, spectrum: Tensor
    ) -> None:
        self.passes, self.piece = passes, piece
        self.axes, self.spectrum, self.fast = axes, spectrum, axes.dtype
        self.n_samples, self.n_features = passes.examples.shape
        self._factors: Tensor | None = None
        self._spent = 0.0

    def empty(self) -> Sums:
        """All weights zero."""
        size = len(self.piece), self.n_features
        w = torch.zeros(*size, dtype=torch.float64, device=self.axes.device)
        return self.passes.measure(self.piece, w, torch.float64)

    def solve(self, C: float, start: Sums, tol: float) -> Sums:
        """Every model to a relative duality gap of ``tol``; ``start`` was measured in float64."""
        state = start.take(torch.arange(len(self.piece), device=start.w.device))
        exact = torch.ones_like(state.loss, dtype=torch.bool)
        doubted, stuck = torch.zeros_like(exact), torch.zeros_like(exact)
        for step in range(MAX_STEPS):
            claimed = (state.gap(C) <= tol * state.primal(C)) & ~exact
            self._certify(state, claimed)
            exact |= claimed
            solved = exact & (state.gap(C) <= tol * state.primal(C))
            doubted |= claimed & ~solved
            todo = torch.nonzero(~solved & ~stuck).flatten()
            if todo.numel() == 0:
                break
            now = state.take(todo)
            is_exact = step >= INEXACT_STEPS or bool(doubted[todo].any())
            dtype = torch.float64 if is_exact else self.fast
            self._precondition(C, state, todo, always=step >= INEXACT_STEPS)
            aim = self._conjugate(todo, C, now, tol, dtype)
            reached = self._advance(todo, C, now, aim, dtype)
            state.put(todo, reached)
            exact[todo] = dtype == torch.float64
            stuck[todo] = exact[todo] & _is_stuck(now, reached, C)
        self._certify(state, ~exact)
        return state

    def _some(self, rows: Tensor) -> NDArray[np.intp]:
        """The models at ``rows``."""
        some: NDArray[np.intp] = self.piece[rows.cpu().numpy()]
        return some

    def _certify(self, state: Sums, which: Tensor) -> None:
        """Measure in float64."""
        rows = torch.nonzero(which).flatten()
        if rows.numel():
            found = self.passes.measure(self._some(rows), state.w[rows], torch.float64)
            state.put(rows, found)

    def _precondition(self, C: float, state: Sums, todo: Tensor, *, always: bool) -> None:
        """Factor the Hessians of the models in hand where that is cheaper than to iterate on.

        That is once the iterations that a better preconditioner would have saved have cost as much:
        so it costs at most twice what the better of both would have.
        """
        share = float(state.active[todo].mean()) / self.n_samples
        cost = 1 + share * self.n_features / 3 + self.n_features**2 / (18 * self.n_samples)
        if not always and self._spent <= cost:
            return
        self._spent = 0.0
        if self._factors is None:
            shape = len(self.piece), self.n_features, self.n_features
            self._factors = torch.zeros(shape, dtype=self.fast, device=self.axes.device)
        found = self.passes.hessians(self._some(todo), state.w[todo], self.fast)
        for row, half in zip(todo.tolist(), found, strict=True):
            hessian = 2 * C * half.double()
            hessian.diagonal().add_(1 + ROUNDED * float(hessian.diagonal().max()))
            self._factors[row] = torch.linalg.cholesky(hessian)

    def _conjugate(
        self, todo: Tensor, C: float, now: Sums, tol: float, dtype: torch.dtype
    ) -> Tensor:
        """Steps by conjugate gradients, a pass an iteration; models that are done fall out."""
        r = -now.gradient(C).to(dtype)
        goal = torch.maximum(
            INEXACT * r.square().sum(dim=1), (0.25 * tol * now.primal(C)).to(dtype)
        )
        solve = self._preconditioner(todo, C, now)
        x, p, before = torch.zeros_like(r), torch.zeros_like(r), torch.ones_like(goal)
        n_products = 0
        for _ in range(MAX_CG):
            go = torch.nonzero(r.square().sum(dim=1) > goal).flatten()
            if go.numel() == 0:
                break
            n_products += len(go)
            s = solve(r[go].to(self.fast), go).to(dtype)
            rho = (r[go] * s).sum(dim=1)
            p[go] = along = s + (rho / before[go].clamp(min=1e-30))[:, None] * p[go]
            before[go] = rho
            q = along + 2 * C * self.passes.curve(self._some(todo[go]), now.w[go], along)
            rate = (rho / (along * q).sum(dim=1).clamp(min=1e-30))[:, None]
            x[go] += rate * along
            r[go] -= rate * q
        self._spent += max(0.0, n_products / len(todo) - FEW_ITERATIONS)
        # Zero where a step is beyond the precision.
        return torch.where(x.isfinite().all(dim=1)[:, None], x, 0).double()

    def _preconditioner(
        self, todo: Tensor, C: float, now: Sums
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """Solves the system nearly: given right sides and their rows among ``todo``."""
        factors = self._factors
        if factors is not None:
            return lambda r, go: torch.cholesky_solve(r[:, :, None], factors[todo[go]])[:, :, 0]
        rho = 2 * C * now.active / self.n_samples
        scale = 1 / (1 + rho.to(self.fast)[:, None] * self.spectrum)
        return lambda r, go: ((r @ self.axes) * scale[go]) @ self.axes.T

    def _advance(self, todo: Tensor, C: float, now: Sums, aim: Tensor, dtype: torch.dtype) -> Sums:
        """The whole step where it lowers the objective, else the best part of it."""
        reached = self.passes.measure(self._some(todo), now.w + aim, dtype)
        # The last digits of the objective are rounding and must not stop a good step.
        worse = torch.nonzero(~(reached.primal(C) <= now.primal(C) * (1 + 1e-7))).flatten()
        if worse.numel():
            some, w, to = self._some(todo[worse]), now.w[worse], aim[worse]
            rate = self._line_minimum(some, C, w, to)
            reached.put(worse, self.passes.measure(some, w + rate[:, None] * to, dtype))
        return reached

    def _line_minimum(self, piece: NDArray[np.intp], C: float, w: Tensor, aim: Tensor) -> Tensor:
        """Where between 0 and 1 the objective is least, (n_models,).

        Its derivative rises along the way and is nearly straight between two rates.
        """
        rates = RATES.to(w.device)
        linear, square = (w * aim).sum(dim=1), aim.square().sum(dim=1)
        slope = linear[:, None] + square[:, None] * rates
        slope += C * self.passes.slopes(piece, w, aim, rates)
        last = (slope < 0).sum(dim=1) - 1
        at = last.clamp(min=0, max=len(rates) - 2)[:, None]
        low, high = slope.gather(1, at)[:, 0], slope.gather(1, at + 1)[:, 0]
        left, right = rates[at[:, 0]], rates[at[:, 0] + 1]
        between = left - low * (right - left) / (high - low).clamp(min=1e-300)
        between = torch.where(last < 0, rates[0], between)
        return torch.where(last == len(rates) - 1, rates[-1], between).clamp(0, 1)


def _is_stuck(before: Sums, after: Sums, C: float) -> Tensor:
    """Which models a step did not improve because only rounding is left, (n_models,)."""
    tiny = before.gap(C) <= ROUNDING * before.primal(C)
    return tiny & (after.gap(C) >= before.gap(C))
