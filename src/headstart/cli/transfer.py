"""`headstart transfer`: what transfers, measured on one's own data."""

from __future__ import annotations

import typer

from headstart.cli.experiments import verb
from headstart.experiments.experiment import TRANSFER

app = typer.Typer(
    name="transfer",
    help="Measure layers, similarity, data size and domain shift.",
    no_args_is_help=True,
)
for _name in TRANSFER:
    app.command(name=_name)(verb(_name))


def register(parent: typer.Typer) -> None:
    """Add the verbs to the command line."""
    parent.add_typer(app)
