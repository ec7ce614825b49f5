"""What the experiments share: their options, their page, and what they print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import answer_with_page, progress_bars

if TYPE_CHECKING:
    from rich.console import Console

    from headstart.runs.report.pages import Section, Table

Data = Annotated[
    str | None,
    typer.Argument(
        help="Folder, table or data set name; without it the digits that scikit-learn brings.",
        show_default=False,
    ),
]
Seeds = Annotated[int, typer.Option(min=2, max=50, help="How many; two give an interval.")]
Size = Annotated[
    int, typer.Option(min=8, max=64, help="Side in pixels that images of DATA are resized to.")
]
Out = Annotated[Path | None, options.results("runs/DATA-lab-NAME")]
Quick = Annotated[bool, typer.Option("--quick", hidden=True, help="Far too small, for tests.")]


def run_lab(
    name: str,
    title: str,
    trial: Callable[..., dict[str, Any]],
    sections: Callable[[Mapping[str, Any]], Sequence[Section]],
    *,
    data: str | None,
    size: int,
    seeds: int,
    seed: int,
    out: Path | None,
    as_json: bool,
    settings: Mapping[str, Any],
) -> None:
    """Read the images, run the experiment, write its page and show it.

    ``trial`` is called with samples, seeds, ``settings`` and progress.
    """
    from headstart.labs import read_samples

    with progress_bars(quiet=as_json) as progress:
        samples = read_samples(data, size_px=size, seed=seed, progress=progress)
        found = trial(samples, options.chosen_seeds(seed, seeds), **settings, progress=progress)
    present(name, title, found, sections(found), data=data, out=out, as_json=as_json)


def present(
    name: str,
    title: str,
    found: Mapping[str, Any],
    sections: Sequence[Section],
    *,
    data: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Write the page; print the first table, the sentence and where the page is, or JSON."""
    table = next((s.table for s in sections if s.table), None)

    def show(_: Mapping[str, Any], shown: Console) -> None:
        if table is not None:
            _print_table(table, shown)

    answer_with_page(
        out or options.default_folder(data or "sample", f"lab-{name}"),
        name,
        found,
        show,
        title=title,
        sections=sections,
        as_json=as_json,
    )


def _print_table(table: Table, shown: Console) -> None:
    """The table; where it is wider than the terminal, each interval goes under its value."""
    from rich import box
    from rich.table import Table as Lines
    from rich.text import Text

    columns = list(zip(table.header, *table.rows, strict=True))
    is_wide = sum(max(map(len, column)) + 2 for column in columns) > shown.width
    lines = Lines(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for i, head in enumerate(table.header):
        lines.add_column(head, justify="right" if i else "left")
    for i, row in enumerate(table.rows):
        cells = [cell.replace(" [", "\n[") if is_wide else cell for cell in row]
        # Intervals have brackets, which Rich would read as styles.
        lines.add_row(*map(Text, cells), style="bold" if i == table.chosen else None)
    shown.print(lines)
