"""``headstart similar``: the training images, or texts, that are nearest to a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import answer_with_page, progress_bars
from headstart.cli.flags import note_line

if TYPE_CHECKING:
    from rich.console import Console

    from headstart.runs.retrieval import SimilarResult


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(similar)


def similar(
    run: Annotated[Path, typer.Argument(help="A run folder.", autocompletion=options.complete_run)],
    image: Annotated[
        str, typer.Argument(help="An image; for a run on texts, a text or a text file.")
    ],
    k: Annotated[
        int, typer.Option("--k", help="Number of neighbours to show.", min=1, max=100)
    ] = 10,
    data: Annotated[
        str | None,
        typer.Option(
            help="Where the run's images, or its table of texts, are, if they moved or the run was "
            "made elsewhere."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="The split file of a run that was made elsewhere.")
    ] = None,
    device: options.Device = None,
    out: Annotated[Path | None, options.results("RUN-similar")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Find the training images, or texts, nearest to yours.

    Nearest by the distance of their features. If the run has test examples, it measures how
    often the nearest are of the same class: precision at k, and mean average precision.

    Examples:

        headstart similar runs/photos new.jpg

        headstart similar runs/photos new.jpg --k 20 --json

        headstart similar runs/reviews "two hours too long"
    """
    import headstart
    from headstart.cli.texts import refuse_split
    from headstart.errors import one_line
    from headstart.files import require_folder
    from headstart.runs.report.retrieval import retrieval_sections
    from headstart.runs.retrieval import similar as find_similar
    from headstart.runs.retrieval_texts import similar_texts

    opened = headstart.load(run)
    folder = out or opened.folder.resolve().with_name(f"{opened.folder.resolve().name}-similar")
    require_folder(folder)  # now, rather than after the work
    with progress_bars(quiet=as_json) as progress:
        given: dict[str, Any] = {"k": k, "data": data, "device": device, "progress": progress}
        if opened.is_texts:
            refuse_split(split, data or "the run's table")
            result = similar_texts(opened, image, **given)
        else:
            result = find_similar(opened, image, split=split, **given)
    answer_with_page(
        folder,
        "similar",
        result,
        lambda _, out: _show(result, out),
        title=f"Training {result.noun}s like {one_line(Path(image).name, limit=60)}",
        sections=retrieval_sections(
            result, None if opened.metrics.test is None else opened.metrics.test.accuracy.value
        ),
        as_json=as_json,
    )


def _show(found: SimilarResult, out: Console) -> None:
    from rich import box
    from rich.table import Table

    from headstart.errors import one_line
    from headstart.runs.report.retrieval import neighbour_rows

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("")
    table.add_column(found.noun, overflow="fold")
    table.add_column("class")
    table.add_column("distance", justify="right")
    for number, row in enumerate(neighbour_rows(found), start=1):
        table.add_row(str(number), *map(one_line, row))
    out.print(table)
    for note in found.notes:
        out.print(note_line(note), markup=False, soft_wrap=True)
