"""Two images in one: Mixup (Zhang 2018) blends them, CutMix (Yun 2019) pastes a box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.augment.placing import placed
from headstart.augment.warping import Array


@dataclass(frozen=True)
class Mix:
    """Pairs of images to mix."""

    partner: NDArray[np.int64]  # (n,); row of the other image
    weight: Array  # (n,) in [0, 1]; weight of the image itself, in the image and in the target
    # (n, 4); CutMix: top, left, bottom, right of the pasted box in pixels; None for Mixup
    boxes: NDArray[np.int64] | None = None

    def images(self, images: Tensor) -> Tensor:
        """The mixed images of float32 images (n, 3, S, S)."""
        return self.join(images, images[placed(self.partner, images, torch.int64)])

    def join(self, images: Tensor, others: Tensor) -> Tensor:
        """Mix images with their partners, which may be overwritten."""
        if self.boxes is None:
            weight = placed(self.weight, images)
            return others.lerp_(images, weight.view(-1, 1, 1, 1))
        mixed = images.clone()
        for row, (top, left, bottom, right) in enumerate(self.boxes):
            box = slice(top, bottom), slice(left, right)
            mixed[row, :, *box] = others[row, :, *box]
        return mixed

    def of(self, rows: NDArray[np.int64] | slice) -> Mix:
        """The pairs of some of the images, for `join`."""
        boxes = None if self.boxes is None else self.boxes[rows]
        return Mix(self.partner[rows], self.weight[rows], boxes)

    def targets(self, targets: Tensor) -> Tensor:
        """The mixed targets of float32 targets (n, K)."""
        others = targets[placed(self.partner, targets, torch.int64)]
        weight = placed(self.weight, targets)
        return torch.lerp(others, targets, weight.view(-1, 1))


def draw_mixup(n: int, *, alpha: float, rng: np.random.Generator) -> Mix:
    """Random partners with weights from Beta(alpha, alpha), one per image.

    The larger of the weight and its complement is used, so an image keeps the larger part of itself.
    (The authors' code draws one weight per batch.)
    """
    weight = rng.beta(alpha, alpha, n)
    return Mix(_partners(n, rng), np.maximum(weight, 1 - weight))


def draw_cutmix(n: int, size_px: int, *, alpha: float, rng: np.random.Generator) -> Mix:
    """Boxes with the image's aspect ratio, uniformly placed and clipped at the edges.

    As in the paper's code, the weight is 1 minus the area of the clipped box.
    """
    side = np.sqrt(1 - rng.beta(alpha, alpha, n)) * size_px
    middle = rng.uniform(0, size_px, (n, 2))
    first = np.rint((middle - side[:, None] / 2).clip(0, size_px)).astype(np.int64)
    last = np.rint((middle + side[:, None] / 2).clip(0, size_px)).astype(np.int64)
    area = (last - first).prod(1)
    return Mix(_partners(n, rng), 1 - area / size_px**2, np.concatenate([first, last], 1))


def _partners(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The next image in a random cyclic order, so that none is its own partner if n > 1."""
    order = rng.permutation(n)
    partner = np.empty(n, dtype=np.int64)
    partner[order] = np.roll(order, -1)
    return partner
