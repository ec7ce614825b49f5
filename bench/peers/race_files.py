"""What every peer of bench/race.py is given, and what it gives back: plain files, no package of ours."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """Images to train and to test on, weights of tf_efficientnet_lite0, and how long to train."""

    train: list[Path]
    labels: list[str]
    test: list[Path]
    weights: Path
    epochs: int
    few_shot: bool
    out: Path


def read_task() -> Task:
    """From the command line: ``FOLDER --weights FILE --epochs N``."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "folder", type=Path, help="with train.csv (path, label) and test.csv (path)"
    )
    parser.add_argument("--weights", type=Path, required=True, help=".safetensors")
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--few-shot", action="store_true", help="a peer's own way for few images")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    with (asked.folder / "train.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    with (asked.folder / "test.csv").open(newline="", encoding="utf-8") as file:
        test = [Path(row[0]) for row in csv.reader(file)]
    return Task(
        train=[Path(path) for path, _ in rows],
        labels=[label for _, label in rows],
        test=test,
        weights=asked.weights,
        epochs=asked.epochs,
        few_shot=asked.few_shot,
        out=asked.out,
    )


def write_predictions(task: Task, predicted: Iterable[object]) -> None:
    """One row a test image: path, predicted class."""
    with task.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows(
            [str(path), str(label)] for path, label in zip(task.test, predicted, strict=True)
        )
