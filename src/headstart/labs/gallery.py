"""Augmentation as pictures: basic, AugMix chain by chain, Mixup with its soft labels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from headstart.augment import Policy, augment_batch, parse_policy, preview_grid
from headstart.augment.contact import Cell, Row, draw_rows
from headstart.augment.mixing import Mix
from headstart.errors import DataError
from headstart.labs.spread import over_seeds, triple
from headstart.labs.training import one_thread
from headstart.progress import Progress, silent

LAMBDAS = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
POLICIES = ("basic", "augmix", "mixup:alpha=1")
# Images are read larger than the crops, so that there is something to crop.
MARGIN = 1.15
N_SHOWN = 2


def draw_gallery(
    images: Tensor,
    names: Sequence[str],
    seeds: Sequence[int],
    *,
    data: str,
    size_px: int = 150,
    progress: Progress = silent,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Pictures of three policies, and how far each moves a pixel.

    Parameters
    ----------
    images : uint8 tensor (n, 3, R, R)
        Two at least, of two classes for Mixup's labels to differ.
    names : sequence of n str
        Class of each.
    seeds : sequence of int
        The first draws the pictures; all draw the views that are measured.
    data : str
        What to call the images.
    size_px : int
        Side of a picture.
    progress : Progress

    Returns
    -------
    found : dict
        JSON-ready figures, with a ``sentence``.
    pictures : dict of str to bytes
        PNG files by name: ``basic``, ``augmix``, ``mixup``.

    Raises
    ------
    DataError
        Fewer than two images.
    """
    if len(images) < 2:
        raise DataError(f"Mixup needs two images at least; {data} has {len(images)}")
    pictures = {}
    with one_thread():
        for i, text in enumerate(("basic", "augmix")):
            sheet = preview_grid(
                parse_policy(text),
                images[:N_SHOWN],
                names[:N_SHOWN],
                n_draws=5,
                size_px=size_px,
                seed=seeds[0],
            )
            pictures[text] = _png(sheet)
            progress("draw", i + 1, 3)
        sheet, targets = mixup_row(images[:2], names[:2], LAMBDAS, size_px=size_px)
        pictures["mixup"] = _png(sheet)
        progress("draw", 3, 3)
        moved = {text: _moved(parse_policy(text), images, names, seeds) for text in POLICIES}
    found = {
        "data": data,
        "seeds": list(seeds),
        "classes": list(dict.fromkeys(names)),
        "lambdas": list(LAMBDAS),
        "soft_labels": targets,
        "pixel_change": {text: triple(over_seeds(moved[text])) for text in POLICIES},
    }
    return {"sentence": _sentence(found), "detail": _detail(found, names), **found}, pictures


def mixup_row(
    images: Tensor, names: Sequence[str], lambdas: Sequence[float], *, size_px: int
) -> tuple[Image.Image, list[list[float]]]:
    """Two images mixed at several weights, with the label that each mix is trained on.

    Parameters
    ----------
    images : uint8 tensor (2, 3, R, R)
    names : sequence of 2 str
    lambdas : sequence of float in [0, 1]
        Weight of the first image.
    size_px : int

    Returns
    -------
    picture : PIL.Image.Image
    targets : list of [weight of the first class, weight of the second]
    """
    levels = torch.nn.functional.interpolate(
        images.float() / 255, size=(size_px, size_px), mode="bilinear", antialias=True
    ).clamp(0, 1)
    row, targets = Row([]), []
    for weight in lambdas:
        mix = Mix(np.array([1, 0]), np.array([weight, 1 - weight]))
        target = [float(v) for v in mix.targets(torch.eye(2))[0]]
        row.cells.append(
            Cell(
                mix.images(levels)[0],
                [
                    f"lambda = {weight:.1f}",
                    *(f"{t:.1f} {n}" for t, n in zip(target, names, strict=True)),
                ],
            )
        )
        targets.append([round(t, 6) for t in target])
    return draw_rows([row]), targets


def _moved(
    policy: Policy, images: Tensor, names: Sequence[str], seeds: Sequence[int]
) -> list[float]:
    """Mean change of a pixel by what the policy adds to the basic view, in [0, 1], a seed each.

    For basic itself, the change against the centre crop.
    """
    classes = list(dict.fromkeys(names))
    labels = torch.tensor([classes.index(name) for name in names])
    size_px = int(images.shape[-1] / MARGIN)

    def views(which: Policy, seed: int) -> Any:
        generator = torch.Generator().manual_seed(seed)
        return augment_batch(
            which, images, labels, n_classes=len(classes), size_px=size_px, generator=generator
        )

    changes = []
    for seed in seeds:
        # The basic part is drawn first and so is the same for every policy with the same seed.
        start = parse_policy("none" if policy.name == "basic" else "basic")
        before, after = views(start, seed).images, views(policy, seed)
        shown = after.views[0] if after.views else after.images
        changes.append(float((shown - before).abs().mean()))
    return changes


def _png(picture: Image.Image) -> bytes:
    payload = io.BytesIO()
    picture.save(payload, "PNG", optimize=True)
    return payload.getvalue()


def _sentence(found: dict[str, Any]) -> str:
    basic, augmix, mixup = (
        f"{100 * (found['pixel_change'][text][0] or 0.0):.0f} %" for text in POLICIES
    )
    return (
        f"Basic augmentation changes a pixel by {basic} of the range on average; AugMix adds "
        f"{augmix}, Mixup {mixup}."
    )


def _detail(found: dict[str, Any], names: Sequence[str]) -> str:
    def share(three: Sequence[float | None]) -> str:
        value, low, high = (100 * (v or 0.0) for v in three)
        return f"{value:.1f} [{low:.1f}, {high:.1f}] %"

    basic, augmix, mixup = (share(found["pixel_change"][text]) for text in POLICIES)
    labels = found["soft_labels"]
    middle = next((t for t in labels if 0.5 < t[0] < 1), labels[0])
    return (
        f"With 95 % intervals over the seeds: basic {basic}, AugMix {augmix}, Mixup {mixup}. AugMix "
        f"keeps the label; Mixup makes it soft, such as {middle[0]:.1f} {names[0]} and "
        f"{middle[1]:.1f} {names[1]}."
    )


def sample_photographs(side_px: int) -> tuple[Tensor, list[str]]:
    """The two photographs that come with scikit-learn: a temple and a flower.

    Returns
    -------
    images : uint8 tensor (2, 3, side_px, side_px)
    names : list of str
    """
    from sklearn.datasets import load_sample_image

    files = (("temple", "china.jpg"), ("flower", "flower.jpg"))
    squares = [as_square(Image.fromarray(load_sample_image(file)), side_px) for _, file in files]
    return torch.stack(squares), [name for name, _ in files]


def as_square(image: Image.Image, side_px: int) -> Tensor:
    """The largest centre square, resized: uint8 tensor (3, side_px, side_px)."""
    from PIL import ImageOps

    square = ImageOps.fit(image, (side_px, side_px), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def read_photographs(
    data: str | None, side_px: int, *, seed: int, progress: Progress = silent
) -> tuple[Tensor, list[str], str]:
    """One image of each of up to six classes of a data set, or the sample photographs.

    Returns
    -------
    images : uint8 tensor (n, 3, side_px, side_px)
    names : list of str
        Their classes.
    data : str
        What to call them.
    """
    if data is None:
        return *sample_photographs(side_px), "scikit-learn's two photographs"
    from pathlib import Path

    from headstart.data import index, read_rgb
    from headstart.features import cache_folder

    indexed = index(data, seed=seed, cache=cache_folder(), progress=progress)
    order = np.random.default_rng(seed).permutation(len(indexed))
    first: dict[str, Any] = {}
    for i in order:
        first.setdefault(indexed.records[i].label, indexed.records[i])
    chosen = list(first.values())[:6]
    images = [as_square(read_rgb(r.path, at_least=side_px), side_px) for r in chosen]
    return torch.stack(images), [r.label for r in chosen], Path(data).name or "data"
