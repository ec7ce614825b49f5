"""``headstart kernels``: kernels, filters and feature maps of one image, and their page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from headstart.course.kernels.correlation import Variant, explain_formula, explain_size, variants
from headstart.course.kernels.filters import feature_maps, first_filters
from headstart.course.kernels.gallery import EDGES, Kernel
from headstart.course.kernels.sheets import (
    filter_sheet,
    kernel_sheet,
    map_sheet,
    picture_pixels,
    variant_sheet,
)
from headstart.results import Result
from headstart.runs.report.pages import Section, Table

if TYPE_CHECKING:
    from PIL import Image

    from headstart.backbones import Backbone


class UsedKernel(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel by name, as `parse_kernel` reads it, and as it is applied."""

    name: str
    typed: str
    weights: list[list[float]]


class ShownFilters(msgspec.Struct, frozen=True, kw_only=True):
    """The first filters of a backbone: `n` of side x side pixels."""

    backbone: str
    layer: str
    n: int
    side: int
    stride: int


class ShownMaps(msgspec.Struct, frozen=True, kw_only=True):
    """Some feature maps at a tap: the numbers of `channels` among all `n_channels`."""

    backbone: str
    tap: str
    n_channels: int
    height: int
    width: int
    channels: list[int]


class KernelsResult(Result, frozen=True, kw_only=True, tag="kernels"):
    """What `measure` returns; `size_px` is (width, height)."""

    image: str
    size_px: tuple[int, int]
    stride: int
    padding: str
    dilation: int
    kernels: list[UsedKernel]
    shown_kernel: str
    variants: list[Variant]
    filters: ShownFilters | None = None
    maps: ShownMaps | None = None


def measure(
    image: Image.Image,
    name: str,
    kernels: Sequence[Kernel],
    *,
    stride: int = 1,
    padding: str = "zeros",
    dilation: int = 1,
    size_px: int = 256,
    backbone: Backbone | None = None,
    has_filters: bool = False,
    tap: str | None = None,
    n_maps: int = 23,
) -> tuple[KernelsResult, dict[str, bytes]]:
    """Apply kernels, and optionally the layers of a backbone, to an image.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB.
    stride, padding, dilation
        As for `correlate`.
    size_px : int
        Larger images are reduced to this longer side.
    backbone : Backbone, optional
        For its first filters (`has_filters`) and its feature maps at `tap`.
    n_maps : int
        Number of feature maps.

    Returns
    -------
    result : KernelsResult
    pictures : dict of str to bytes
        PNGs called ``kernels``, ``variants`` and, if asked for, ``filters`` and ``maps``.
    """
    picture = picture_pixels(image, size_px)
    height, width = picture.shape[:2]
    side = kernels[0].side
    pictures = {
        "kernels": kernel_sheet(picture, kernels, stride=stride, padding=padding, dilation=dilation)
    }
    shown = kernels[0] if len(kernels) == 1 else EDGES
    varied = variants(width, height, shown.side)
    pictures["variants"] = variant_sheet(picture, shown, varied)
    filters = maps = None
    if backbone is not None and has_filters:
        filters, pictures["filters"] = _filters_of(backbone)
    if backbone is not None and tap is not None:
        maps, pictures["maps"] = _maps_of(backbone, image, tap, n_maps)
    result = KernelsResult(
        sentence=explain_size(
            width, height, side, stride=stride, padding=padding, dilation=dilation
        ),
        detail=explain_formula(width, side, stride=stride, padding=padding, dilation=dilation),
        image=name,
        size_px=(width, height),
        stride=stride,
        padding=padding,
        dilation=dilation,
        kernels=[
            UsedKernel(name=k.name, typed=k.typed(), weights=[list(row) for row in k.weights])
            for k in kernels
        ],
        shown_kernel=shown.name,
        variants=varied,
        filters=filters,
        maps=maps,
    )
    return result, pictures


def _filters_of(backbone: Backbone) -> tuple[ShownFilters, bytes]:
    first = first_filters(backbone)
    n, side = first.weights.shape[:2]
    shown = ShownFilters(
        backbone=backbone.name, layer=first.layer, n=n, side=side, stride=first.stride
    )
    return shown, filter_sheet(first)


def _maps_of(
    backbone: Backbone, image: Image.Image, tap: str, n_maps: int
) -> tuple[ShownMaps, bytes]:
    maps = feature_maps(backbone, image, tap, n_maps)
    shown = ShownMaps(
        backbone=backbone.name,
        tap=tap,
        n_channels=maps.n_channels,
        height=maps.maps.shape[1],
        width=maps.maps.shape[2],
        channels=maps.channels.tolist(),
    )
    return shown, map_sheet(maps)


def page(found: KernelsResult, pictures: Mapping[str, bytes]) -> list[Section]:
    """A section for each picture."""
    sections = [_kernels(found, pictures["kernels"]), _variants(found, pictures["variants"])]
    if found.filters is not None:
        sections.append(_filters(found.filters, pictures["filters"]))
    if found.maps is not None:
        sections.append(_maps(found.maps, pictures["maps"]))
    return sections


def _kernels(found: KernelsResult, picture: bytes) -> Section:
    return Section(
        heading="Kernels",
        text=[
            (
                "At every position the kernel's numbers are multiplied by the pixels below them, and the "
                "products are summed: that is one pixel of the result. Networks apply the kernel as it is "
                "written (correlation); convolution in mathematics rotates it by 180 degrees first."
            ),
            (
                "If the numbers sum to one, plain areas keep their brightness: blur, sharpen, emboss. If "
                "they sum to zero, plain areas become black and edges remain; the absolute value of the "
                "result is shown, scaled by the factor given."
            ),
        ],
        image=picture,
        caption=f"{found.image} and the results, each with its kernel below.",
        table=Table(header=("kernel", "as text"), rows=[(k.name, k.typed) for k in found.kernels]),
    )


def _variants(found: KernelsResult, picture: bytes) -> Section:
    rows = [
        (
            f"stride {v.stride}, {v.padding}, dilation {v.dilation}",
            f"{v.width} × {v.height}",
            v.formula,
        )
        for v in found.variants
    ]
    return Section(
        heading="Stride, padding, dilation",
        text=[
            (
                "The stride s is the step from one position to the next: 2 halves both sides. Padding adds "
                "p pixels around the image, so that the kernel also covers the border; without it the "
                "result is smaller by k − 1. Dilation d spaces the k numbers of a row d pixels apart: the "
                "kernel covers more with no more numbers. A side of n pixels becomes "
                "⌊(n + 2p − d(k − 1) − 1) / s⌋ + 1."
            )
        ],
        image=picture,
        caption=f"The kernel “{found.shown_kernel}”, pixel for pixel.",
        table=Table(header=("setting", "result, px", "width by the formula"), rows=rows),
    )


def _filters(shown: ShownFilters, picture: bytes) -> Section:
    return Section(
        heading=f"First filters of {shown.backbone}",
        text=[
            (
                f"These were learnt: layer {shown.layer} has {shown.n} filters of {shown.side} × "
                f"{shown.side} pixels by three colours, applied with stride {shown.stride}. Grey is zero; "
                "each is scaled to its own largest number."
            )
        ],
        image=picture,
        caption=f"The {shown.n} filters of {shown.layer}, numbered.",
    )


def _maps(shown: ShownMaps, picture: bytes) -> Section:
    n = len(shown.channels)
    return Section(
        heading=f"Feature maps at {shown.tap}",
        text=[
            (
                f"{shown.backbone}, layer {shown.tap}: {shown.n_channels:,} maps of {shown.width} × "
                f"{shown.height} positions. Shown are the {n} that vary most over the image, each scaled "
                "from its minimum to its maximum."
            )
        ],
        image=picture,
        caption=f"The crop that the network receives, and {n} of its maps.",
    )
