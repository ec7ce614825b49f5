"""``headstart frames``: images out of videos and files of several pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import options
from headstart.cli.console import console, echo_json, progress_bars
from headstart.errors import one_line
from headstart.wording import counted


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(frames)


def frames(
    source: Annotated[
        str, typer.Argument(help="A video or file of pages, or a folder with such files.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder for the images; must not exist.")],
    every: Annotated[
        float, typer.Option(help="Seconds from one frame of a video to the next.")
    ] = 1.0,
    as_json: options.AsJsonObject = False,
) -> None:
    """Make images of videos, multi-page TIFF files and animations.

    The folders of the source are kept, so folders that name classes still do. Frames of one video are
    much alike: `headstart fit --group-by` keeps them on one side of the split. Videos need the extra
    `video`.

    Examples:

        headstart frames clips/ frames/ --every 2

        headstart frames slides.tif slides/
    """
    from headstart.data.frames import GROUP_BY, extract_frames

    with progress_bars(quiet=as_json) as progress:
        made = extract_frames(options.place(source), out, every_s=every, progress=progress)
    if as_json:
        echo_json(made.to_dict())
    else:
        show = console()
        lines = [
            f"{counted(made.n_images, 'image')} of {counted(len(made.counts), 'file')} in {made.folder}",
            f"fit  headstart fit {made.folder} --group-by '{GROUP_BY}'",
        ]
        if made.n_left_out:
            others = counted(made.n_left_out, "other file")
            lines.insert(1, f"{others} in {source} left out: neither videos nor files of pages")
        for line in lines:
            show.print(one_line(line, limit=400), soft_wrap=True)
    for name, reason in made.failed.items():
        typer.echo(f"headstart: {one_line(name)}: {reason}", err=True)
    if made.failed:
        raise typer.Exit(2)
