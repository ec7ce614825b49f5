"""An image that shows what a policy does: originals, draws, and the operations of each draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from headstart.augment.basic import centre_crop, vary
from headstart.augment.batch import draw_mix, draw_steps, draw_views
from headstart.augment.contact import Cell, Row, draw_rows
from headstart.augment.mixing import Mix
from headstart.augment.policy import Policy
from headstart.augment.random import numbers
from headstart.errors import InputError


@torch.no_grad()
def preview_grid(
    policy: Policy,
    images: Tensor,
    names: Sequence[str],
    *,
    n_draws: int = 5,
    size_px: int = 160,
    seed: int = 0,
) -> Image.Image:
    """One row per image: the original, then draws with captions of the operations.

    Parameters
    ----------
    policy : Policy
    images : uint8 tensor (n, 3, R, R)
        At least two for Mixup and CutMix, which mix them with each other.
    names : sequence of n str
        Classes, for captions.
    n_draws : int >= 1
        AugMix shows one draw per image instead, step by step.
    size_px : int
        Side of an image in pixels.
    seed : int

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    InputError
        No images, or `n_draws` below 1.
    """
    if not len(images) or n_draws < 1:
        raise InputError(f"a preview needs images and draws; got {len(images)} and {n_draws}")
    rng = numbers(torch.Generator().manual_seed(seed))
    originals = centre_crop(images, size_px)
    if policy.name == "augmix":
        return draw_rows(_chain_rows(policy, images, originals, names, size_px, rng))
    rows = [Row([Cell(picture, [name])]) for picture, name in zip(originals, names, strict=True)]
    for _ in range(n_draws):
        varied = originals if policy.name == "none" else vary(images, policy, size_px, rng)
        for row, cell in zip(rows, _draw(policy, varied, names, rng), strict=True):
            row.cells.append(cell)
    return draw_rows(rows)


def _draw(
    policy: Policy, varied: Tensor, names: Sequence[str], rng: np.random.Generator
) -> list[Cell]:
    """One draw of every image."""
    if policy.name in ("mixup", "cutmix"):
        mix = draw_mix(policy, len(varied), varied.shape[-1], rng)
        if mix is None:
            return [Cell(picture, ["not mixed"]) for picture in varied]
        return _mixed(mix, varied, names)
    steps = draw_steps(policy, len(varied), rng)
    if steps is None:
        return [Cell(picture, []) for picture in varied]
    return [
        Cell(picture, steps.words(row) or ["nothing more"])
        for row, picture in enumerate(steps(varied))
    ]


def _mixed(mix: Mix, varied: Tensor, names: Sequence[str]) -> list[Cell]:
    return [
        Cell(
            picture,
            [
                f"{weight:.2f} {names[row]} (row {row + 1})",
                f"{1 - weight:.2f} {names[other]} (row {other + 1})",
            ],
            inset=varied[other] if mix.boxes is None else None,
        )
        for row, (picture, other, weight) in enumerate(
            zip(mix.images(varied), mix.partner, mix.weight, strict=True)
        )
    ]


def _chain_rows(
    policy: Policy,
    images: Tensor,
    originals: Tensor,
    names: Sequence[str],
    size_px: int,
    rng: np.random.Generator,
) -> list[Row]:
    """As in figure 4 of the paper: one row per chain, step by step, and the mix on the right."""
    varied = vary(images, policy, size_px, rng)
    chains = draw_views(policy, len(images), rng)
    mixed = chains(varied)
    rows: list[Row] = []
    for image, name in enumerate(names):
        for chain, steps in enumerate(chains.steps):
            first = chain == 0
            row = Row([Cell(originals[image], [name]), Cell(varied[image], ["basic"])])
            if not first:
                row = Row([None, None])
            picture = varied[image : image + 1]
            for step in range(policy.depth):
                one = steps.part(image, step)
                picture = one(picture)
                words = one.words(0)
                row.cells.append(Cell(picture[0], words) if words else None)
            weight = chains.weights[image, chain]
            row.notes = [f"chain {chain + 1}", f"weight {weight:.2f}"]
            share = chains.blend[image]
            if first:
                row.last = Cell(
                    mixed[image], [f"{share:.2f} of the chains", f"{1 - share:.2f} of basic"]
                )
            row.begins_group = first
            rows.append(row)
    return rows
