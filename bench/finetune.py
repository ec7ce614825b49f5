"""Fine-tuning at equal epochs: the plain loop runs the frozen part each time, ours keeps it."""

from __future__ import annotations

from pathlib import Path

from bench.frozen_head import compare_accuracy, synthetic
from bench.harness import (
    SHARED,
    Row,
    Side,
    compared,
    interleaved,
    open_sides,
    scratch,
    seconds_of,
)
from bench.images import read_split, some_of_each_class, write_split

TITLE = "Fine-tuning at equal epochs"
PEER = (
    "`bench/peers/finetune_plain.py`: eager float32, DataLoader with two workers, AdamW, the source's "
    "statistics of batch normalisation, every image through the whole network in every epoch. Where "
    "an epoch takes long, one is timed at each turn and counted up to the number of epochs. Ours "
    "decodes (and in its first turn converts the network), passes the frozen part once a view and trains; with augmentation, `upper` and `output` "
    "train on 4 kept views of each image, and the plain loop on a fresh one each epoch."
)
# regime, tap, augmentation, epochs, learning rate, target. Above blocks.4 lie a third of the network's
# multiplications, and to train these takes as long whether the rest is kept or not.
CASES = (
    ("output", "", "none", 10, 1e-2, 5.0),
    ("output", "", "basic", 10, 1e-2, 5.0),
    ("upper", "blocks.5", "none", 10, 3e-4, 5.0),
    ("upper", "blocks.4", "none", 10, 3e-4, None),
    ("upper", "blocks.5", "basic", 10, 3e-4, None),
    ("all", "", "basic", 2, 3e-4, 1.0),
)


def run(quick: bool) -> list[Row]:
    """A row a regime and augmentation."""
    rows = []
    with scratch() as folder:
        images, split = synthetic(folder, n_images=96, n_test=24) if quick else full_data(folder)
        cache = folder / "cache"
        cache.mkdir()
        for case in CASES[:1] if quick else CASES:
            rows.append(measure(images, split, folder, case, quick=quick))
    return rows


def full_data(folder: Path) -> tuple[Path, Path]:
    """Forty training and 20 test images of each of scene15's classes; synthetic ones without it."""
    scenes = SHARED / "data" / "scene15"
    if not scenes.is_dir():
        return synthetic(folder, n_images=900, n_test=300)
    names = read_split(SHARED / "data" / "scene15_split.csv")
    chosen = {s: some_of_each_class(names[s], n) for s, n in (("train", 40), ("test", 20))}
    return scenes, write_split(folder / "split.csv", chosen)


def measure(
    images: Path,
    split: Path,
    folder: Path,
    case: tuple[str, str, str, int, float, float | None],
    *,
    quick: bool,
) -> Row:
    """Both sides of one case, in turn."""
    regime, tap, augment, n_epochs, lr, target = case
    weights = str(folder / "weights.safetensors")
    with Side("write_weights", net="embedded", path=weights) as side:
        recipe = side.facts
    shared = {
        "images": str(images),
        "split": str(split),
        "regime": regime,
        "tap": tap,
        "augment": augment,
        "n_epochs": 2 if quick else n_epochs,
        "lr": lr,
    }
    wanted = {
        "ours": ("finetune_ours", shared | {"cache": str(folder / "cache")}),
        "peer": ("finetune_plain", shared | {"recipe": recipe, "n_timed": 1}),
    }
    with open_sides(wanted) as sides:
        turns = {label: side.measure for label, side in sides.items()}
        measured = interleaved(turns, 1 if quick else 2)
        predicted = {label: side.measure("predict")["predicted"] for label, side in sides.items()}
    names = read_split(split)
    labels = [name.split("/")[0] for name in names["test"]]
    ok, check = compare_accuracy(labels, predicted["ours"], predicted["peer"])
    kept = "activations kept" if measured["ours"][-1]["is_cached"] else "nothing kept"
    return compared(
        f"{n_epochs} epochs of `{regime}`{f' from {tap}' if tap else ''}, augmentation {augment}",
        seconds_of(measured["ours"]),
        seconds_of(measured["peer"]),
        target=None if quick else target,
        check=check,
        ok=ok,
        note=f"{len(names['train'])} training images; {kept}",
    )
