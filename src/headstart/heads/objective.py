"""The objective of LIBLINEAR's L2-loss SVC, its dual, and the gap between them.

One *model* is one binary problem: one class against the rest, on one fold, at one ``C``. Every
array here has one row per model. With features ``z_i = (x_i, 1)``, targets ``y_i`` in {-1, +1} and
a cost ``c_i`` an example (``C`` times its weight; zero where the example is held out)::

    primal(w)     = 0.5 |w|^2 + sum_i c_i max(0, 1 - y_i f_i)^2          f_i = w . z_i
    dual(alpha)   = sum_i alpha_i - 0.5 |sum_i alpha_i y_i z_i|^2 - sum_i alpha_i^2 / (4 c_i)

for ``alpha >= 0`` (Fan et al. 2008, LIBLINEAR, appendix). Any feasible ``alpha`` bounds the optimum
from below, so ``primal - dual`` certifies a model whatever algorithm produced it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Models:
    """Tensors with one row per model."""

    def take(self, rows: Tensor) -> Self:
        """The models at ``rows``."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def copy(self) -> Self:
        """A copy that `put` does not change."""
        return replace(self, **{f.name: getattr(self, f.name).clone() for f in fields(self)})

    def put(self, rows: Tensor, part: Self) -> None:
        """Replace the models at ``rows``, in place."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(part, field.name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem(Models):
    """Binary problems that share their examples."""

    y: Tensor  # (n_models, n_samples) float64; targets, -1 or +1
    # (n_models, n_samples) float64; ``C`` times the weight of the example; 0 leaves the example out
    # of that model
    cost: Tensor

    def scaled(self, C: float) -> Problem:
        """The same models with every cost multiplied by ``C``."""
        return Problem(y=self.y, cost=self.cost * C)


# Relative gaps below this are near what float64 can tell from zero.
ROUNDING = 1e-9
# So many models on one set of features have few active examples each, and ridge classifiers foresee which.
MANY_MODELS = 40
# Share of the examples that are expected to be active as negatives.
SHARE_ACTIVE = 0.06
# Of the examples that are thought active against each class, the part that is the same for all.
LEAST_OF_CLASS = 0.75
# So many scores are ranked to find the least of all that are high; of more, a part of the examples.
MOST_RANKED = 2_000_000
BISECTIONS = 40


class State(Protocol):
    """How far models have come."""

    @property
    def primal(self) -> Tensor:
        """Objective, (n_models,)."""

    @property
    def gap(self) -> Tensor:
        """Bound on the distance from the optimum, (n_models,)."""


class Solver(Protocol):
    """What solves problems over examples it was given; states are its own and opaque to others.

    A state also has ``f`` (n_models, n_samples) and ``copy()``.
    """

    Z: Tensor
    # Models to solve together on one core: enough for matrix products to run at full speed, few
    # enough to spread over cores.
    piece_models: int

    def fork(self) -> Solver:
        """A solver for another thread."""

    def empty(self, problem: Problem) -> Any:
        """The state to start from."""

    def predict(self, problem: Problem, last: Any, before: Any) -> Tensor | None:
        """Decision values to expect at the next larger cost."""

    def solve(self, problem: Problem, start: Any, tol: float, guess: Tensor | None = None) -> Any:
        """The state at the optimum."""

    def foresee(self, y: Tensor, rows: Tensor) -> Tensor:
        """What to expect of models with targets ``y`` by ridge classifiers of the examples ``rows``."""

    def remember(self, problem: Problem, state: Any) -> Tensor:
        """The least that `resume` needs, one row per model."""

    def resume(self, problem: Problem, memory: Tensor) -> tuple[Any, Tensor | None]:
        """State and guess to start from with what another cost left, or `foresee`."""

    def begin(self, problem: Problem, scores: Tensor) -> tuple[Any, Tensor | None]:
        """State and guess to start from where scores (n_models, n_samples) are nearly known."""

    def weights(self, state: Any) -> Tensor:
        """Weight vectors, (n_models, n_features)."""


def slack(problem: Problem, f: Tensor) -> Tensor:
    """``max(0, 1 - y f)``, (n_models, n_samples)."""
    return (1 - problem.y * f).clamp_(min=0)


def loss(problem: Problem, f: Tensor) -> Tensor:
    """``sum_i c_i max(0, 1 - y_i f_i)^2`` of each model, (n_models,)."""
    return (problem.cost * slack(problem, f).square_()).sum(dim=1)


def dual_at_slack(problem: Problem, xi: Tensor, norm: Tensor) -> Tensor:
    """The best dual value on the ray through ``alpha = 2 c xi``, (n_models,).

    ``norm`` is ``|sum_i alpha_i y_i z_i|^2``. On the ray the dual is ``s a - s^2 b / 2``, which is
    largest at ``s = a / b``.
    """
    mass = problem.cost * xi
    linear = 2 * mass.sum(dim=1)
    square = norm + 2 * (mass * xi).sum(dim=1)
    return torch.where(square > 0, 0.5 * linear.square() / square.clamp(min=1e-300), 0.0)


def likely_active(scores: Tensor, y: Tensor, rows: Tensor) -> Tensor:
    """Active examples among ``rows`` by scores of a simpler model, (n_models, n_samples) bool.

    Those of the class, and on average as many others, but at least `SHARE_ACTIVE` of all: those of high
    scores. More of them are against classes that are hard to tell from others, but at least
    `LEAST_OF_CLASS` of the average.
    """
    n = int(rows.sum())
    others = torch.where((y < 0) & rows, scores, -torch.inf)
    n_active = ((y > 0) & rows).sum(dim=1).clamp(min=int(SHARE_ACTIVE * n), max=n)
    step = -(-others.numel() // MOST_RANKED)
    everywhere = others[:, ::step].flatten().topk(int(n_active.sum()) // step).values[-1]
    n_least = (LEAST_OF_CLASS * n_active).long().clamp(min=1)
    least = others.topk(int(n_least.max()), dim=1).values.gather(1, n_least[:, None] - 1)
    return ((y > 0) | (others >= torch.minimum(least, everywhere))) & rows


def line_minimum(
    problem: Problem, f: Tensor, aim_f: Tensor, linear: Tensor, square: Tensor
) -> Tensor:
    """Where on the way from ``f`` to ``f + aim_f`` the objective is least, (n_models,) in [0, 1].

    The penalty changes by ``linear t + square t^2 / 2``. The derivative rises along the way, so its
    zero is found by bisection, exactly enough to land on the right side of every kink.
    """
    yd, margin = problem.y * aim_f, 1 - problem.y * f
    low, high = torch.zeros_like(linear), torch.ones_like(linear)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        xi = (margin - middle[:, None] * yd).clamp_(min=0)
        slope = linear + square * middle - 2 * (problem.cost * xi * yd).sum(dim=1)
        low, high = torch.where(slope < 0, middle, low), torch.where(slope < 0, high, middle)
    return low


def is_stuck(before: State, after: State) -> Tensor:
    """Which models a step did not improve because only rounding is left, (n_models,)."""
    tiny = before.gap <= ROUNDING * before.primal
    return tiny & (after.gap >= before.gap)
