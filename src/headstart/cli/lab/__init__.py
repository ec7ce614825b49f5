"""`headstart lab`: the tricks of training as experiments of a minute or two."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import typer

app = typer.Typer(
    name="lab",
    help="Try the tricks of training, in a minute or two each.",
    no_args_is_help=True,
)

VERBS = ("normalise", "optimizers", "dropout", "batchnorm", "overfitting", "augmentation")
for _verb in VERBS:
    if find_spec(f"{__name__}.{_verb}"):
        app.command(name=_verb)(getattr(import_module(f"{__name__}.{_verb}"), _verb))


def register(parent: typer.Typer) -> None:
    """Add the verbs to the command line."""
    parent.add_typer(app)
