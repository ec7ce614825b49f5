"""The verbs on a finished run that are experiments: ``headstart clean`` and others."""

from __future__ import annotations

import typer

from headstart.cli.experiments import verb
from headstart.experiments.experiment import AFTER


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    for name in AFTER:
        app.command(name=name.replace("_", "-"))(verb(name, name.replace("_", "-")))
