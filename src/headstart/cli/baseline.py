"""``headstart baseline``: what came before the networks, on the same split."""

from __future__ import annotations

import typer

from headstart.cli.experiments import verb

group = typer.Typer(
    name="baseline",
    help="Compare with older methods: SIFT features and tiny images.",
    no_args_is_help=True,
)
for _name in ("sift", "pixels"):
    group.command(name=_name)(verb(_name, folder="baseline"))


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    app.add_typer(group)
