"""What the verbs share in showing things: progress bars, tables, numbers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from headstart.errors import InputError
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID


def console(*, stderr: bool = False) -> Console:
    """A Rich console; it heeds NO_COLOR and the terminal's width."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def is_quiet() -> bool:
    """Whether ``--quiet`` was given."""
    return bool(os.environ.get("HEADSTART_QUIET"))


@contextmanager
def progress_bars(*, quiet: bool = False) -> Iterator[Progress]:
    """Bars with count, rate and time left on standard error, one a stage.

    Where standard error is no terminal, one line a finished stage.
    """
    if quiet or is_quiet():
        yield silent
        return
    if not sys.stderr.isatty():
        yield _plain_lines()
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import (
        Progress as Bars,
    )

    bars = Bars(
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console(stderr=True),
    )
    tasks: dict[str, TaskID] = {}

    def advance(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total, rate="")
        task = tasks[stage]
        speed = bars.tasks[task].speed
        rate = f"{speed:,.0f}/s" if speed else ""
        bars.update(task, completed=done, total=total, rate=rate)

    with bars:
        yield advance


def _plain_lines() -> Progress:
    finished: set[str] = set()

    def advance(stage: str, done: int, total: int) -> None:
        if done >= total and stage not in finished:
            finished.add(stage)
            print(f"{stage}: {total:,} done", file=sys.stderr, flush=True)

    return advance


def count(n: float) -> str:
    """``138,357,544`` as ``138 M``: three significant digits with a unit."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n:.3g}"


def parse_numbers(text: str | None, option: str, kind: type[int] | type[float]) -> Any:
    """``"160,224"`` as a tuple of numbers; None stays None.

    Raises
    ------
    InputError
        A word is no number.
    """
    if text is None:
        return None
    try:
        return tuple(kind(word) for word in text.split(","))
    except ValueError as error:
        wanted = "whole numbers" if kind is int else "numbers"
        raise InputError(f"{option} takes {wanted} with commas between; got {text!r}") from error
