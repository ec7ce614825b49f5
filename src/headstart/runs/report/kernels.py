"""Kernels, filters and feature maps as a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.runs.report.pages import Section, Table, write_page


def write_kernels(folder: Path, found: Mapping[str, Any], pictures: Mapping[str, bytes]) -> Path:
    """Write ``kernels.html``, ``.md``, ``.json`` and the pictures as PNG files.

    Parameters
    ----------
    folder : Path
    found : mapping
        ``image``, ``sentence``, ``kernels`` (name, rows, divisor), ``variants`` (stride, padding,
        dilation, sentence), and where asked for ``filters`` and ``maps``.
    pictures : mapping of str to bytes
        PNGs called ``kernels``, ``variants``, ``filters`` and ``maps``.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    sections = [_kernels(found, pictures["kernels"]), _variants(found, pictures["variants"])]
    if "filters" in pictures:
        sections.append(_filters(found["filters"], pictures["filters"]))
    if "maps" in pictures:
        sections.append(_maps(found["maps"], pictures["maps"]))
    return write_page(
        folder,
        "kernels",
        title=f"Convolution: {found['image']}",
        sentence=found["sentence"],
        detail=found["detail"],
        sections=sections,
        found=found,
    )


def _kernels(found: Mapping[str, Any], picture: bytes) -> Section:
    return Section(
        heading="Kernels",
        text=[
            (
                "At every place the kernel is laid on the picture, its numbers are multiplied with the "
                "pixels below, and the products are added up: that is one pixel of the result. "
                "Networks lay the kernel on as it is written (correlation); a mathematician's "
                "convolution turns it by half a turn first."
            ),
            (
                "Numbers that sum to one keep plain areas as bright as they are: blur, sharpen, emboss. "
                "Numbers that sum to zero make plain areas black and leave the edges; of those the size "
                "is shown, whatever its sign, multiplied as written."
            ),
        ],
        image=picture,
        caption=f"{found['image']} and what comes of it, each kernel printed below its result.",
        table=Table(
            header=("kernel", "as text"),
            rows=[(k["name"], k["typed"]) for k in found["kernels"]],
        ),
    )


def _variants(found: Mapping[str, Any], picture: bytes) -> Section:
    rows = [
        (
            f"stride {v['stride']}, {v['padding']}, dilation {v['dilation']}",
            f"{v['width']} × {v['height']}",
            v["formula"],
        )
        for v in found["variants"]
    ]
    return Section(
        heading="Stride, padding, dilation",
        text=[
            (
                "The stride s is the step from one place to the next: 2 halves both sides. Padding p "
                "puts pixels around the picture, so that the kernel has something to stand on at the "
                "border; without it the result is smaller by k − 1. Dilation d puts the k numbers of a "
                "row d pixels apart: the kernel sees further with no more numbers. A side of n pixels "
                "becomes ⌊(n + 2p − d(k − 1) − 1) / s⌋ + 1."
            ),
        ],
        image=picture,
        caption=f"The kernel “{found['shown_kernel']}”, pixel for pixel.",
        table=Table(header=("setting", "result, px", "width by the formula"), rows=rows),
    )


def _filters(filters: Mapping[str, Any], picture: bytes) -> Section:
    k = filters["side"]
    return Section(
        heading=f"First filters of {filters['backbone']}",
        text=[
            (
                f"Nobody wrote these: layer {filters['layer']} learnt its {filters['n']} filters of "
                f"{k} × {k} pixels by three colours, applied with stride {filters['stride']}. "
                "Grey is zero; each is stretched to its own largest number."
            )
        ],
        image=picture,
        caption=f"The {filters['n']} filters of {filters['layer']}, numbered.",
    )


def _maps(maps: Mapping[str, Any], picture: bytes) -> Section:
    return Section(
        heading=f"Feature maps at {maps['tap']}",
        text=[
            (
                f"{maps['backbone']}, layer {maps['tap']}: {maps['n_channels']:,} maps of "
                f"{maps['width']} × {maps['height']} places. Shown are the {len(maps['channels'])} that "
                "vary most over the picture, each stretched from its own darkest to its brightest."
            )
        ],
        image=picture,
        caption=f"The crop that the network saw, and {len(maps['channels'])} of its maps.",
    )
