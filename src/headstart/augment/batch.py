"""From a batch of decoded images to the inputs of a training step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.augment.augmix import Chains, draw_chains
from headstart.augment.basic import centre_crop, draw_variation
from headstart.augment.mixing import Mix, draw_cutmix, draw_mixup
from headstart.augment.placing import placed
from headstart.augment.policy import Policy
from headstart.augment.random import numbers
from headstart.augment.sequences import Steps, draw_learnt, draw_randaugment
from headstart.errors import InputError


@dataclass(frozen=True)
class Augmented:
    """A batch to train on.

    Attributes
    ----------
    images : float32 tensor (B, 3, S, S) in [0, 1]
    targets : float32 tensor (B, K)
        Rows sum to 1, or to the weights of their images; one value per row if nothing was mixed.
    views : tuple of 0 or 2 tensors like `images`
        AugMix: two further views for `jensen_shannon`.
    """

    images: Tensor
    targets: Tensor
    views: tuple[Tensor, ...] = ()


@torch.no_grad()
def augment_batch(
    policy: Policy,
    images: Tensor,
    labels: Tensor,
    *,
    n_classes: int,
    size_px: int,
    generator: torch.Generator,
    rows: Tensor | None = None,
    weights: Tensor | None = None,
) -> Augmented:
    """Augment a batch according to a policy.

    Parameters
    ----------
    policy : Policy
    images : tensor (B, 3, R, R), uint8, or float32 in [0, 1]
        Decoded images, larger than the result to allow cropping.
    labels : int64 tensor (B,)
        In ``0 .. n_classes - 1``.
    n_classes : int
    size_px : int
        Side of the result in pixels, at most R.
    generator : torch.Generator
        On the CPU, whatever the device of the images; one number is drawn from it per batch, so the
        same state gives the same batch.
    rows : int64 tensor (n,), optional
        Return only these rows, each equal to that in the whole batch.
    weights : float32 tensor (B,), optional
        What the target of each image is multiplied by, before any are mixed.

    Returns
    -------
    Augmented
        On the device of `images`.

    Raises
    ------
    InputError
        The images are smaller than `size_px` or not of the shape above, or a label is out of range.
    """
    levels = _checked(images, labels, n_classes, size_px)
    rng = numbers(generator)
    n = len(levels)
    own = slice(None) if rows is None else rows.cpu().numpy()
    targets = placed(F.one_hot(labels.cpu(), n_classes).numpy(), levels, torch.float32)
    if weights is not None:
        targets = targets * placed(weights.cpu().numpy(), levels, torch.float32)[:, None]
    if policy.name == "none":
        return Augmented(centre_crop(levels[own], size_px), targets[own])
    variation = draw_variation(n, policy, rng)
    if policy.name in ("mixup", "cutmix"):
        mix = draw_mix(policy, n, size_px, rng)
        if mix is not None:
            # Each image is varied once, even if it is also the partner of others.
            pairs = np.stack([np.arange(n), mix.partner])[:, own]
            needed, place = np.unique(pairs, return_inverse=True)
            chosen, first, second = (
                placed(i, levels, torch.int64) for i in (needed, *place.reshape(2, -1))
            )
            varied = variation.of(needed)(levels[chosen], size_px)
            images_mixed = mix.of(own).join(varied[first], varied[second])
            return Augmented(images_mixed, mix.targets(targets)[own])
    varied = variation.of(own)(levels[own], size_px)
    if policy.name == "augmix":
        views = [draw_views(policy, n, rng).of(own)(varied) for _ in range(2)]
        return Augmented(varied, targets[own], tuple(views))
    steps = draw_steps(policy, n, rng)
    return Augmented(varied if steps is None else steps.of(own)(varied), targets[own])


def draw_mix(policy: Policy, n: int, size_px: int, rng: np.random.Generator) -> Mix | None:
    """The pairs of Mixup or CutMix; None for batches that are not mixed."""
    if rng.random() >= policy.probability:
        return None
    if policy.name == "mixup":
        return draw_mixup(n, alpha=policy.alpha, rng=rng)
    return draw_cutmix(n, size_px, alpha=policy.alpha, rng=rng)


def draw_views(policy: Policy, n: int, rng: np.random.Generator) -> Chains:
    """The chains of one AugMix view."""
    return draw_chains(
        n,
        width=policy.width,
        depth=policy.depth,
        severity=policy.severity,
        alpha=policy.alpha,
        rng=rng,
    )


def draw_steps(policy: Policy, n: int, rng: np.random.Generator) -> Steps | None:
    """The operations of RandAugment or a learnt policy; None for other policies."""
    if policy.name == "randaugment":
        return draw_randaugment(n, n_ops=policy.n_ops, magnitude=policy.magnitude, rng=rng)
    if policy.name == "learnt":
        return draw_learnt(n, policy.sub_policies, rng=rng)
    return None


def _checked(images: Tensor, labels: Tensor, n_classes: int, size_px: int) -> Tensor:
    """The images on the scale 0 to 255."""
    if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < size_px:
        raise InputError(
            f"a batch to augment must be (B, 3, R, R) with R at least {size_px} (size_px); "
            f"got {tuple(images.shape)}"
        )
    if len(labels) != len(images) or (
        len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < n_classes
    ):
        raise InputError(
            f"labels must be one per image from 0 to {n_classes - 1}; got {len(labels)} labels for "
            f"{len(images)} images"
        )
    return images if images.dtype == torch.uint8 else images * 255
