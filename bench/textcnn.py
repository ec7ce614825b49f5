"""TextCNN: an epoch of each variant, and a new output layer on a frozen network."""

from __future__ import annotations

import csv
import random
from pathlib import Path

from bench.docstrings import write_docstrings
from bench.frozen_head import compare_accuracy
from bench.harness import (
    Row,
    compared,
    interleaved,
    measure_once,
    open_sides,
    scratch,
    seconds_of,
)

TITLE = "TextCNN at equal epochs"
PEER = (
    "`bench/peers/textcnn_plain.py`: `nn.Embedding`, `nn.Conv1d`, Adam; a shuffling DataLoader fills each "
    "batch of 50 up to its longest text. First paragraphs of docstrings of installed packages "
    "(`bench/docstrings.py`), split into words beforehand; random vectors of length 300. Ours sorts texts "
    "into batches of like length and takes torch's fused Adam. For the new output layer, the peer passes "
    "every text through the frozen `static` network in each of ten epochs; ours does it once, then "
    "cross-validates ten values of C in five folds and fits the head: 51 trainings to the peer's one. "
    "The last row is one against one."
)
VARIANTS = ("rand", "static", "non-static", "multichannel")
# An epoch must not be slower; a head on kept features should be many times faster.
EPOCH, CACHED = 1.0, 5.0
N_EPOCHS = 4
TEST_SHARE = 0.2


def run(quick: bool) -> list[Row]:
    """A row a variant, and three of the new output layer."""
    with scratch() as folder:
        table = write_table(folder / "texts.csv", 80 if quick else 1000)
        variants = VARIANTS[:1] if quick else VARIANTS
        rows = [measure_variant(table, variant, quick=quick) for variant in variants]
        return rows + measure_head(table, folder, quick=quick)


def write_table(path: Path, n_texts: int) -> Path:
    """Docstrings with their label and split; `n_texts` of each of four packages."""
    write_docstrings(path.with_name("docstrings.csv"), n_texts=n_texts)
    with path.with_name("docstrings.csv").open(newline="", encoding="utf-8") as file:
        _, *lines = csv.reader(file)
    random.Random(0).shuffle(lines)
    n_test = round(TEST_SHARE * len(lines))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label", "split"])
        for i, (text, label) in enumerate(lines):
            writer.writerow([text, label, "test" if i < n_test else "train"])
    return path


def labels_of_test(table: Path) -> list[str]:
    """Labels of the test texts, in the order of the table."""
    with table.open(newline="", encoding="utf-8") as file:
        return [row["label"] for row in csv.DictReader(file) if row["split"] == "test"]


def measure_variant(table: Path, variant: str, *, quick: bool) -> Row:
    """Both sides train the same network in turn."""
    shared = {"table": str(table), "variant": variant, "n_epochs": 1 if quick else N_EPOCHS}
    wanted = {"ours": ("textcnn_ours", shared), "peer": ("textcnn_plain", shared)}
    with open_sides(wanted) as sides:
        turns = {label: side.measure for label, side in sides.items()}
        measured = interleaved(turns, 1 if quick else 3)
        predicted = {label: side.measure("predict")["predicted"] for label, side in sides.items()}
    ok, check = compare_accuracy(labels_of_test(table), predicted["ours"], predicted["peer"])
    n_epochs = shared["n_epochs"]
    return compared(
        f"{n_epochs} epochs of TextCNN `{variant}`",
        seconds_of(measured["ours"]),
        seconds_of(measured["peer"]),
        target=None if quick else EPOCH,
        check=check,
        ok=ok,
    )


def measure_head(table: Path, folder: Path, *, quick: bool) -> list[Row]:
    """A new output layer: ten epochs, or features once; and the features kept already."""
    shared = {"table": str(table), "folder": str(folder)}
    measure_once("write_static", **shared, n_epochs=1 if quick else N_EPOCHS)
    wanted = {"ours": ("texthead_ours", shared), "peer": ("texthead_plain", shared)}
    with open_sides(wanted) as sides:
        measured = interleaved(
            {
                "ours": sides["ours"].measure,
                "cached": lambda: sides["ours"].measure("cached"),
                "single": lambda: sides["ours"].measure("single"),
                "peer": sides["peer"].measure,
            },
            1 if quick else 3,
        )
        predicted = {label: side.measure("predict")["predicted"] for label, side in sides.items()}
    ok, check = compare_accuracy(labels_of_test(table), predicted["ours"], predicted["peer"])
    names = {
        "ours": "features made",
        "cached": "features kept from before",
        "single": "features kept, one fit at C = 1",
    }
    return [
        compared(
            f"A new output layer on a frozen TextCNN `static`, {name}",
            seconds_of(measured[side]),
            seconds_of(measured["peer"]),
            target=CACHED if side == "cached" and not quick else None,
            check=check,
            ok=ok,
        )
        for side, name in names.items()
    ]
