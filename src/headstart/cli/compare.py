"""``headstart compare``: backbones on one's own data, accuracy against what they cost."""

from __future__ import annotations

import typer

from headstart.cli.experiments import verb


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command(name="compare")(verb("backbones", "compare"))
