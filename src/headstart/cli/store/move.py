"""``headstart store move``: the cache in another folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import options
from headstart.cli.console import console, echo_json, progress_bars
from headstart.cli.store.showing import size
from headstart.errors import one_line


def move(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="NEWFOLDER", help="Missing, empty, or a cache.", parser=options.place
        ),
    ],
    keep: Annotated[bool, typer.Option("--keep", help="Copy only; remove nothing here.")] = False,
    as_json: options.AsJsonObject = False,
) -> None:
    """Copy the cache to another folder, then remove it here.

    Every copy is verified before anything is removed. If interrupted, run it again.

    Example:

        headstart store move /big/disk/headstart
    """
    from headstart.features.moving import move as carry
    from headstart.home import cache_place

    root = cache_place()
    with progress_bars(quiet=as_json) as progress:
        done = carry(root, folder, keep=keep, progress=progress)
    next_step = f"export HEADSTART_CACHE={shlex.quote(str(folder.absolute()))}"
    if as_json:
        facts = {
            "from": str(root), "to": str(folder.absolute()), "n_files": done.n_files,
            "n_bytes": done.n_bytes, "n_copied": done.n_copied,
            "stayed": [str(p) for p in done.stayed], "advice": [next_step],
        }  # fmt: skip
        echo_json(facts)
        return
    out = console()
    verb = "copied" if keep else "moved"
    out.print(f"{verb} {done.n_files:,} files, {size(done.n_bytes)}, each read back")
    if done.stayed:
        out.print(f"{len(done.stayed)} files could not be removed from {one_line(str(root))}", soft_wrap=True)  # fmt: skip
    out.print("Headstart must be told where it is now; put this into your shell's profile:")  # fmt: skip
    out.print(f"  {next_step}", soft_wrap=True)
