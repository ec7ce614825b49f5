"""``headstart demo``: the main job on data that comes with the packages."""

from __future__ import annotations

import glob
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import options
from headstart.cli.console import echo_json
from headstart.errors import DataError, InputError, argument


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(demo)


def demo(
    out: Annotated[
        Path, options.folder_to_write("Folder to make for data, run and report.")
    ] = Path("demo"),
    force: Annotated[
        bool, typer.Option("--force", help="Write into the folder even if it exists.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Predict, fit and predict again, on sample images.

    The images come with the packages, and nothing is downloaded. The demo names what is in a
    photograph, finds the best layer for 400 handwritten digits and predicts with that run, which
    takes a minute or two. Each command is shown before it runs.

    Examples:

        headstart demo

        headstart demo --out /tmp/demo
    """
    from headstart.data import write_digits

    if out.exists() and not force:
        raise InputError(
            f"{argument('out')}: {out} is already there; take another folder, or {argument('force')}"
        )
    started = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    photograph = _write_photograph(out)
    write_digits(out / "digits")
    commands = (
        ("predict", "imagenet", photograph),
        ("fit", out / "digits", "--out", out / "run", "--force"),
        ("predict", out / "run", Path(glob.escape(str(out))) / "digits/3/0[0-2].png", "--top", "2"),
    )
    for words in commands:
        _run(list(map(str, words)), is_shown=not as_json)
    seconds, report = time.perf_counter() - started, out / "run" / "report.html"
    if as_json:
        echo_json({"run": str(out / "run"), "report": str(report), "seconds": round(seconds, 1)})
    else:
        typer.echo(f"\nDone in {seconds:.0f} s. Open the report in a browser:")
        typer.echo(f"  {report.resolve().as_uri()}")


def _write_photograph(folder: Path) -> Path:
    """A cat, or a flower where scikit-image is not installed."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    from headstart.data import write_cat

    try:
        write_cat(folder / "cat.jpg")
    except DataError:
        Image.fromarray(load_sample_image("flower.jpg")).save(folder / "flower.jpg", quality=95)
        return folder / "flower.jpg"
    return folder / "cat.jpg"


def _run(words: list[str], *, is_shown: bool) -> None:
    """Run a command, by default shown with its answer, and stop if it fails."""
    if is_shown:
        typer.echo(f"\n$ {shlex.join(['headstart', *words])}")
        sys.stdout.flush()
    # -P: a file of the working folder must not stand for a module.
    command = [sys.executable, "-P", "-m", "headstart", *words]
    done = subprocess.run(command, stdout=None if is_shown else subprocess.DEVNULL, check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)
