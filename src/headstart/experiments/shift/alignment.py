"""Adaptation on frozen features: CORAL (Sun et al. 2016) and DANN (Ganin et al. 2016)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.errors import InputError


def coral(source: ArrayLike, target: ArrayLike) -> NDArray[np.float32]:
    """Source features with the mean and covariance of the target's.

    ``(x - mean_s) C_s^(-1/2) C_t^(1/2) + mean_t``: whitened, then recoloured. B. Sun, J. Feng, K.
    Saenko, "Return of Frustratingly Easy Domain Adaptation", AAAI 2016. The paper adds the identity
    to each covariance; here it is shrunk towards a multiple of it as far as Ledoit and Wolf (2004)
    find best, since features of unit length have variances far below 1. The paper's features are
    centred beforehand; here the mean is carried over too.

    Raises InputError where either has fewer than two rows.

    Parameters
    ----------
    source : array-like of shape (n_source, d)
    target : array-like of shape (n_target, d)
        Unlabelled; two or more.

    Returns
    -------
    float32 array (n_source, d)
    """
    from sklearn.covariance import ledoit_wolf

    x, t = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if min(len(x), len(t)) < 2:
        raise InputError(f"CORAL needs two images per side or more; got {len(x)} and {len(t)}")
    mean_x, mean_t = x.mean(axis=0), t.mean(axis=0)
    whitening = _power(ledoit_wolf(x)[0], -0.5)
    colouring = _power(ledoit_wolf(t)[0], 0.5)
    moved = (x - mean_x) @ (whitening @ colouring) + mean_t
    return np.asarray(moved, dtype=np.float32)


def _power(covariance: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """A power of a symmetric matrix, its smallest eigenvalues held above rounding."""
    values, vectors = np.linalg.eigh(covariance)
    floor = max(float(values[-1]) * 1e-10, 1e-30)
    powered: NDArray[np.float64] = (vectors * np.maximum(values, floor) ** exponent) @ vectors.T
    return powered


@dataclass(frozen=True, kw_only=True)
class DannSettings:
    """Of the small adversarial network."""

    n_hidden: int = 256  # width of the transform
    n_steps: int = 1500
    batch_size: int = 64  # of each side, at most
    # at the start; it falls as ``lr / (1 + 10 p)^0.75`` over the share p of the steps
    lr: float = 0.01
    weight_decay: float = 1e-3
    # factor on the schedule of lambda, ``2 / (1 + exp(-10 p)) - 1``; 0: no adversary
    strength: float = 1.0
    seed: int = 0


def dann_lambda(progress: float) -> float:
    """The weight of the reversed gradient after a share of the training (Ganin et al. 2016, 5.2.2)."""
    return 2.0 / (1.0 + math.exp(-10.0 * progress)) - 1.0


class _Reverse(torch.autograd.Function):
    """The identity, whose gradient is multiplied by ``-factor``."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return -ctx.factor * gradients[0], None


def reverse_gradient(values: Tensor, factor: float) -> Tensor:
    """`values` themselves; on the way back their gradient is turned round and scaled."""
    reversed_: Tensor = _Reverse.apply(values, factor)
    return reversed_


class Dann:
    """A transform of frozen features that tells classes apart and domains not.

    Y. Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, with the feature
    extractor reduced to one layer on frozen features: a dense layer and ReLU; a linear classifier
    of the source's labels on it; and behind a gradient reversal a two-layer classifier of source
    against target. Optimiser and schedules are the paper's.
    """

    def __init__(self, settings: DannSettings) -> None:
        self.settings = settings

    def fit(self, X: ArrayLike, y: ArrayLike, X_target: ArrayLike) -> Dann:
        """Train on labelled source rows (n, d) and unlabelled target rows (m, d)."""
        s = self.settings
        source = torch.from_numpy(np.asarray(X, dtype=np.float32))
        target = torch.from_numpy(np.asarray(X_target, dtype=np.float32))
        self.classes_, member = np.unique(np.asarray(y), return_inverse=True)
        labels = torch.from_numpy(member)
        both = torch.cat([source, target])
        # One factor for all features, so that large ones stay large.
        self._mean, self._scale = both.mean(0), 1 / both.std(0).mean().clamp(min=1e-12)
        source, target = self._scaled(source), self._scaled(target)
        generator = torch.Generator().manual_seed(s.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(s.seed)
            self._build(source.shape[1], len(self.classes_))
        parts = nn.ModuleList([self._transform, self._classifier, self._critic])
        optimizer = torch.optim.SGD(
            parts.parameters(), lr=s.lr, momentum=0.9, weight_decay=s.weight_decay
        )
        # No more rows a step than a side has images: of few, the same would be drawn several times.
        n_rows = min(s.batch_size, len(source), len(target))
        for step in range(s.n_steps):
            done = step / s.n_steps
            for group in optimizer.param_groups:
                group["lr"] = s.lr / (1 + 10 * done) ** 0.75
            rows = torch.randint(len(source), (n_rows,), generator=generator)
            others = torch.randint(len(target), (n_rows,), generator=generator)
            loss = self._loss(source[rows], labels[rows], target[others], dann_lambda(done))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The classes of rows (n, d)."""
        rows = self._scaled(torch.from_numpy(np.asarray(X, dtype=np.float32)))
        with torch.no_grad():
            said = self._classifier(self._transform(rows)).argmax(1).numpy()
        return np.asarray(self.classes_[said])

    def _build(self, d: int, n_classes: int) -> None:
        h = self.settings.n_hidden
        self._transform = nn.Sequential(nn.Linear(d, h), nn.ReLU())
        self._classifier = nn.Linear(h, n_classes)
        self._critic = nn.Sequential(nn.Linear(h, h // 2), nn.ReLU(), nn.Linear(h // 2, 1))

    def _scaled(self, rows: Tensor) -> Tensor:
        return (rows - self._mean) * self._scale

    def _loss(self, source: Tensor, labels: Tensor, target: Tensor, weight: float) -> Tensor:
        hidden = self._transform(torch.cat([source, target]))
        loss = F.cross_entropy(self._classifier(hidden[: len(source)]), labels)
        if not self.settings.strength:
            return loss
        said = self._critic(reverse_gradient(hidden, weight * self.settings.strength)).squeeze(1)
        is_source = torch.cat([torch.ones(len(source)), torch.zeros(len(target))])
        return loss + F.binary_cross_entropy_with_logits(said, is_source)
