"""Ten epochs of a new head: through the frozen backbone each time, or on features kept once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.harness import (
    SHARED,
    Row,
    Side,
    compared,
    interleaved,
    measure_once,
    open_sides,
    scratch,
    seconds_of,
)
from bench.images import make_images, read_split, some_of_each_class, write_split
from bench.machine import has_amx_bf16

TITLE = "A new head on a frozen backbone, 10 epochs"
PEER = (
    "`bench/peers/frozen_epochs.py`: the embedded network frozen in eager float32, DataLoader (0 or "
    "2 workers, whichever was faster in a trial), a linear layer trained by Adam; every epoch passes "
    "all training images through the network. One epoch is timed at each turn and counted ten times; "
    "the epochs not timed are trained on features of one more pass, which gives the same head. Ours "
    "extracts all layers at 224 px once into an empty store, then cross-validates ten values of C in "
    "five folds on the layer before the classifier and fits the head."
)
N_EPOCHS = 10
TARGET = 50.0
SIZE_PX = 224


def run(quick: bool) -> list[Row]:
    """A row a precision."""
    with scratch() as folder:
        images, split = quick_data(folder) if quick else full_data(folder)
        return measure(images, split, folder, quick=quick)


def full_data(folder: Path) -> tuple[Path, Path]:
    """scene15's training images and 30 test images per class; synthetic ones where it is absent."""
    scenes = SHARED / "data" / "scene15"
    if not scenes.is_dir():
        return synthetic(folder, n_images=1950, n_test=450)
    names = read_split(SHARED / "data" / "scene15_split.csv")
    test = some_of_each_class(names["test"], 30)
    return scenes, write_split(folder / "split.csv", {"train": names["train"], "test": test})


def quick_data(folder: Path) -> tuple[Path, Path]:
    """A few synthetic images."""
    return synthetic(folder, n_images=64, n_test=24)


def synthetic(folder: Path, *, n_images: int, n_test: int) -> tuple[Path, Path]:
    """Images of four classes that differ in their pattern, and their split."""
    root = folder / "images"
    paths = make_images(root, n_images, n_classes=4, class_share=0.8)
    names = [path.relative_to(root).as_posix() for path in paths]
    test = set(some_of_each_class(names, n_test // 4))
    sides = {"train": [n for n in names if n not in test], "test": sorted(test)}
    return root, write_split(folder / "split.csv", sides)


def measure(images: Path, split: Path, folder: Path, *, quick: bool) -> list[Row]:
    """Our whole job and an epoch of the peer's, in turn."""
    cache = folder / "cache"
    cache.mkdir()
    with Side("write_weights", net="embedded", path=str(folder / "weights.safetensors")) as side:
        recipe = side.facts
    precisions = ["float32"] + ["bfloat16"] * (has_amx_bf16() and not quick)
    data = {"images": str(images), "split": str(split)}
    own = {"cache": str(cache), "size_px": SIZE_PX}
    for precision in precisions:
        measure_once(
            "convert", net="embedded", cache=str(cache), precision=precision, sizes=[SIZE_PX]
        )
    wanted: dict[str, tuple[str, Mapping[str, Any]]] = {
        p: ("head_ours", data | own | {"precision": p}) for p in precisions
    }
    wanted["peer"] = ("head_plain", data | {"recipe": recipe, "n_epochs": N_EPOCHS})
    repeats = 1 if quick else 2
    with open_sides(wanted) as sides:
        turns = {label: side.measure for label, side in sides.items()}
        measured = interleaved(turns, repeats)
        predicted = {label: side.measure("predict")["predicted"] for label, side in sides.items()}
        workers = sides["peer"].facts["num_workers"]
    names = read_split(split)
    labels = [name.split("/")[0] for name in names["test"]]
    ten_epochs = [N_EPOCHS * s for s in seconds_of(measured["peer"])]
    rows = []
    for p in precisions:
        ok, check = compare_accuracy(labels, predicted[p], predicted["peer"])
        head_s = measured[p][-1]["head_s"]
        note = (
            f"{len(names['train'])} training images; of ours, {head_s:.2f} s are the head's; "
            f"{repeats} of the peer's epochs timed, {workers} workers"
        )
        rows.append(
            compared(
                f"10 epochs of a head, {p}",
                seconds_of(measured[p]),
                ten_epochs,
                target=None if quick else TARGET,
                check=check,
                ok=ok,
                note=note,
            )
        )
    return rows


def compare_accuracy(
    labels: Sequence[str], ours: Sequence[str], peer: Sequence[str]
) -> tuple[bool, str]:
    """Whether ours is as good within the noise of paired predictions (McNemar's test, 5 %)."""
    right = [(a == y, b == y) for y, a, b in zip(labels, ours, peer, strict=True)]
    n_ours = sum(a and not b for a, b in right)
    n_peer = sum(b and not a for a, b in right)
    accuracy = [100 * sum(side) / len(labels) for side in zip(*right, strict=True)]
    ok = n_peer - n_ours <= 1.96 * math.sqrt(n_peer + n_ours)
    word = "within noise or better" if ok else "WORSE"
    text = f"accuracy {accuracy[0]:.1f} against {accuracy[1]:.1f} % on {len(labels)}: {word}"
    return ok, text
