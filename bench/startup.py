"""How long a person waits for the help, and for one prediction."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.harness import (
    Row,
    compared,
    interleaved,
    measure_once,
    run_command,
    scratch,
    seconds_row,
)
from bench.images import make_images

TITLE = "Start-up"
PEER = '`python -c "import torch"`, which everything that predicts must wait for.'
HELP_S = 0.5
PREDICT_OVER_TORCH = 2.0  # importing torch is then half of it or more


def run(quick: bool) -> list[Row]:
    """Help in seconds and against importing torch; one prediction against it."""
    with scratch() as folder:
        return measure(folder, quick=quick)


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """The three commands in turn."""
    images, run_folder, cache = folder / "images", folder / "run", folder / "cache"
    paths = make_images(images, 128, n_classes=2, class_share=0.5)
    measure_once("small_run", images=str(images), out=str(run_folder), cache=str(cache))
    headstart = str(Path(sys.executable).with_name("headstart"))
    printed: list[str] = []

    def predict() -> float:
        command = [headstart, "predict", str(run_folder), str(paths[0])]
        seconds, out = run_command(command, HEADSTART_CACHE=str(cache))
        printed.append(out)
        return seconds

    sides = {
        "help": lambda: run_command([headstart, "--help"])[0],
        "torch": lambda: run_command([sys.executable, "-c", "import torch"])[0],
        "predict": predict,
    }
    if not quick:
        interleaved(sides, 1)  # the first start reads from the disk
    seconds = interleaved(sides, 3 if quick else 5)
    is_answered = all("class0" in out and "class1" in out for out in printed)
    return [
        seconds_row(
            "headstart --help",
            seconds["help"],
            target=None if quick else HELP_S,
            check="exit code 0",
        ),
        compared(
            "headstart --help against import torch",
            seconds["help"],
            seconds["torch"],
            check="exit code 0",
        ),
        compared(
            "headstart predict RUN one.jpg over import torch",
            seconds["predict"],
            seconds["torch"],
            inverse=True,
            target=None if quick else PREDICT_OVER_TORCH,
            check="both classes are printed" if is_answered else "the classes are not printed",
            ok=is_answered,
            note="the whole command; a small run of the embedded network at 96 px",
        ),
    ]
