"""``headstart backbones``: the catalogue."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli.console import console, count, echo_json

if TYPE_CHECKING:
    from headstart.backbones import Entry


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(backbones)


def backbones(
    find: Annotated[
        str | None,
        typer.Argument(help="Show only names that contain this text, among all known networks."),
    ] = None,
    purpose: Annotated[
        str | None,
        typer.Option(
            "--for", help="Show networks for one kind of image: plants, satellite, pathology."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """List pretrained networks: size, cost and licence.

    Also says whether the weights are on this machine. Without FIND, the list is a selection; with it, all names in torchvision and timm are searched.

    Examples:

        headstart backbones

        headstart backbones convnext

        headstart backbones --for plants
    """
    from headstart.backbones import catalogue, list_backbones
    from headstart.backbones.shortlist import for_purpose, made_for
    from headstart.errors import InputError, one_line

    if purpose is not None and find is not None:
        raise InputError("give a text to find, or --for with what the images show, not both")
    entries = catalogue() if purpose is None else for_purpose(purpose)
    if find is None:
        if as_json:
            rows = [dataclasses.asdict(e) for e in entries]
            echo_json(rows)
        else:
            if purpose is not None and not made_for(purpose):
                shown = one_line(purpose, limit=60)
                typer.echo(f"none of the list is made for {shown!r}; these are for any images:")
            _show(entries, with_purpose=purpose is not None)
        return
    names = list_backbones(find)
    if not names:
        from headstart.backbones import known_names
        from headstart.errors import BackboneError, did_you_mean

        hint = did_you_mean(find, known_names())
        raise BackboneError(f"no backbone has {find!r} in its name.{hint}")
    if as_json:
        echo_json(names)
    else:
        typer.echo("\n".join(names))


def _show(entries: Sequence[Entry], *, with_purpose: bool) -> None:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption="params: parameters   MACs: multiply-accumulates per image at px\n"
        "+ the weights are on this machine   licence: of the weights, in full with --json",
        caption_justify="left",
    )
    table.add_column("backbone", no_wrap=True)
    for name in ("params", "MACs", "px"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("here", justify="center")
    table.add_column("licence", no_wrap=True)
    if with_purpose:
        table.add_column("for")
    for e in entries:
        here = "+" if e.weights_here else ""
        numbers = (count(e.n_parameters), count(e.macs), str(e.size_px))
        purposes = (e.purpose,) if with_purpose else ()
        table.add_row(e.name, *numbers, here, e.licence.partition(" (")[0], *purposes)
    console().print(table)
