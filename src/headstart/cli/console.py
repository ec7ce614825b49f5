"""What the verbs share in showing things: progress bars, answers, numbers."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import typer

from headstart.cli.flags import as_flag
from headstart.cli.narrow import BOXED
from headstart.cli.streams import escape
from headstart.errors import InputError, visible, worded
from headstart.progress import stage_line
from headstart.wording import without_repeats

# Seconds between two lines of a stage in a log.
LINE_EVERY_S = 5.0

if TYPE_CHECKING:
    from rich.console import Console

    from headstart.results import Result
    from headstart.runs.report.pages import Section
    from headstart.training import Epoch


def console(*, stderr: bool = False) -> Console:
    """A Rich console; it heeds NO_COLOR and the terminal's width.

    Whatever it is given to show, names that would steer the terminal come out escaped, brackets are
    not markup, and no cell of a table is cut off.
    """
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.table import Table

    from headstart.cli.fitting import fitted

    class Careful(Console):
        def print(self, *objects: Any, **how: Any) -> None:
            tables = iter(fitted([o for o in objects if isinstance(o, Table)], self))
            shown = (next(tables) if isinstance(o, Table) else o for o in objects)
            super().print(*shown, **how)

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                text, style, control = segment
                yield segment if control else Segment(_visible_lines(text), style)

    return Careful(stderr=stderr, highlight=False, markup=False, soft_wrap=False)


def _visible_lines(text: str) -> str:
    if text.isprintable():
        return text
    # Sentences of the reports keep numbers and units together with it; it steers nothing.
    return "\n".join(map(visible, text.replace("\u00a0", " ").split("\n")))


def echo_json(value: Any, *, indent: int | None = 1) -> None:
    """Print JSON, in which what would steer a terminal is written as ``\\uXXXX``."""
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False)
    text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    typer.echo(escape(text))


def plain(found: Any) -> Any:
    """A result as JSON values; what already is one stays as it is."""
    from headstart.results import encode

    return json.loads(encode(found)) if isinstance(found, msgspec.Struct) else found


def answer(
    found: Mapping[str, Any] | Result,
    page: Path,
    show: Callable[[Mapping[str, Any], Console], None],
    *,
    as_json: bool,
    files: Sequence[Path] = (),
) -> None:
    """Print the figures as JSON; or what `show` prints of them, their answer, and where page and files are.

    The answer is ``found["sentence"]``, a headline, with ``found["detail"]`` below it if there is one.
    """
    figures: Mapping[str, Any] = plain(found)
    if as_json:
        echo_json(figures)
        return
    out = console()
    show(figures, out)
    print_answer(figures["sentence"], figures.get("detail", ""), out)
    for name, path in (("page", page), *(("file", file) for file in files)):
        out.print(f"{name:<8} {path}", soft_wrap=True)


def print_answer(sentence: str, detail: str, out: Console) -> None:
    """The headline in bold, and the detail below it."""
    print_prose(without_repeats(sentence, detail), out, style="bold")
    if detail:
        print_prose(worded(detail, as_flag), out)


def print_prose(text: str, out: Console, *, style: str | None = None) -> None:
    """A sentence, wrapped between words on a terminal, and on one line in files and pipes."""
    is_wrapped = out.is_terminal or out.width < BOXED
    out.print(text, style=style, soft_wrap=not is_wrapped)


def answer_with_page(
    folder: Path,
    name: str,
    found: Mapping[str, Any] | Result,
    show: Callable[[Mapping[str, Any], Console], None],
    *,
    title: str,
    sections: Sequence[Section],
    as_json: bool,
    files: Sequence[Path] = (),
) -> None:
    """Write the page of `found`, whose ``"sentence"`` is its headline; then `answer`."""
    from headstart.runs.report.pages import write_page

    figures: Mapping[str, Any] = plain(found)
    page = write_page(
        folder,
        name,
        title=title,
        sentence=figures["sentence"],
        detail=figures.get("detail", ""),
        sections=sections,
        found=figures,
    )
    answer(figures, page, show, as_json=as_json, files=files)


def is_quiet() -> bool:
    """Whether ``--quiet`` was given."""
    return bool(os.environ.get("HEADSTART_QUIET"))


class Shown(Protocol):
    """Progress as a person sees it, with the learning curves of the training in hand."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """As `Progress`."""

    def on_epoch(self, history: tuple[Epoch, ...]) -> None:
        """Show the epochs so far."""

    def say(self, line: str) -> None:
        """Show a line on the data."""


@contextmanager
def progress_bars(*, quiet: bool = False) -> Iterator[Shown]:
    """Bars with count, rate and time left on standard error, one per stage; learning curves above them.

    Where standard error is not a terminal, one line a finished stage and epoch, and one every few
    seconds of a longer stage.
    """
    if quiet or is_quiet():
        yield _Quiet()
        return
    if not sys.stderr.isatty():
        with _Lines() as lines:
            yield lines
        return
    from headstart.cli.bars import Bars

    bars = Bars(console(stderr=True))
    with bars.shown:
        yield bars


class _Quiet:
    """Says nothing."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Nothing."""

    def on_epoch(self, history: tuple[Epoch, ...]) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Nothing."""


class _Lines:
    """One line a finished stage and epoch, and one every few seconds between, for files and pipes."""

    def __init__(self) -> None:
        self._finished: set[str] = set()
        # Stages in hand, the innermost last: items done, items in all, items that the last call finished,
        # when it began and when the last call came.
        self._open: dict[str, tuple[int, int, int, float, float]] = {}
        self._ended = threading.Event()
        self._beat = threading.Thread(target=self._tell_now_and_then, daemon=True)

    def __enter__(self) -> _Lines:
        self._beat.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._beat.join()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        before, _, step, began, last = self._open.pop(stage, (0, 0, 1, now, now))
        if done != before:
            step, last = max(done - before, 1), now
        if done < total:
            self._open[stage] = (done, total, step, began, last)
        is_short = total <= 1 and now - began < 1  # its end would tell nothing
        if done >= total and not is_short and stage not in self._finished:
            self._finished.add(stage)
            print(stage_line(stage, done, total, now - began), file=sys.stderr, flush=True)

    def _tell_now_and_then(self) -> None:
        while not self._ended.wait(LINE_EVERY_S):
            for stage, (done, total, step, began, last) in list(self._open.items())[-1:]:
                if (seconds := time.monotonic() - began) >= LINE_EVERY_S:
                    line = stage_line(stage, done, total, seconds, last - began, step)
                    print(line, file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def on_epoch(self, history: tuple[Epoch, ...]) -> None:
        from headstart.wording import epoch_figures

        e = history[-1]
        said = epoch_figures(e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy)
        print(f"epoch {e.epoch}: {said}", file=sys.stderr, flush=True)


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
        A word is not a number.
    """
    if text is None:
        return None
    try:
        return tuple(kind(word) for word in text.split(","))
    except ValueError as error:
        wanted = "whole numbers" if kind is int else "numbers"
        raise InputError(f"{option} takes {wanted} with commas between; got {text!r}") from error
