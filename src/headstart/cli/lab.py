"""``headstart lab``: the tricks of training, each as an experiment of a minute or two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import answer_with_page, progress_bars
from headstart.course.labs import LABS, Lab

if TYPE_CHECKING:
    from rich.console import Console

    from headstart.results import Result
    from headstart.runs.report.pages import Section, Table

app = typer.Typer(
    name="lab",
    help="Try training techniques, a minute or two each.",
    no_args_is_help=True,
)

Data = Annotated[
    str | None,
    typer.Argument(
        help="Folder, table or data set name; default: the images that come with scikit-learn.",
        show_default=False,
    ),
]
Seeds = Annotated[int, typer.Option(min=2, max=50, help="Number of seeds.")]
Out = Annotated[Path | None, options.results("runs/DATA-lab-NAME")]
Quick = Annotated[bool, typer.Option("--quick", hidden=True, help="Tiny settings, for tests only.")]


def register(parent: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for lab in LABS:
        verb = _gallery(lab) if lab.name == "augmentation" else _experiment(lab)
        example = f"headstart lab {lab.name}"
        text = f"{lab.help}\n\nExamples:\n\n    {example}\n\n    {example} photos/ --seeds 10"
        app.command(name=lab.name, help=text)(verb)
    parent.add_typer(app)


def _experiment(lab: Lab) -> Any:
    """The command of a lab on small images."""

    def verb(
        data: Data = None,
        seeds: Seeds = lab.n_seeds,
        seed: options.FirstSeed = 0,
        size: Annotated[
            int,
            typer.Option(min=8, max=64, help="Side in pixels to which images of DATA are resized."),
        ] = 16,
        out: Out = None,
        as_json: options.AsJson = False,
        quick: Quick = False,
    ) -> None:
        from headstart.course.labs.samples import read_samples

        with progress_bars(quiet=as_json) as progress:
            samples = read_samples(data, size_px=size, seed=seed, progress=progress)
            found = lab.module.measure(
                samples,
                options.chosen_seeds(seed, seeds),
                **(lab.quick if quick else {}),
                progress=progress,
            )
        _present(lab, found, lab.module.page(found), data=data, out=out, as_json=as_json)

    return verb


def _gallery(lab: Lab) -> Any:
    """The command of the lab that shows photographs."""

    def verb(
        data: Data = None,
        seeds: Seeds = lab.n_seeds,
        seed: options.FirstSeed = 0,
        size: Annotated[
            int, typer.Option(min=32, max=320, help="Side of a picture in pixels.")
        ] = 150,
        out: Out = None,
        as_json: options.AsJson = False,
    ) -> None:
        with progress_bars(quiet=as_json) as progress:
            photographs = lab.module.read(data, size_px=size, seed=seed, progress=progress)
            found = lab.module.measure(
                photographs, options.chosen_seeds(seed, seeds), progress=progress
            )
        sections = lab.module.page(found, photographs)
        _present(lab, found, sections, data=data, out=out, as_json=as_json)

    return verb


def _present(
    lab: Lab,
    found: Result,
    sections: Sequence[Section],
    *,
    data: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Write the page; print the first table, the sentence and the path of the page, or JSON."""
    table = next((s.table for s in sections if s.table), None)

    def show(_: Any, shown: Console) -> None:
        if table is not None:
            _print_table(table, shown)

    answer_with_page(
        out or options.default_folder(data or "sample", f"lab-{lab.name}"),
        lab.name,
        found,
        show,
        title=lab.title,
        sections=sections,
        as_json=as_json,
    )


def _print_table(table: Table, shown: Console) -> None:
    """Print a table; if it is wider than the terminal, each interval goes below its value."""
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
        # Rich would read the brackets of intervals as styles.
        lines.add_row(*map(Text, cells), style="bold" if i == table.chosen else None)
    shown.print(lines)
