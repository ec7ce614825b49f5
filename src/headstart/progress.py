"""How library code tells a face that work advances; public functions show it where there is no face."""

from __future__ import annotations

import html
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from headstart.errors import InputError, one_line
from headstart.wording import counted, rough_time

# Seconds between two drawings of a bar, and of a finished stage whose line stays on a terminal.
DRAW_EVERY_S, STAYS_FROM_S = 0.2, 1.0
BAR_WIDTH = 16
_PERMILLE = 1000
# Stages whose later parts take longer than the first: linear SVMs, then trainings.
RISING = ("compare",)
# What stages count; one that begins like another stands before it.
COUNTED = {
    **dict.fromkeys(("cross-validate", "screen", "refit"), "candidate"),
    **dict.fromkeys(("compare networks", "compare sets", "learning curve"), "%"),
    **dict.fromkeys(("train networks", "compare", "add blocks"), "training"),
    **dict.fromkeys(("train", "fine-tune", "range test", "search", "adapt", "export"), "step"),
    **dict.fromkeys(
        ("read images", "decode images", "encode images", "decode", "corrupt images"), "image"
    ),
    **dict.fromkeys(("frozen part", "predict", "sharpness", "thumbnails", "distance"), "image"),
    **dict.fromkeys(("check the file", "measure int8", "read ranges"), "image"),
    **dict.fromkeys(("dense SIFT", "tiny images", "views"), "image"),
    **dict.fromkeys(("copy", "remove", "prune", "verify", "unpack", "extract frames"), "file"),
    "try float32 and bfloat16": "image",
    "encode texts": "text",
    "extract features": "crop",
    "extract shards": "shard",
    "score": "score",
    "download": "byte",
}


class Progress(Protocol):
    """Called as work advances; the command line draws a bar with rate and ETA from it."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` items of ``stage`` (for example ``"read images"``) are finished."""


def silent(stage: str, done: int, total: int) -> None:
    """Show nothing: the default within the library."""


def share_done(stage: str, done: int, total: int) -> str:
    """``3 of 44 candidates``, ``44 candidates``: what is counted, and how much is done; "" of a single step."""
    if total <= 1:
        return ""
    unit = unit_of(stage)
    if unit == "%":
        return f"{100 * done // total} %"
    all_of_them = counted(total, unit) if unit else f"{total:,}"
    return all_of_them if done >= total else f"{done:,} of {all_of_them}"


def unit_of(stage: str) -> str:
    """What a stage counts; ``%`` of the expected cost where its parts differ; "" where that is not known."""
    named = (
        name for name in COUNTED if stage == name or stage.startswith((f"{name} ", f"{name},"))
    )
    return COUNTED.get(next(named, ""), "")


class Whole:
    """A job of parts that differ in cost, as one stage in % of the cost, so that its forecast holds.

    Parameters
    ----------
    progress : Progress
    stage : str
        A stage that counts ``%``.
    costs : mapping of str to float
        The expected cost of each part, in any unit.
    """

    def __init__(self, progress: Progress, stage: str, costs: Mapping[str, float]) -> None:
        self._progress, self._stage = progress, stage
        self._left = dict(costs)
        self._total = sum(costs.values()) or 1.0
        self._reported = -1
        self._tell(0.0)

    def part(self, name: str) -> Progress:
        """The progress of a part: its own stages are told as well."""

        def tell(stage: str, done: int, total: int) -> None:
            self._progress(stage, done, total)
            self._tell(self._left.get(name, 0.0) * done / max(total, 1))

        return tell

    def end(self, *names: str) -> None:
        """Some parts are done; of all, the stage is."""
        for name in names:
            self._left.pop(name, None)
        self._tell(0.0)

    def _tell(self, of_part: float) -> None:
        left = sum(self._left.values()) - of_part
        done = round(_PERMILLE * (1 - left / self._total))
        # It ends with its last part, not by rounding.
        done = min(done, _PERMILLE - bool(self._left))
        if done != self._reported:
            self._reported = done
            self._progress(self._stage, done, _PERMILLE)


def stage_line(
    stage: str,
    done: int,
    total: int,
    seconds: float,
    done_after_s: float | None = None,
    step: int = 1,
) -> str:
    """``cross-validate: 3 of 44 candidates in 12 s, about 3 min left``.

    The time left is not estimated for a stage of one item.

    Parameters
    ----------
    stage, done, total
        As of :class:`Progress`.
    seconds : float
        Time since the stage began.
    done_after_s : float, optional
        Time that the `done` items took; by default `seconds`.
    step : int >= 1
        How many items were finished by the last call.
    """
    name = one_line(stage)
    if total <= 1:
        return f"{name}: {'done in ' * (done >= total)}{seconds:.0f} s"
    said = f"{name}: {share_done(stage, done, total)} in {seconds:.0f} s"
    if not 0 < done < total:
        return said
    how = "at least" if stage in RISING else "about"
    left = max(_seconds_left(done, total, seconds, done_after_s, step), 1)
    return f"{said}, {how} {rough_time(left)} left"


def _seconds_left(
    done: int, total: int, seconds: float, done_after_s: float | None, step: int
) -> float:
    """By the mean time of an item, where one that is late is expected to be late by as much again."""
    spent = seconds if done_after_s is None else done_after_s
    step = min(step, total - done)
    usual, since = spent * step / done, seconds - spent
    step_s = max(usual, 2 * since - usual)
    pace = (spent + step_s) / (done + step)
    return step_s - since + pace * (total - done - step)


def resolve(progress: Progress | bool) -> Progress:
    """What `progress` stands for: True a bar where a person looks, False none, a function itself.

    Raises InputError where it is anything else.
    """
    if progress is True:
        return automatic
    if progress is False:
        return silent
    if not callable(progress):
        raise InputError(
            f"progress must be True, False or a function of stage, done and total; got {progress!r}"
        )
    return progress


def automatic(stage: str, done: int, total: int) -> None:
    """Show a bar in a notebook, or on standard error where that is a terminal; nothing elsewhere."""
    draw = _in_notebook if is_notebook() else _on_terminal if _is_terminal() else None
    if draw is None:
        return
    now, bar = time.monotonic(), _bars.get(stage)
    if bar is None or done == 0 or done < bar.done:  # a stage that was cut off is run again
        _bars[stage] = bar = _Bar(started=now)
    bar.done = done
    if done < total and now - bar.drawn < DRAW_EVERY_S:
        return
    bar.drawn = now
    draw(bar, stage, done, total)
    if done >= total:
        del _bars[stage]


def _in_notebook(bar: _Bar, stage: str, done: int, total: int) -> None:
    drawn = {"text/html": bar_html(stage, done, total, time.monotonic() - bar.started)}
    if bar.handle is None:
        from IPython.display import display

        bar.handle = display(drawn, raw=True, display_id=True)
    bar.handle.update(drawn, raw=True)


def _on_terminal(bar: _Bar, stage: str, done: int, total: int) -> None:
    """One line, drawn over; it stays once the stage is finished, unless that was at once."""
    seconds, width = time.monotonic() - bar.started, shutil.get_terminal_size().columns - 1
    is_finished = done >= total
    n = BAR_WIDTH * done // max(total, 1)
    line, drawn = stage_line(stage, done, total, seconds), f"[{'#' * n}{'.' * (BAR_WIDTH - n)}] "
    if not is_finished and len(drawn + line) <= width:
        line = drawn + line
    if is_finished and seconds < STAYS_FROM_S:
        line = ""
    # At the start of the line, so that a warning does not begin behind the bar.
    end = "\n" if line and is_finished else "\r"
    print(f"\r{line[:width]:<{width}}", end=end, file=sys.stderr, flush=True)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()  # a program without a console has none


def is_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def bar_html(stage: str, done: int, total: int, seconds: float) -> str:
    """A bar with count and time left, as HTML."""
    left = f", {seconds * (total - done) / done:.0f} s left" if 0 < done < total else ""
    name = html.escape(one_line(stage))
    said = ": ".join(filter(None, (name, share_done(stage, done, total)))) + left
    return f'<label>{said} <progress value="{done}" max="{max(total, 1)}"></progress></label>'


@dataclass
class _Bar:
    started: float
    done: int = 0
    drawn: float = -DRAW_EVERY_S
    handle: Any = None  # of the notebook's output


_bars: dict[str, _Bar] = {}
