"""``headstart kernels``: convolution on your own image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import options
from headstart.cli.console import answer_with_page


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(kernels)


def kernels(
    image: Annotated[Path, typer.Argument(help="An image file.")],
    kernel: Annotated[
        str | None,
        typer.Option(
            help='Kernel to use instead of the gallery, such as "[[0,-1,0], [-1,5,-1], [0,-1,0]]".'
        ),
    ] = None,
    stride: Annotated[int, typer.Option(help="Pixels from one position to the next.")] = 1,
    padding: Annotated[
        str, typer.Option(help="Padding around the image: zeros, reflect or none.")
    ] = ("zeros"),
    dilation: Annotated[int, typer.Option(help="Pixels between the kernel's numbers.")] = 1,
    size: Annotated[
        int, typer.Option(help="Reduce larger images to this longer side, px.", min=1)
    ] = 256,
    filters: Annotated[
        bool, typer.Option("--filters", help="Also show the network's first filters.")
    ] = False,
    tap: Annotated[
        str | None, typer.Option(help="Also show the network's feature maps at this layer.")
    ] = None,
    maps: Annotated[int, typer.Option(help="Number of maps, with --tap.", min=1, max=256)] = 23,
    backbone: options.Backbone = "embedded",
    weights: options.Weights = None,
    arch: options.Arch = None,
    arch_args: options.ArchArgs = None,
    out: Annotated[Path | None, options.results("runs/IMAGE-kernels")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show what convolution kernels do to an image.

    Edges, blur, sharpening, or your own kernel; stride, padding and dilation side by side, with the
    formula for the size. With --filters and --tap, also the filters and feature maps of a pretrained
    network.

    Examples:

        headstart kernels photo.jpg

        headstart kernels photo.jpg --kernel "[[1,0,-1],[2,0,-2],[1,0,-1]]"

        headstart kernels photo.jpg --filters --tap blocks.2
    """
    from headstart.course.kernels import GALLERY, parse_kernel
    from headstart.course.kernels.page import measure, page
    from headstart.data import read_rgb

    chosen = GALLERY if kernel is None else (parse_kernel(kernel),)
    whole = read_rgb(image)
    net = None
    if filters or tap is not None:
        from headstart.backbones import load

        net = load(backbone, weights=weights, arch=options.built(arch, arch_args))
    found, pictures = measure(
        whole,
        image.name,
        chosen,
        stride=stride,
        padding=padding,
        dilation=dilation,
        size_px=size,
        backbone=net,
        has_filters=filters,
        tap=tap,
        n_maps=maps,
    )
    answer_with_page(
        out or options.default_folder(str(image), "kernels"),
        "kernels",
        found,
        lambda *_: None,
        title=f"Convolution: {image.name}",
        sections=page(found, pictures),
        as_json=as_json,
    )
