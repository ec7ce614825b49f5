"""``headstart complexity``: published accuracy over operations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli import options
from headstart.cli.console import answer_with_page

if TYPE_CHECKING:
    from rich.console import Console

    from headstart.course.complexity import ComplexityResult


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(complexity)


def complexity(
    networks: Annotated[
        list[str] | None,
        typer.Argument(help="Names in torchvision; default: those in the catalogue."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show all networks with figures in torchvision.")
    ] = False,
    reference: Annotated[
        str, typer.Option(help="Network that the headline compares with.")
    ] = "vgg16",
    out: Annotated[Path, options.folder_to_write("Folder for the page.")] = Path("runs/complexity"),
    as_json: options.AsJson = False,
) -> None:
    """Plot published accuracies against operations and parameters.

    Top-1 accuracy on ImageNet against operations; areas show parameters. The figures come with
    torchvision: no network is run and nothing is downloaded.

    Examples:

        headstart complexity

        headstart complexity vgg16 resnet50 efficientnet_b0 --reference resnet50

        headstart complexity --all
    """
    from headstart.course.complexity import catalogue_names, measure, page
    from headstart.errors import InputError

    if everything and networks:
        raise InputError("--all shows every network: leave the names out, or leave out --all")
    names = networks or (None if everything else catalogue_names())
    found = measure(None if names is None else list(dict.fromkeys(names)), reference=reference)
    answer_with_page(
        out,
        "complexity",
        found,
        lambda _, shown: _show(found, shown),
        title="Accuracy and what it costs",
        sections=page(found),
        as_json=as_json,
    )


def _show(found: ComplexityResult, out: Console) -> None:
    from rich import box
    from rich.table import Table

    best = {r.name for r in found.front}
    table = Table(
        box=box.SIMPLE_HEAD,
        caption=f"{found.source}\n* no other is as accurate with as few operations",
        caption_justify="left",
    )
    table.add_column("network", no_wrap=True)
    for name in ("top-1, %", "G MACs", "M params", "px"):
        table.add_column(name, justify="right")
    for r in found.networks:
        table.add_row(*r.cells(is_on_front=r.name in best))
    out.print(table)
