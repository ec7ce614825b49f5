"""From labelled images to the answer: `headstart fit` against a script for one layer."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.frozen_head import compare_accuracy
from bench.harness import (
    ROOT,
    SHARED,
    Row,
    Side,
    Skipped,
    compared,
    interleaved,
    is_full,
    measure_once,
    run_command,
    scratch,
    seconds_row,
)
from bench.images import read_split, some_of_each_class, write_split

TITLE = "The whole question on scene15"
PEER = (
    "`bench/peers/question_plain.py`: one layer at one resolution (224 px) by the plain script, then "
    "GridSearchCV(LinearSVC, 10 values of C, 5 folds, 2 processes). Ours is `headstart fit`: index, "
    "all layers at three resolutions, every C on every candidate, choice, refit, report. Both from "
    "the start of the process to its end, imports included; our store is empty, the converted "
    "networks are there."
)
TARGET = 1.0
SECOND_RUN_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """Images, their split, and the sizes to look at."""

    images: Path
    split: Path
    sizes: tuple[int, ...]
    size_px: int


def run(quick: bool) -> list[Row]:
    """The first run against the script, and the second run.

    Raises
    ------
    Skipped
        The scenes are not beside the checkout.
    """
    if not (SHARED / "data" / "scene15").is_dir():
        raise Skipped("the 15-Scene set is not in ../shared")
    with scratch() as folder:
        task = quick_task(folder) if quick else full_task()
        return measure(task, folder, quick=quick)


def full_task() -> Task:
    """All 4,485 images."""
    data = SHARED / "data"
    return Task(
        images=data / "scene15",
        split=data / "scene15_split.csv",
        sizes=(160, 224, 320),
        size_px=224,
    )


def quick_task(folder: Path) -> Task:
    """Four classes with 30 images each."""
    scenes = SHARED / "data" / "scene15"
    classes = ("Coast", "Forest", "Kitchen", "Street")
    chosen = {
        side: [n for n in some_of_each_class(names, 15) if n.split("/")[0] in classes]
        for side, names in read_split(SHARED / "data" / "scene15_split.csv").items()
    }
    for name in [*chosen["train"], *chosen["test"]]:
        target = folder / "images" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(scenes / name, target)
    split = write_split(folder / "split.csv", chosen)
    return Task(images=folder / "images", split=split, sizes=(96, 128), size_px=128)


def measure(task: Task, folder: Path, *, quick: bool) -> list[Row]:
    """First runs and the script in turn, then second runs."""
    warm = folder / "warm"
    warm.mkdir()
    weights = folder / "weights.safetensors"
    with Side("write_weights", net="embedded", path=str(weights)):
        pass
    measure_once(
        "convert", net="embedded", cache=str(warm), precision="float32", sizes=list(task.sizes)
    )
    cold = 0

    def first_run() -> float:
        nonlocal cold
        cold += 1
        cache = folder / f"cache{cold}"
        shutil.copytree(warm, cache)
        return fit(task, folder / f"run{cold}", cache)

    def script() -> float:
        peer = ROOT / "bench" / "peers" / "question_plain.py"
        command = [sys.executable, str(peer), str(task.images), "--split", str(task.split)]
        command += ["--weights", str(weights), "--out", str(folder / "peer.csv")]
        seconds, _ = run_command([*command, "--size", str(task.size_px)])
        return seconds

    repeats = 3 if is_full() else 1
    measured = interleaved({"ours": first_run, "peer": script}, repeats)
    again = [fit(task, folder / f"again{i}", folder / "cache1") for i in range(1 if quick else 5)]
    ok, check = compare(folder / "run1" / "predictions.csv", folder / "peer.csv")
    sizes = ", ".join(map(str, task.sizes))
    return [
        compared(
            "whole question against one layer, one resolution",
            measured["ours"],
            measured["peer"],
            target=None if quick else TARGET,
            check=check,
            ok=ok,
            note=f"all layers at {sizes} px; measured {repeats} time(s) each; "
            f"ours spent {stages(folder / 'run1')}",
        ),
        seconds_row(
            "second run on the same images",
            again,
            target=None if quick else SECOND_RUN_S,
            note="a new process with the store of the first; imports and report included; "
            f"it spent {stages(folder / 'again0')}",
        ),
    ]


def fit(task: Task, out: Path, cache: Path) -> float:
    """Seconds of `headstart fit`."""
    headstart = str(Path(sys.executable).with_name("headstart"))
    command = [headstart, "fit", str(task.images), "--split", str(task.split), "--out", str(out)]
    sizes = ",".join(map(str, task.sizes))
    seconds, _ = run_command(
        [*command, "--resolutions", sizes, "--device", "cpu"], HEADSTART_CACHE=str(cache)
    )
    return seconds


def stages(run: Path) -> str:
    """What the stages of a run took, in words."""
    found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    spent = found["timings_s"].items()
    words = ", ".join(f"{seconds:.1f} s {name}" for name, seconds in spent if name != "total")
    engine = found["extraction"]["engine"]
    return f"{words} ({engine})" if engine else words


def compare(ours: Path, peer: Path) -> tuple[bool, str]:
    """Accuracies of two files of test predictions, paired by name."""
    a, b = read_predictions(ours), read_predictions(peer)
    names = sorted(a.keys() & b.keys())
    if len(names) < len(b):
        return False, f"ours predicted {len(names)} of the peer's {len(b)} test images"
    labels = [b[n][0] for n in names]
    return compare_accuracy(labels, [a[n][1] for n in names], [b[n][1] for n in names])


def read_predictions(path: Path) -> dict[str, tuple[str, str]]:
    """Label and predicted class by name."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row["name"]: (row["label"], row["predicted"]) for row in csv.DictReader(file)}
