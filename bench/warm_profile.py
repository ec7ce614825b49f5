"""How long the layer profile takes where every feature is in the store already."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.harness import (
    SHARED,
    Row,
    Skipped,
    interleaved,
    run_command,
    scratch,
    seconds_row,
)
from bench.images import make_images

TITLE = "Layer profile from a warm store"
PEER = (
    "No peer. The whole command, start-up included: `headstart transfer profile` of scene15 (1,500 training "
    "and 2,985 test images), ten layers at 224 and 320 px, concatenation included."
)
SECONDS = 20.0


def run(quick: bool) -> list[Row]:
    """The command once to fill the store, then timed."""
    scenes = SHARED / "data" / "scene15"
    if not quick and not scenes.is_dir():
        raise Skipped(f"there is no {scenes}")
    with scratch() as folder:
        if quick:
            make_images(folder / "images", 24, n_classes=2, class_share=0.5)
            words = [str(folder / "images"), "--resolutions", "64,96"]
        else:
            words = [str(scenes), "--split", str(SHARED / "data" / "scene15_split.csv")]
        return [measure(words, folder, quick=quick)]


def measure(words: list[str], folder: Path, *, quick: bool) -> Row:
    """Seconds of the command, and whether it answered alike each time."""
    headstart = str(Path(sys.executable).with_name("headstart"))
    command = [headstart, "transfer", "profile", *words, "--json"]
    command += ["--out", str(folder / "profile")]
    answers: list[str] = []

    def profile() -> float:
        seconds, out = run_command(command, HEADSTART_CACHE=str(folder / "cache"))
        answers.append(out)
        return seconds

    profile()  # fills the store
    seconds = interleaved({"profile": profile}, 1 if quick else 3)["profile"]
    is_alike = len(set(answers)) == 1
    return seconds_row(
        "headstart transfer profile",
        seconds,
        target=None if quick else SECONDS,
        check="the same figures each time" if is_alike else "the figures differ",
        ok=is_alike,
    )
