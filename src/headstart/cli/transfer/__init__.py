"""`headstart transfer`: what transfers, measured on one's own data."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import typer

from headstart.cli.experiments import verb
from headstart.experiments.experiment import TRANSFER

app = typer.Typer(
    name="transfer",
    help="Measure which layers, how similar, how many more images.",
    no_args_is_help=True,
)

VERBS = ("profile", "layers", "similarity", "scores", "size", "advice", "shift")
for _verb in VERBS:
    if _verb in TRANSFER:
        app.command(name=_verb)(verb(_verb))
    elif find_spec(f"{__name__}.{_verb}"):
        app.command(name=_verb)(getattr(import_module(f"{__name__}.{_verb}"), _verb))


def register(parent: typer.Typer) -> None:
    """Add the verbs to the command line."""
    parent.add_typer(app)
