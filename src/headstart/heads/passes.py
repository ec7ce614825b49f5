"""What the SVM needs of features that do not fit in memory: sums over all rows, a pass for each.

Nothing that is as long as there are examples is made for a model: targets, costs, decision values
and active sets are formed a block of rows at a time, for all models together, and forgotten. What
stays of an example is its class, its weight, and which splits train on it.

A pass is a sum over parts of the rows, added in their order, so that it does not depend on who
computes them: threads of this process, or a `PassExecutor` where the rows have one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.heads.examples import Normalize, Streamed
from headstart.heads.objective import Models
from headstart.heads.parallel import each_piece

# Sums are formed on this many parts of the rows and joined in order, whatever the number of cores;
# on more of them where there are many rows, for the workers of a cluster.
N_SEGMENTS = 16
LEAST_SEGMENT_ROWS, MOST_SEGMENT_ROWS = 2_048, 65_536
# Hessians are large: they are summed over this many groups of segments, each group in place.
N_GROUPS = 8
# Rows of a slice of the sample. Rows next to each other are often of one class: many short slices.
SAMPLE_SLICE_ROWS = 16
# Rows of the sample, and rows for each feature; it only preconditions.
LEAST_SAMPLE_ROWS = 2_048
SAMPLE_PER_FEATURE = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """What is known of the examples besides their features: a class, one against the rest, a model."""

    member: NDArray[np.integer]  # (n_samples,) int; class of each example
    weight: NDArray[np.float64]  # (n_samples,)
    label: NDArray[np.integer]  # (n_models,) int; the class that each model tells from the rest
    # own, rest: (n_models,); factor of the cost of the model's class, and of the other examples
    own: NDArray[np.float64]
    rest: NDArray[np.float64]
    train: NDArray[np.bool_]  # (n_splits, n_samples) bool; which examples each split trains on

    @classmethod
    def of(
        cls,
        member: NDArray[np.integer],
        n_classes: int,
        weight: NDArray[np.float64],
        class_weight: NDArray[np.float64],
    ) -> Labels:
        """The models of a task, on one split that trains on everything.

        Two classes make one model (class 1 against class 0), more make one each. ``class_weight``
        (n_classes,) is taken as LIBLINEAR does: with more than two classes it applies to a class as
        the positive one, and the rest counts 1.
        """
        label, rest = np.arange(n_classes), np.ones(n_classes)
        if n_classes == 2:
            label, rest, class_weight = label[1:], class_weight[:1], class_weight[1:]
        train = np.ones((1, len(member)), dtype=bool)
        return cls(
            member=member, weight=weight, label=label, own=class_weight, rest=rest, train=train
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sums(Models):
    """Models by their weights, with what a pass at them found; one row per model, float64.

    All but ``w`` is at ``C = 1``: it holds for every ``C``.
    """

    w: Tensor  # (n_models, n_features)
    # (n_models, n_features); ``sum_i c_i xi_i y_i z_i`` with the slack ``xi_i = max(0, 1 - y_i
    # f_i)``
    pulled: Tensor
    loss: Tensor  # (n_models,); ``sum_i c_i xi_i^2``
    mass: Tensor  # (n_models,); ``sum_i c_i xi_i``
    active: Tensor  # (n_models,); ``sum_i c_i`` where ``xi_i > 0``

    def primal(self, C: float) -> Tensor:
        """The objective, (n_models,)."""
        return 0.5 * self.w.square().sum(dim=1) + C * self.loss

    def gap(self, C: float) -> Tensor:
        """A bound on its distance from the optimum, (n_models,).

        ``alpha = 2 C c xi`` is feasible; its best multiple is taken, as `objective.dual_at_slack` does.
        """
        linear = 2 * C * self.mass
        square = 4 * C * C * self.pulled.square().sum(dim=1) + 2 * C * self.loss
        dual = torch.where(square > 0, 0.5 * linear.square() / square.clamp(min=1e-300), 0.0)
        return self.primal(C) - dual

    def gradient(self, C: float) -> Tensor:
        """Of the objective, (n_models, n_features)."""
        return self.w - 2 * C * self.pulled


class PassExecutor(Protocol):
    """Processes that have the examples, each of them or a part."""

    def each(self, labels: Labels, name: str, arguments: Sequence[Any]) -> Iterator[Any]:
        """What ``Passes(...).part(name, rows, arguments)`` finds on each of ``parts(name, n)``, in order."""
        ...


@runtime_checkable
class Distributed(Protocol):
    """`Rows` whose passes are divided among the processes of a cluster."""

    def executor(self, normalize: Normalize) -> PassExecutor: ...


def segments(n: int) -> list[slice]:
    """The parts of ``n`` rows that sums are formed on."""
    most = max(N_SEGMENTS, n // MOST_SEGMENT_ROWS)
    cuts = np.linspace(0, n, max(1, min(most, n // LEAST_SEGMENT_ROWS)) + 1).astype(int).tolist()
    return [slice(a, b) for a, b in itertools.pairwise(cuts)]


def is_heavy(name: str) -> bool:
    """Whether what a pass finds is too large for one per core: take one part at a time, with all cores."""
    return name == "hessians"


def parts(name: str, n: int) -> list[slice]:
    """The parts of ``n`` rows that a pass is summed over: segments, or groups of them."""
    found = segments(n)
    if not is_heavy(name):
        return found
    cuts = np.linspace(0, len(found), min(N_GROUPS, len(found)) + 1).astype(int).tolist()
    return [slice(found[a].start, found[b - 1].stop) for a, b in itertools.pairwise(cuts)]


class Passes:
    """Passes over streamed examples, all models of a piece at once.

    Notes
    -----
    A piece is an int array (n_models, 2): the split and the model of each of its rows.
    """

    def __init__(
        self, examples: Streamed, labels: Labels, executor: PassExecutor | None = None
    ) -> None:
        self.examples, self.labels, self._executor = examples, labels, executor
        self.device = examples.device
        self._segments = segments(examples.shape[0])

    def part(self, name: str, rows: slice, arguments: Sequence[Any]) -> Any:
        """What a pass finds on one of its `parts`."""
        return getattr(self, f"_{name}")(rows, *arguments)

    def _each(self, name: str, *arguments: Any) -> Iterator[Any]:
        if self._executor is not None:
            return self._executor.each(self.labels, name, arguments)
        every = parts(name, self.examples.shape[0])
        if is_heavy(name):
            return (self.part(name, rows, arguments) for rows in every)
        return each_piece(lambda rows: self.part(name, rows, arguments), every, self.device)

    def _total(self, name: str, *arguments: Any) -> Sequence[Tensor]:
        """What a pass finds on every part, added in order."""
        found = self._each(name, *arguments)
        totals: Sequence[Tensor] = next(found)
        for part in found:
            for total, more in zip(totals, part, strict=True):
                total += more
            del part, more  # before the next is made
        return totals

    def measure(self, piece: NDArray[np.intp], w: Tensor, dtype: torch.dtype) -> Sums:
        """Everything that one pass at the weights ``w`` (n_models, n_features) tells."""
        pulled, loss, mass, active = self._total("measure", piece, w, dtype)
        return Sums(w=w, pulled=pulled, loss=loss, mass=mass, active=active)

    def _measure(
        self, segment: slice, piece: NDArray[np.intp], w: Tensor, dtype: torch.dtype
    ) -> list[Tensor]:
        narrow = w.to(dtype)
        sums = [torch.zeros_like(w), *torch.zeros(3, len(w), dtype=w.dtype, device=w.device)]
        for Z, positive, cost in self._blocks(segment, piece, dtype):
            xi = _slack(positive, narrow @ Z.T)
            force = cost * xi
            sums[1] += (force * xi).sum(dim=1)
            sums[2] += force.sum(dim=1)
            sums[3] += torch.where(xi > 0, cost, 0).sum(dim=1)
            sums[0] += torch.where(positive, force, -force) @ Z
        return sums

    def curve(self, piece: NDArray[np.intp], w: Tensor, p: Tensor) -> Tensor:
        """``sum_i c_i z_i (z_i . p)`` over the examples that are active at ``w``, like ``p``.

        Half the Hessian of the loss at ``C = 1``, times ``p``.
        """
        return self._total("curve", piece, w, p)[0]

    def _curve(self, segment: slice, piece: NDArray[np.intp], w: Tensor, p: Tensor) -> list[Tensor]:
        both, m = torch.cat([w.to(p.dtype), p]), len(p)
        q = torch.zeros_like(p)
        for Z, positive, cost in self._blocks(segment, piece, p.dtype):
            f = both @ Z.T
            active = torch.where(positive, f[:m] < 1, f[:m] > -1)
            q.addmm_(torch.where(active, f[m:].mul_(cost), 0), Z)
        return [q]

    def hessians(self, piece: NDArray[np.intp], w: Tensor, dtype: torch.dtype) -> Tensor:
        """``sum_i c_i z_i z_i^T`` of each model over its active examples.

        Returns (n_models, n_features, n_features) in ``dtype``.
        """
        return self._total("hessians", piece, w, dtype)[0]

    def _hessians(
        self, rows: slice, piece: NDArray[np.intp], w: Tensor, dtype: torch.dtype
    ) -> list[Tensor]:
        d, narrow = w.shape[1], w.to(dtype)
        total = torch.zeros(len(w), d, d, dtype=dtype, device=w.device)
        for segment in (s for s in self._segments if rows.start <= s.start < rows.stop):
            for Z, positive, cost in self._blocks(segment, piece, dtype, is_large=True):
                xi = _slack(positive, narrow @ Z.T)
                for i in range(len(w)):
                    active = torch.nonzero(xi[i]).flatten()
                    part = Z[active]
                    total[i].addmm_(part.T * cost[i, active], part)
        return [total]

    def slopes(self, piece: NDArray[np.intp], w: Tensor, aim: Tensor, rates: Tensor) -> Tensor:
        """Derivative of the loss at ``C = 1`` along ``aim``, at ``w + rate * aim`` of every rate.

        Returns (n_models, n_rates), float64.
        """
        return self._total("slopes", piece, w, aim, rates)[0]

    def _slopes(
        self, segment: slice, piece: NDArray[np.intp], w: Tensor, aim: Tensor, rates: Tensor
    ) -> list[Tensor]:
        both, m = torch.cat([w, aim]), len(w)
        found = w.new_zeros(m, len(rates))
        for Z, positive, cost in self._blocks(segment, piece, w.dtype):
            f = both @ Z.T
            toward = torch.where(positive, f[m:], -f[m:])
            for j, rate in enumerate(rates):
                xi = _slack(positive, f[:m] + rate * f[m:])
                found[:, j] -= 2 * (cost * xi * toward).sum(dim=1)
        return [found]

    def held_out(self, W: Tensor, fold: NDArray[np.integer]) -> Iterator[tuple[slice, Tensor]]:
        """Scores of each example by the models ``W[fold]``, in parts: (n_rows, n_models), float64.

        ``W`` is (n_splits, n_models, n_features); where ``fold`` is negative, scores are NaN.
        """
        return self._each("held_out", W, fold)

    def _held_out(
        self, segment: slice, W: Tensor, fold: NDArray[np.integer]
    ) -> tuple[slice, Tensor]:
        scores = W.new_full((segment.stop - segment.start, W.shape[1]), torch.nan)
        for rows, Z in self.examples.blocks(torch.float64, rows=segment):
            here = torch.from_numpy(fold[rows]).to(self.device)
            part = scores[rows.start - segment.start : rows.stop - segment.start]
            for s in range(len(W)):
                index = torch.nonzero(here == s).flatten()
                part[index] = Z[index] @ W[s].T
        return segment, scores

    def _blocks(
        self,
        segment: slice,
        piece: NDArray[np.intp],
        dtype: torch.dtype,
        is_large: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Blocks of rows: features, which are positive and the costs at ``C = 1`` (n_models, n_rows)."""
        known, split, model = self.labels, piece[:, 0], piece[:, 1]
        label, own, rest = (self._there(a[model]) for a in (known.label, known.own, known.rest))
        is_plain = bool((own == 1).all() and (rest == 1).all())
        splits, row_of = np.unique(split, return_inverse=True)
        of_split = self._there(row_of)
        for rows, Z in self.examples.blocks(dtype, is_large, rows=segment):
            positive = self._there(known.member[rows]) == label[:, None]
            weight = known.train[splits, rows] * known.weight[rows]
            cost = self._there(weight).to(dtype)[of_split]
            if not is_plain:
                cost *= torch.where(positive, own[:, None], rest[:, None]).to(dtype)
            yield Z, positive, cost

    def _there(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def _slack(positive: Tensor, f: Tensor) -> Tensor:
    """``max(0, 1 - y f)``."""
    return torch.where(positive, 1 - f, 1 + f).clamp_(min=0)


def sample_square(examples: Streamed, dtype: torch.dtype) -> Tensor:
    """``Z^T Z`` estimated from a few rows of everywhere, (n_features, n_features)."""
    n, d = examples.shape
    n_slices = -(-max(SAMPLE_PER_FEATURE * d, LEAST_SAMPLE_ROWS) // SAMPLE_SLICE_ROWS)
    if n_slices * SAMPLE_SLICE_ROWS >= n:
        return examples.square(None, dtype)
    total, n_read = torch.zeros(d, d, dtype=dtype, device=examples.device), 0
    starts = np.linspace(0, n - SAMPLE_SLICE_ROWS, n_slices).astype(int).tolist()
    for some in (starts[i : i + 32] for i in range(0, n_slices, 32)):
        Z = torch.cat([examples.read(slice(a, a + SAMPLE_SLICE_ROWS), dtype) for a in some])
        total.addmm_(Z.T, Z)
        n_read += len(Z)
    return total * (n / n_read)
