"""AugMix (Hendrycks 2020): chains of operations, mixed, and the loss that ties the views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from headstart.augment.placing import placed
from headstart.augment.sequences import Steps, signed
from headstart.augment.warping import Array

AUGMIX = (
    "autocontrast",
    "equalize",
    "posterize",
    "rotate",
    "solarize",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
"""The paper's operations: those that its corruption benchmark does not test are left out."""


@dataclass(frozen=True)
class Chains:
    """Random draws for a batch of n images."""

    steps: tuple[Steps, ...]  # one per chain
    weights: Array  # (n, width); weights of the chains; rows sum to 1 (Dirichlet)
    blend: Array  # (n,) in [0, 1]; weight of the mixed chains; the rest is the image itself (Beta)

    def __call__(self, images: Tensor) -> Tensor:
        """The mixed view of float32 images (n, 3, S, S) in [0, 1]."""
        share, rest = (
            placed(values, images)
            for values in (self.weights * self.blend[:, None], 1 - self.blend)
        )
        mixed = images * rest.view(-1, 1, 1, 1)
        for chain, steps in enumerate(self.steps):
            mixed.addcmul_(steps(images), share[:, chain].view(-1, 1, 1, 1))
        return mixed.clamp_(0, 1)

    def of(self, rows: NDArray[np.int64] | slice) -> Chains:
        """The draws for some of the images."""
        steps = tuple(chain.of(rows) for chain in self.steps)
        return Chains(steps, self.weights[rows], self.blend[rows])


def draw_chains(
    n: int, *, width: int, depth: int, severity: float, alpha: float, rng: np.random.Generator
) -> Chains:
    """Chains of 1 to `depth` operations, with strengths from 0.1 to `severity`, of 10."""
    return Chains(
        steps=tuple(_draw_steps(n, depth, severity, rng) for _ in range(width)),
        weights=rng.dirichlet(np.full(width, alpha), n),
        blend=rng.beta(alpha, alpha, n),
    )


def _draw_steps(n: int, depth: int, severity: float, rng: np.random.Generator) -> Steps:
    operations: NDArray[np.str_] = rng.choice(np.array(AUGMIX), (n, depth))
    length = rng.integers(1, depth + 1, (n, 1))
    operations[np.arange(depth)[None] >= length] = ""
    sizes = rng.uniform(0.1, severity, (n, depth)) / 10
    return Steps(operations, signed(operations, sizes, rng))


def jensen_shannon(logits: Tensor, logits1: Tensor, logits2: Tensor) -> Tensor:
    """Jensen-Shannon divergence of three predictions for the same images.

    Parameters
    ----------
    logits, logits1, logits2 : tensors (B, K)
        Logits for the image and for its two AugMix views.

    Returns
    -------
    scalar tensor
        Mean over the batch, in nats, from 0 (all equal) to log 3. The policy's `consistency` is its
        weight relative to the cross-entropy of the image itself.
    """
    logs = [F.log_softmax(each, dim=1) for each in (logits, logits1, logits2)]
    mean = torch.logsumexp(torch.stack(logs), dim=0) - np.log(3)
    parts = [F.kl_div(mean, each, reduction="batchmean", log_target=True) for each in logs]
    return torch.stack(parts).mean()
