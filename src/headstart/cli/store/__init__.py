"""`headstart store`: what the cache holds, whether it is whole, and how it is kept small."""

from __future__ import annotations

from importlib import import_module

import typer

app = typer.Typer(
    name="store",
    help="List, verify, prune, merge or move what is kept on disk.",
    no_args_is_help=True,
)

VERBS = {
    "list": "list_",
    "verify": "verify",
    "prune": "prune",
    "compact": "compact",
    "move": "move",
}
for _verb, _function in VERBS.items():
    app.command(name=_verb)(getattr(import_module(f"{__name__}.{_verb}"), _function))


def register(parent: typer.Typer) -> None:
    """Add the verbs to the command line."""
    parent.add_typer(app)
