"""``headstart complexity``: published accuracy over operations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import answer_with_page

if TYPE_CHECKING:
    from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(complexity)


def complexity(
    networks: Annotated[
        list[str] | None, typer.Argument(help="Names of torchvision; default the catalogue's.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All networks that torchvision publishes figures of.")
    ] = False,
    reference: Annotated[
        str, typer.Option(help="Network whose accuracy the answer prices.")
    ] = "vgg16",
    out: Annotated[Path, options.folder_to_write("Folder for the page.")] = Path("runs/complexity"),
    as_json: options.AsJson = False,
) -> None:
    """Show published accuracies over operations and parameters.

    Top-1 accuracy over operations, with the area by parameters. The figures come with torchvision and are of ImageNet; no network is run and nothing is
    downloaded.

    Examples:

        headstart complexity

        headstart complexity vgg16 resnet50 efficientnet_b0 --reference resnet50

        headstart complexity --all
    """
    from headstart.backbones.published import catalogue_names, front, published_results, source
    from headstart.errors import InputError
    from headstart.runs.report.complexity import complexity_sections, detail, sentence

    if everything and networks:
        raise InputError("--all shows every network: leave the names out, or leave out --all")
    published_results([reference])  # an unknown name is told, not passed over
    names = networks or (None if everything else catalogue_names())
    results = published_results(None if names is None else list(dict.fromkeys(names)))
    found: dict[str, Any] = {
        "source": source(),
        "reference": reference,
        "networks": [r.to_dict() for r in results],
        "front": [r.to_dict() for r in front(results)],
    }
    found["sentence"] = sentence(found)
    found["detail"] = detail(found)
    answer_with_page(
        out,
        "complexity",
        found,
        _show,
        title="Accuracy and what it costs",
        sections=complexity_sections(found),
        as_json=as_json,
    )


def _show(found: Mapping[str, Any], out: Console) -> None:
    from rich import box
    from rich.table import Table

    best = {r["name"] for r in found["front"]}
    table = Table(
        box=box.SIMPLE_HEAD,
        caption=f"{found['source']}\n* beaten by none with as few operations",
        caption_justify="left",
    )
    table.add_column("network", no_wrap=True)
    for name in ("top-1, %", "G MACs", "M params", "px"):
        table.add_column(name, justify="right")
    for r in found["networks"]:
        table.add_row(
            r["name"] + (" *" if r["name"] in best else ""),
            f"{r['accuracy']:.1f}",
            f"{r['giga_macs']:.3g}",
            f"{r['n_parameters'] / 1e6:.3g}",
            str(r["size_px"]),
        )
    out.print(table)
