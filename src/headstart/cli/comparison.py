"""What the verbs share that compare trainings: the run, its table, its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from headstart.cli.console import answer, is_quiet, progress_bars
from headstart.errors import one_line
from headstart.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from headstart.backbones import Backbone
    from headstart.comparison.arms import Arm
    from headstart.comparison.comparing import Outcome
    from headstart.comparison.result import ComparisonResult
    from headstart.data import Index


def run_comparison(
    indexed: Index,
    net: Backbone,
    arms: Sequence[Arm],
    *,
    title: str,
    seeds: Sequence[int],
    size_px: int | None,
    device: str | None,
    folder: Path,
    quiet: bool,
) -> ComparisonResult:
    """Compare, write the page, and give the figures."""
    from headstart.comparison.comparing import compare
    from headstart.runs.report.comparison import write_comparison

    with progress_bars(quiet=quiet) as progress:
        found = compare(
            indexed,
            net,
            arms,
            seeds=seeds,
            size_px=size_px,
            device=device,
            progress=progress,
            on_outcome=told(quiet=quiet),
            on_epoch=progress.on_epoch,
        )
    result = found.result(
        indexed,
        title=title,
        backbone=net.name,
        size_px=size_px or net.preprocessing.size_px,
    )
    write_comparison(folder, result)
    return result


def told(*, quiet: bool) -> Callable[[Arm, int, Outcome], None]:
    """Says on standard error what each fit reached."""

    def tell(arm: Arm, seed: int, outcome: Outcome) -> None:
        if not (quiet or is_quiet()):
            share = outcome.val_correct.mean()
            typer.echo(
                f"{arm.name}, seed {seed}: validation {100 * share:.1f} % in {outcome.seconds:.0f} s",
                err=True,
            )

    return tell


def show_comparison(found: ComparisonResult, folder: Path, *, as_json: bool) -> None:
    """The table, the answer, and where the page is."""
    answer(found, folder / "comparison.html", lambda _, out: _table(found, out), as_json=as_json)


def _table(found: ComparisonResult, out: Console) -> None:
    from rich import box
    from rich.table import Table

    from headstart.runs.report.comparison import cells

    n_seeds, noun = len(found.seeds), found.noun
    table = Table(
        box=box.SIMPLE_HEAD,
        caption=f"accuracy in %, mean of {n_seeds} {'seeds' if n_seeds > 1 else 'seed'}; "
        f"{counted(found.n_fit, noun)} to fit on,\n{found.n_val:,} to validate on, "
        f"{counted(found.n_test, f'test {noun}')}; points against {one_line(found.reference)}\n"
        f"* taken: the quickest within one standard error of the best in validation",
        caption_justify="left",
    )
    table.add_column("")
    for name in ("val.", "test", "points", "seconds"):
        table.add_column(name, justify="right")
    for row in found.arms:
        name, val, test, _, gain, seconds, _ = cells(row, found)
        style = "bold" if row.is_taken else None
        table.add_row(name, val, test, gain, seconds, style=style)
    out.print(table)
