"""``headstart similar``: the training images, or texts, that are nearest to a new one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import (
    answer,
    console,
    echo_json,
    plain,
    print_prose,
    progress_bars,
)
from headstart.cli.flags import note_line
from headstart.errors import OutputError, one_line

if TYPE_CHECKING:
    from rich.console import Console

    from headstart.runs.retrieval import SimilarResult


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(similar)


def similar(
    run: Annotated[Path, typer.Argument(help="A run folder.", autocompletion=options.complete_run)],
    images: Annotated[
        list[str],
        typer.Argument(
            help="Images, folders or patterns; for a run on texts, texts or text files.",
        ),
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

        headstart similar runs/photos new/*.jpg --k 20 --json

        headstart similar runs/reviews "two hours too long"
    """
    import headstart
    from headstart.cli.texts import refuse_split
    from headstart.data import find_images
    from headstart.files import require_folder
    from headstart.runs.retrieval import similar_to_each
    from headstart.runs.retrieval_texts import similar_texts

    opened = headstart.load(run)
    folder = out or opened.folder.resolve().with_name(f"{opened.folder.resolve().name}-similar")
    require_folder(folder)  # now, rather than after the work
    with progress_bars(quiet=as_json) as progress:
        given: dict[str, Any] = {"k": k, "data": data, "device": device, "progress": progress}
        if opened.is_texts:
            refuse_split(split, data or "the run's table")
            results = [similar_texts(opened, text, **given) for text in images]
        else:
            pictures = [path for path, _ in find_images(images)]
            results = similar_to_each(opened, pictures, split=split, **given)
    test = opened.metrics.test
    accuracy = None if test is None else test.accuracy.value
    _remove_pages(folder)
    if len(results) == 1:
        _answer(results[0], folder, accuracy, as_json=as_json)
    elif as_json:
        for number, result in enumerate(results, start=1):
            _write(result, folder / f"{number:03d}", accuracy)
        echo_json([plain(result) for result in results])
    else:
        for number, result in enumerate(results, start=1):
            query = one_line(Path(result.query).name)
            console().print(query, style="bold", soft_wrap=True)
            _answer(result, folder / f"{number:03d}", accuracy, as_json=False)


def _remove_pages(folder: Path) -> None:
    """Remove the pages of an earlier call, and no file or folder that is not such a page."""
    from headstart.files import remove_whole

    own = re.compile(r"similar(-\d+)?\.(html|json|md|png|svg)")
    numbered = [place for place in folder.glob("*") if re.fullmatch(r"\d{3,}", place.name)]
    try:
        for place in (folder, *numbered):
            is_link = place != folder and place.is_symlink()
            if is_link or not (place / "similar.html").is_file():
                continue
            for file in place.iterdir():
                if own.fullmatch(file.name):
                    remove_whole(file)
            if place != folder and not any(place.iterdir()):
                place.rmdir()
    except OSError as error:
        raise OutputError(
            f"cannot remove the pages of an earlier call from {one_line(str(folder))}: "
            f"{one_line(str(error))}; give another --out"
        ) from None


def _answer(result: SimilarResult, folder: Path, accuracy: float | None, *, as_json: bool) -> None:
    page = _write(result, folder, accuracy)
    answer(result, page, lambda _, out: _show(result, out), as_json=as_json)


def _write(result: SimilarResult, folder: Path, accuracy: float | None) -> Path:
    """Write the page of one query."""
    from headstart.runs.report.pages import write_page
    from headstart.runs.report.retrieval import retrieval_sections

    return write_page(
        folder,
        "similar",
        title=f"Training {result.noun}s like {one_line(Path(result.query).name, limit=60)}",
        sentence=result.sentence,
        detail=result.detail,
        sections=retrieval_sections(result, accuracy),
        found=plain(result),
    )


def _show(found: SimilarResult, out: Console) -> None:
    from rich import box
    from rich.table import Table

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
        print_prose(note_line(note), out)
