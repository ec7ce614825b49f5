"""``headstart kernels``: convolution on one's own picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import console, echo_json, print_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from headstart.backbones import Backbone
    from headstart.convolution import Kernel


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(kernels)


def kernels(
    image: Annotated[Path, typer.Argument(help="A picture.")],
    kernel: Annotated[
        str | None,
        typer.Option(
            help='Your own instead of the gallery, such as "[[0,-1,0], [-1,5,-1], [0,-1,0]]".'
        ),
    ] = None,
    stride: Annotated[int, typer.Option(help="Pixels from one place to the next.")] = 1,
    padding: Annotated[str, typer.Option(help="Around the picture: zeros, reflect or none.")] = (
        "zeros"
    ),
    dilation: Annotated[int, typer.Option(help="Pixels between the kernel's numbers.")] = 1,
    size: Annotated[
        int, typer.Option(help="Longer side, px, to which larger pictures are reduced.", min=1)
    ] = 256,
    filters: Annotated[
        bool, typer.Option("--filters", help="Show the network's first filters too.")
    ] = False,
    tap: Annotated[
        str | None, typer.Option(help="Show the network's feature maps at this layer too.")
    ] = None,
    maps: Annotated[int, typer.Option(help="With --tap: how many maps.", min=1, max=256)] = 23,
    backbone: options.Backbone = "embedded",
    weights: options.Weights = None,
    arch: options.Arch = None,
    out: Annotated[Path | None, options.results("runs/IMAGE-kernels")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show what convolution kernels make of a picture.

    Edges, blur, sharpening, or a kernel of your own. Stride, padding and dilation are shown beside each other, with the formula for the size. With
    --filters and --tap, what a pretrained network does is shown on the same picture.

    Examples:

        headstart kernels photo.jpg

        headstart kernels photo.jpg --kernel "[[1,0,-1],[2,0,-2],[1,0,-1]]"

        headstart kernels photo.jpg --filters --tap blocks.2
    """
    from headstart.convolution import (
        GALLERY,
        explain_formula,
        explain_size,
        kernel_sheet,
        parse_kernel,
    )
    from headstart.convolution.sheets import picture_pixels
    from headstart.data import read_rgb
    from headstart.runs.report.kernels import write_kernels

    chosen = (parse_kernel(kernel),) if kernel is not None else GALLERY
    whole = read_rgb(image)
    picture = picture_pixels(whole, size)
    height, width = picture.shape[:2]
    settings: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    pictures = {"kernels": kernel_sheet(picture, chosen, **settings)}
    found: dict[str, Any] = {
        "image": image.name,
        "size_px": [width, height],
        **settings,
        "sentence": explain_size(width, height, chosen[0].side, **settings),
        "detail": explain_formula(width, chosen[0].side, **settings),
        "kernels": [{"name": k.name, "typed": k.typed(), "weights": k.weights} for k in chosen],
    }
    _add_variants(found, pictures, picture, chosen)
    if filters or tap is not None:
        from headstart.backbones import load

        net = load(backbone, weights=weights, arch=arch)
        if filters:
            _add_filters(found, pictures, net)
        if tap is not None:
            _add_maps(found, pictures, net, whole, tap, maps)
    folder = out or options.default_folder(str(image), "kernels")
    page = write_kernels(folder, found, pictures)
    if as_json:
        echo_json(found)
        return
    print_answer(found, console())
    console().print(f"page     {page}", markup=False, soft_wrap=True)


def _add_variants(
    found: dict[str, Any], pictures: dict[str, bytes], picture: Any, chosen: Sequence[Kernel]
) -> None:
    """One kernel with other settings, those that the picture is large enough for."""
    from headstart.convolution import variant_sheet
    from headstart.convolution.correlation import VARIANTS, describe_variant, fits
    from headstart.convolution.gallery import EDGES

    shown = chosen[0] if len(chosen) == 1 else EDGES
    height, width = picture.shape[:2]
    variants = [v for v in VARIANTS if fits(width, height, shown.side, v[2])]
    found["shown_kernel"] = shown.name
    found["variants"] = [describe_variant(width, height, shown.side, v) for v in variants]
    pictures["variants"] = variant_sheet(picture, shown, variants)


def _add_filters(found: dict[str, Any], pictures: dict[str, bytes], net: Backbone) -> None:
    from headstart.convolution import filter_sheet, first_filters

    first = first_filters(net)
    n, side = first.weights.shape[:2]
    found["filters"] = {
        "backbone": net.name,
        "layer": first.layer,
        "n": n,
        "side": side,
        "stride": first.stride,
    }
    pictures["filters"] = filter_sheet(first)


def _add_maps(
    found: dict[str, Any],
    pictures: dict[str, bytes],
    net: Backbone,
    whole: Image.Image,
    tap: str,
    n_maps: int,
) -> None:
    from headstart.convolution import feature_maps, map_sheet

    maps = feature_maps(net, whole, tap, n_maps)
    found["maps"] = {
        "backbone": net.name,
        "tap": tap,
        "n_channels": maps.n_channels,
        "height": maps.maps.shape[1],
        "width": maps.maps.shape[2],
        "channels": [int(c) for c in maps.channels],
    }
    pictures["maps"] = map_sheet(maps)
