"""How library code tells a face that work advances, without printing anything itself."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as work advances; the command line draws a bar with rate and ETA from it."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` items of ``stage`` (for example ``"read images"``) are finished."""


def silent(stage: str, done: int, total: int) -> None:
    """The default progress: says nothing."""
