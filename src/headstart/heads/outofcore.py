"""One classification task on features that are read in blocks, again for every pass over them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.heads.examples import Normalize, Rows, Streamed, is_lazy
from headstart.heads.parallel import map_devices
from headstart.heads.passes import Distributed, Labels, Passes, Sums, sample_square
from headstart.heads.primal import N_NUMBERS_FLOAT64
from headstart.heads.streaming import Newton
from headstart.heads.task import Device, Fit, Task, needs_gram, pick_devices

# Numbers in the factored Hessians of models solved together: half a gigabyte in float32.
MOST_FACTOR_NUMBERS = 2**27
# Above this many numbers features are not copied but read block by block, again for every pass over
# them. Below it the copies (float32 and bfloat16 of float32 features) stay under a gigabyte.
MOST_HELD_NUMBERS = 2**27


def set_up(
    X: NDArray[Any] | Rows,
    labels: Labels,
    device: Device,
    normalize: Normalize,
) -> Task | StreamedTask:
    """The task held in memory where it is small, else streamed.

    `Rows` other than an array are streamed whatever their size, because somebody had a reason not to
    make an array of them; but not where a Gram matrix does, which needs few examples.

    Raises ValueError where passes that the processes of a cluster make are asked for on a GPU.
    """
    is_held = needs_gram(X, len(labels.label)) or not (
        is_lazy(X) or X.shape[0] * X.shape[1] > MOST_HELD_NUMBERS
    )
    if not is_held and isinstance(X, Distributed):
        asked = [device] if isinstance(device, str | torch.device) else list(device or ())
        if any(torch.device(each).type != "cpu" for each in asked):
            raise ValueError(
                "passes over rows that are divided among the processes of a cluster are made on its CPUs: "
                f"leave device out or take 'cpu'; got {device!r}"
            )
        device = "cpu"
    devices = pick_devices(device, len(labels.label), (X.shape[0], X.shape[1]))
    if is_held:
        return Task(X, labels, devices, normalize)
    return StreamedTask(X, labels, devices, normalize)


@dataclass(frozen=True, kw_only=True, slots=True)
class Solved:
    """Models of every split at one cost."""

    w: NDArray[np.float64]  # (n_splits, n_models, n_features + 1); the intercept is the last
    gap: NDArray[np.float64]  # (n_splits, n_models); relative duality gaps


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shard:
    """The examples and their preconditioner on one device."""

    examples: Streamed
    axes: Tensor
    spectrum: Tensor


def held_bytes(n_samples: int, n_features: int) -> int:
    """Memory that an array of float32 features takes here, the copies that `set_up` makes included."""
    n_numbers = n_samples * n_features
    # Copies of at most eight bytes: float64 beside a Gram matrix, float32 and bfloat16 elsewhere.
    return n_numbers * (12 if n_numbers <= MOST_HELD_NUMBERS else 4)


class StreamedTask:
    """Labelled features that stay where they are, ready to be solved for any costs.

    Memory does not grow with the features. Of each example its class, its weight and a byte for each
    split stay; of each model its weights, and in turns a square of the number of features.

    Parameters
    ----------
    X : ndarray or Rows of shape (n_samples, n_features)
        Features of any real dtype; a np.memmap stays on disk.
    devices : sequence of torch.device
        The models are split over them; each reads the features for itself. Passes over `Distributed` rows run on the CPUs of a cluster.
    normalize : {"l2", "power", "none"}
    """

    def __init__(
        self,
        X: NDArray[Any] | Rows,
        labels: Labels,
        devices: Sequence[torch.device],
        normalize: Normalize,
    ) -> None:
        self.labels = labels
        examples = [Streamed(X, normalize, device) for device in devices]
        self._executor = X.executor(normalize) if isinstance(X, Distributed) else None
        n, self.n_features = examples[0].shape
        is_small = n * self.n_features <= N_NUMBERS_FLOAT64
        fast = torch.float64 if is_small else torch.float32
        # In float64, because float32 fails where many features are the same or nought.
        square = sample_square(examples[0], fast).double()
        values, axes = (found.to(fast) for found in torch.linalg.eigh(square))
        self._shards = [
            _Shard(examples=e, axes=axes.to(e.device), spectrum=values.clamp(min=0).to(e.device))
            for e in examples
        ]

    @property
    def member(self) -> NDArray[np.integer]:
        """Class of each example, (n_samples,)."""
        return self.labels.member

    @property
    def n_models(self) -> int:
        """Binary models a fit needs."""
        return len(self.labels.label)

    def pieces(self, n_splits: int) -> list[NDArray[np.intp]]:
        """All (split, model) pairs, cut into pieces that are solved together, (n, 2) each."""
        pairs = np.stack(np.divmod(np.arange(n_splits * self.n_models), self.n_models), axis=1)
        most = max(1, MOST_FACTOR_NUMBERS // self.n_features**2)
        n_pieces = max(-(-len(pairs) // most), min(len(self._shards), len(pairs)))
        return np.array_split(pairs, n_pieces)

    def fit(self, C: float, tol: float, scores: NDArray[np.floating] | None = None) -> Fit:
        """Train on every example; ``scores`` are of no use here."""
        [solved] = self.along([C], self.labels.train, tol, lambda n: None)
        w = solved.w[0]
        return Fit(coef=w[:, :-1].copy(), intercept=w[:, -1].copy(), gap=solved.gap[0])

    def along(
        self,
        Cs: Sequence[float] | NDArray[np.float64],
        train: NDArray[np.bool_],
        tol: float,
        tell: Callable[[int], None],
    ) -> Iterator[Solved]:
        """All models of every split at each cost in turn, from small to large.

        ``train`` (n_splits, n_samples) says which examples each split trains on; ``tell`` is given
        the number of models of a piece that is done.
        """
        labels = dataclasses.replace(self.labels, train=train)
        pieces = self.pieces(len(train))
        states: dict[int, Sums] = {}
        kept: dict[int, Newton] = {}

        def solve(shard: _Shard, i: int, C: float) -> Sums:
            passes = Passes(shard.examples, labels, self._executor)
            newton = kept.get(i) or Newton(passes, pieces[i], shard.axes, shard.spectrum)
            if len(pieces) <= len(self._shards):  # else all their factors are too many to keep
                kept[i] = newton
            found = newton.solve(C, states[i] if i in states else newton.empty(), tol)
            tell(len(pieces[i]))
            return found

        for C in map(float, Cs):

            def share(shard: _Shard, mine: Sequence[int], C: float = C) -> list[Sums]:
                return [solve(shard, i, C) for i in mine]

            found = map_devices(share, range(len(pieces)), self._shards)
            states = dict(enumerate(found))
            yield self._joined(pieces, states, C, len(train))

    def _joined(
        self, pieces: Sequence[NDArray[np.intp]], states: dict[int, Sums], C: float, n_splits: int
    ) -> Solved:
        w = np.empty((n_splits, self.n_models, self.n_features))
        gap = np.empty((n_splits, self.n_models))
        for i, piece in enumerate(pieces):
            split, model = piece.T
            w[split, model] = states[i].w.cpu().numpy()
            relative = states[i].gap(C) / states[i].primal(C).clamp(min=1e-300)
            gap[split, model] = relative.clamp(min=0).cpu().numpy()
        return Solved(w=w, gap=gap)

    def held_out(
        self, w: NDArray[np.float64], fold: NDArray[np.integer]
    ) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Scores of each example by the models ``w[fold]``, in parts of rows: (n_rows, n_models).

        ``w`` is (n_splits, n_models, n_features + 1); where ``fold`` is negative they are NaN.
        """
        examples = self._shards[0].examples
        W = torch.from_numpy(w).to(examples.device)
        for rows, scores in Passes(examples, self.labels, self._executor).held_out(W, fold):
            yield rows, scores.cpu().numpy()
