"""The command line: parse, show, return codes."""

from __future__ import annotations

from headstart.cli.app import main

__all__ = ["main"]
