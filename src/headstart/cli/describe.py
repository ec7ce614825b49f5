"""``headstart describe``: the table of an architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import options
from headstart.cli.streams import escape

FORMATS = ("text", "markdown", "html", "json")


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(describe)


def describe(
    backbone: Annotated[str, typer.Argument(help="Name: see `headstart backbones`.")],
    size: Annotated[
        int | None, typer.Option(help="Side of the input, px; default the network's own.", min=1)
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="text, markdown, html or json.")
    ] = "text",
    out: Annotated[Path | None, options.file_to_write("File to write; default: print.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Show the table of a network's layers and their costs.

    Maps, size, kernel, stride, activation, parameters and multiply-accumulates of each layer. No
    weights are needed, since only shapes are propagated.

    Examples:

        headstart describe vgg16

        headstart describe resnet50 --format markdown

        headstart describe vit_b_16 --format html --out vit.html
    """
    from headstart.course.architecture import page
    from headstart.course.architecture.table import describe as table_of
    from headstart.errors import require_choice
    from headstart.files import write_atomically
    from headstart.results import encode

    chosen = "json" if as_json else format_
    require_choice("format", chosen, FORMATS)
    table = table_of(backbone, size)
    written = encode(table) if chosen == "json" else getattr(page, chosen)(table)
    if out is None:
        typer.echo(escape(written) if chosen == "json" else written)
        return
    write_atomically(out, f"{written}\n".encode())
    typer.echo(f"written  {out}", err=True)
