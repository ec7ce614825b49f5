"""``lab augmentation``: basic, AugMix chain by chain, and Mixup with its soft labels, as pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from headstart import plots
from headstart.augment import Policy, augment_batch, parse_policy, preview_grid
from headstart.augment.contact import Cell, Row, draw_rows
from headstart.augment.mixing import Mix
from headstart.augment.searching import one_thread
from headstart.course.labs.spread import over_seeds
from headstart.errors import DataError
from headstart.progress import Progress, silent
from headstart.results import Interval, Result
from headstart.runs.report.pages import Section

LAMBDAS = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
POLICIES = {"basic": "basic", "augmix": "AugMix", "mixup:alpha=1": "Mixup, α = 1"}
# Images are read larger than the crops, so that there is something to crop.
MARGIN = 1.15
N_SHOWN = 2
MAX_CLASSES = 6


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """One image per class."""

    # uint8 (n, 3, R, R); read `MARGIN` times larger than `size_px`, the side of the pictures
    images: Tensor
    classes: tuple[str, ...]
    name: str  # name of the data in sentences
    size_px: int


class AugmentationResult(Result, frozen=True, kw_only=True, tag="lab-augmentation"):
    """What `measure` returns."""

    data: str
    seeds: list[int]
    classes: list[str]
    lambdas: list[float]
    soft_labels: list[list[float]]  # one for each of `lambdas`
    # policy to Interval; mean change of a pixel, as a share of its range
    pixel_change: dict[str, Interval]


def read(data: str | None, *, size_px: int, seed: int, progress: Progress = silent) -> Photographs:
    """One image of each of up to six classes of a data set, or scikit-learn's two photographs."""
    side = round(size_px * MARGIN)
    if data is None:
        images, classes = sample_photographs(side)
        name = "scikit-learn's two photographs"
        return Photographs(images=images, classes=classes, name=name, size_px=size_px)
    from headstart.data import index, read_rgb
    from headstart.features import cache_folder

    indexed = index(data, seed=seed, cache=cache_folder(), progress=progress)
    first: dict[str, Any] = {}
    for i in np.random.default_rng(seed).permutation(len(indexed)):
        first.setdefault(indexed.records[i].label, indexed.records[i])
    chosen = list(first.values())[:MAX_CLASSES]
    return Photographs(
        images=torch.stack([_square(read_rgb(r.path, at_least=side), side) for r in chosen]),
        classes=tuple(r.label for r in chosen),
        name=Path(data).name or "data",
        size_px=size_px,
    )


def sample_photographs(side_px: int) -> tuple[Tensor, tuple[str, ...]]:
    """The two photographs that come with scikit-learn: a temple and a flower.

    Returns
    -------
    images : uint8 tensor (2, 3, side_px, side_px)
    classes : tuple of str
    """
    from sklearn.datasets import load_sample_image

    files = {"temple": "china.jpg", "flower": "flower.jpg"}
    images = [_square(Image.fromarray(load_sample_image(f)), side_px) for f in files.values()]
    return torch.stack(images), tuple(files)


def _square(image: Image.Image, side_px: int) -> Tensor:
    """The largest centre square, resized: uint8 tensor (3, side_px, side_px)."""
    square = ImageOps.fit(image, (side_px, side_px), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def measure(
    photographs: Photographs, seeds: Sequence[int], *, progress: Progress = silent
) -> AugmentationResult:
    """Measure how far each policy moves a pixel.

    Raises DataError where there are fewer than two photographs.
    """
    names = photographs.classes
    if len(names) < 2:
        raise DataError(f"Mixup needs at least two images; {photographs.name} has {len(names)}")
    changes = {}
    with one_thread():
        for i, policy in enumerate(POLICIES, 1):
            changes[policy] = over_seeds(_moved(parse_policy(policy), photographs, seeds))
            progress("draw", i, len(POLICIES))
    labels = [[round(t, 6) for t in mixup_target(weight)] for weight in LAMBDAS]
    middle = next(t for t in labels if 0.5 < t[0] < 1)
    basic, augmix, mixup = (f"{100 * v.value:.0f} %" for v in changes.values())
    exact = [str(v) for v in changes.values()]
    return AugmentationResult(
        sentence=(
            f"Basic augmentation changes a pixel by {basic} of the range on average; AugMix adds "
            f"{augmix}, Mixup {mixup}."
        ),
        detail=(
            f"With 95 % intervals over the seeds: basic {exact[0]}, AugMix {exact[1]}, Mixup "
            f"{exact[2]}. AugMix keeps the label; Mixup makes it soft, such as {middle[0]:.1f} "
            f"{names[0]} and {middle[1]:.1f} {names[1]}."
        ),
        data=photographs.name,
        seeds=list(seeds),
        classes=list(dict.fromkeys(names)),
        lambdas=list(LAMBDAS),
        soft_labels=labels,
        pixel_change=changes,
    )


def _moved(policy: Policy, photographs: Photographs, seeds: Sequence[int]) -> list[float]:
    """Mean change of a pixel in [0, 1] by what the policy adds to the basic view, one per seed.

    For basic itself, the change from the centre crop.
    """
    labels = torch.arange(len(photographs.classes))
    # The basic part is drawn first, so with one seed it is the same for every policy.
    start = parse_policy("none" if policy.name == "basic" else "basic")

    def views(which: Policy, seed: int) -> Any:
        return augment_batch(
            which,
            photographs.images,
            labels,
            n_classes=len(labels),
            size_px=int(photographs.images.shape[-1] / MARGIN),
            generator=torch.Generator().manual_seed(seed),
        )

    changes = []
    for seed in seeds:
        before, after = views(start, seed).images, views(policy, seed)
        shown = after.views[0] if after.views else after.images
        changes.append(float((shown - before).abs().mean()))
    return changes


def _mix(weight: float) -> Mix:
    """Mixes the first of two images with the second."""
    return Mix(np.array([1, 0]), np.array([weight, 1 - weight]))


def mixup_target(weight: float) -> list[float]:
    """The soft label of two images mixed with `weight` for the first."""
    return [float(v) for v in _mix(weight).targets(torch.eye(2))[0]]


def mixup_row(
    images: Tensor, names: Sequence[str], lambdas: Sequence[float], *, size_px: int
) -> Image.Image:
    """Two images mixed with several weights, each with the label that a network is trained on.

    `images` (uint8 (2, 3, R, R)). `lambdas`: weights of the first image.
    """
    levels = torch.nn.functional.interpolate(
        images.float() / 255, size=(size_px, size_px), mode="bilinear", antialias=True
    ).clamp(0, 1)
    cells: list[Cell | None] = [
        Cell(
            _mix(weight).images(levels)[0],
            [
                f"lambda = {weight:.1f}",
                *(f"{t:.1f} {n}" for t, n in zip(mixup_target(weight), names, strict=True)),
            ],
        )
        for weight in lambdas
    ]
    return draw_rows([Row(cells)])


def page(found: AugmentationResult, photographs: Photographs) -> list[Section]:
    """The three pictures, and how far each policy moves a pixel."""
    rows = [
        plots.IntervalRow.of_shares(POLICIES[policy], list(interval))
        for policy, interval in found.pixel_change.items()
    ]
    images, names, size_px = photographs.images, photographs.classes, photographs.size_px

    def sheet(policy: str) -> bytes:
        return _png(
            preview_grid(
                parse_policy(policy),
                images[:N_SHOWN],
                names[:N_SHOWN],
                n_draws=5,
                size_px=size_px,
                seed=found.seeds[0],
            )
        )

    with one_thread():
        basic, augmix = sheet("basic"), sheet("augmix")
        mixup = _png(mixup_row(images[:2], names[:2], found.lambdas, size_px=size_px))
    return [
        Section(
            heading="Basic: crop, mirror, rotate, recolour",
            text=("What does not change the class: the position of the crop, the brightness.",),
            image=basic,
            caption="The original on the left, five draws beside it.",
        ),
        Section(
            heading="AugMix: chains, weights, mix",
            text=(
                (
                    "As in figure 4 of Hendrycks et al. (2020): each row is a chain of one to three "
                    "operations on the basic view; the chains are averaged with the weights on the right "
                    "(Dirichlet), and the average is blended with the view itself (Beta). Training also "
                    "requires that the predictions for the view and for two such mixes agree."
                ),
            ),
            image=augmix,
            caption="Chain by chain, with the mix on the right.",
        ),
        Section(
            heading="Mixup: two images and a soft label",
            text=(
                (
                    "λ of one image and 1 − λ of the other, in the picture and in the label (Zhang et al. "
                    "2018). In training λ is drawn from Beta(α, α) for each pair."
                ),
            ),
            image=mixup,
            caption="Below each mix, the label that a network is trained on.",
        ),
        Section(
            heading="How far each moves a pixel",
            text=(
                (
                    f"Mean change as a share of the pixel's range, {len(found.seeds)} seeds: basic against "
                    "the centre crop; AugMix and Mixup against the basic view that they start from."
                ),
            ),
            figure=plots.interval_plot(
                rows,
                name="change",
                title="Mean change of a pixel",
                description="; ".join(f"{r.label} {r.value:.1f} %" for r in rows),
                axis="mean change, % of the range",
                zero=True,
            ),
        ),
    ]


def _png(picture: Image.Image) -> bytes:
    payload = io.BytesIO()
    picture.save(payload, "PNG", optimize=True)
    return payload.getvalue()
