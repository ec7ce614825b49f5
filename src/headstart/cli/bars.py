"""Progress bars on a terminal, and the learning curves of the training in hand above them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from headstart.cli.curves import learning_curves
from headstart.errors import one_line
from headstart.progress import share_done, unit_of

if TYPE_CHECKING:
    from headstart.training import Epoch


class _BarsAndCurves(Progress):
    """Rich's bars with a text above them."""

    curves = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn, from top to bottom."""
        if self.curves:
            yield Text(self.curves)
        yield from super().get_renderables()


class Bars:
    """Bars with count, rate and time left, one per stage.

    Parameters
    ----------
    console : rich.console.Console

    Attributes
    ----------
    shown : rich.progress.Progress
        The context in which they are drawn.
    """

    def __init__(self, console: Console) -> None:
        self.shown = _BarsAndCurves(
            TextColumn("{task.description:<18}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[said]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Draw the bar of a stage."""
        if stage not in self._tasks:
            self._tasks[stage] = self.shown.add_task(one_line(stage), total=total, rate="", said="")
        task = self._tasks[stage]
        speed = self.shown.tasks[task].speed
        rate = f"{speed:,.0f}/s" if speed and speed >= 1 and unit_of(stage) != "%" else ""
        said = share_done(stage, done, total)
        self.shown.update(task, completed=done, total=total, rate=rate, said=said)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self.shown.console.print(line, markup=False, soft_wrap=True)

    def on_epoch(self, history: tuple[Epoch, ...]) -> None:
        """Redraw the curves."""
        from headstart.training.history import curves_of

        self.shown.curves = learning_curves(**curves_of(history))
        self.shown.refresh()
