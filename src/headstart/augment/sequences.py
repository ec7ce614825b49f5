"""Policies that apply operations one after another: RandAugment and learnt ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headstart.augment.operations import apply_layer
from headstart.augment.subpolicies import OPERATIONS, SIGNED, WITHOUT_STRENGTH, SubPolicy
from headstart.augment.warping import Array

IDENTITY = "identity"
RANDAUGMENT = (IDENTITY, *(name for name in OPERATIONS if name != "invert"))
"""The 14 operations of RandAugment."""


@dataclass(frozen=True)
class Steps:
    """The operation of each image at each step, and its strength."""

    operations: NDArray[np.str_]  # (n, n_steps); names; ``""`` and ``"identity"`` mean none
    strengths: Array  # (n, n_steps) in [-1, 1]

    def __call__(self, images: Tensor) -> Tensor:
        """Apply all steps to float32 images (n, 3, S, S) in [0, 1]."""
        for step in range(self.operations.shape[1]):
            images = apply_layer(images, list(self.operations[:, step]), self.strengths[:, step])
        return images

    def of(self, rows: NDArray[np.int64] | slice) -> Steps:
        """The steps of some of the images."""
        return Steps(self.operations[rows], self.strengths[rows])

    def part(self, row: int, step: int) -> Steps:
        """One step of one image."""
        here = slice(row, row + 1), slice(step, step + 1)
        return Steps(self.operations[here], self.strengths[here])

    def words(self, row: int) -> list[str]:
        """The steps of one image as text, such as ``"rotate -0.30"``, without those that do nothing."""
        pairs = zip(self.operations[row], self.strengths[row], strict=True)
        return [
            _said(str(name), strength) for name, strength in pairs if name not in ("", IDENTITY)
        ]


def _said(name: str, strength: float) -> str:
    if name in WITHOUT_STRENGTH:
        return name
    return f"{name} {strength:+.2f}" if name in SIGNED else f"{name} {strength:.2f}"


def signed(operations: NDArray[np.str_], sizes: Array, rng: np.random.Generator) -> Array:
    """`sizes` with random signs for signed operations."""
    signs = np.where(rng.random(sizes.shape) < 0.5, -1.0, 1.0)
    return np.where(np.isin(operations, list(SIGNED)), sizes * signs, sizes)


def draw_randaugment(n: int, *, n_ops: int, magnitude: float, rng: np.random.Generator) -> Steps:
    """RandAugment (Cubuk 2020): `n_ops` uniformly drawn operations, all with strength magnitude / 30."""
    operations = rng.choice(np.array(RANDAUGMENT), (n, n_ops))
    return Steps(operations, signed(operations, np.full((n, n_ops), magnitude / 30), rng))


def draw_learnt(n: int, sub_policies: Sequence[SubPolicy], *, rng: np.random.Generator) -> Steps:
    """Draw a sub-policy for each image, and in each step a choice, applied with its probability."""
    n_steps = max(len(sub) for sub in sub_policies)
    operations = np.full((n, n_steps), "", dtype="<U16")
    sizes = np.zeros((n, n_steps))
    picks = rng.integers(len(sub_policies), size=n)
    luck = rng.random((n, n_steps, 2))
    for row, pick in enumerate(picks):
        for column, step in enumerate(sub_policies[pick]):
            reached = np.cumsum([choice.weight for choice in step])
            at = int(np.searchsorted(reached, luck[row, column, 0] * reached[-1], side="right"))
            choice = step[min(at, len(step) - 1)]
            if luck[row, column, 1] < choice.probability:
                operations[row, column] = choice.operation
                sizes[row, column] = choice.magnitude
    return Steps(operations, signed(operations, sizes, rng))
