"""Every layer's features of 500 x 375 JPEG files, from the files to the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench.harness import (
    Row,
    Side,
    compared,
    interleaved,
    measure_once,
    scratch,
    seconds_of,
    seconds_row,
)
from bench.images import make_images
from bench.machine import has_amx_bf16

TITLE = "Extraction: all layers, 224 px"
PEER = (
    "`bench/peers/extract_plain.py`: PIL, torchvision transforms, DataLoader (0 or 2 workers, "
    "whichever was faster in a trial), eager float32 with forward hooks on the same layers, "
    "`np.save`. The clock starts after imports, loading of the network and one warming batch (peer), "
    "or loading of the converted network (ours); ours includes writing the store durably. Each "
    "measurement is a process of its own. The index (digests, sizes) is not part of it."
)
TOLERANCE = 0.02


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network, how many images, and the targets of both precisions."""

    net: str
    n_images: int
    targets: Mapping[str, float]


FULL = (
    Case(net="embedded", n_images=512, targets={"float32": 5.0, "bfloat16": 9.0}),
    Case(net="resnet18", n_images=512, targets={"float32": 1.8, "bfloat16": 6.5}),
    Case(net="vgg16", n_images=64, targets={"float32": 1.4, "bfloat16": 6.0}),
)
QUICK = (Case(net="embedded", n_images=32, targets={}),)


def run(quick: bool, part: str = "") -> list[Row]:
    """A row for each network and precision, and what the conversion costs once.

    `part` names one network.
    """
    rows = []
    for case in QUICK if quick else FULL:
        if part in ("", case.net):
            with scratch() as folder:
                rows += measure(case, folder, repeats=3 if quick else 5)
    return rows


def measure(case: Case, folder: Path, *, repeats: int) -> list[Row]:
    """All rows of one network."""
    images, cache = folder / "images", folder / "cache"
    cache.mkdir()
    make_images(images, case.n_images)
    with Side("write_weights", net=case.net, path=str(folder / "weights.safetensors")) as side:
        recipe = side.facts
    precisions = ["float32"] + ["bfloat16"] * (has_amx_bf16() and bool(case.targets))
    once = measure_once(
        "convert", net=case.net, cache=str(cache), precision="float32", sizes=[recipe["size_px"]]
    )
    plain = {"images": str(images), "recipe": recipe, "out": str(folder / "plain")}
    workers, trial = pick_workers(plain, case.n_images // 2) if case.targets else (2, "none")
    shared = {"images": str(images), "net": case.net, "cache": str(cache)}
    shared |= {"size_px": recipe["size_px"]}
    sides = {
        p: partial(
            measure_once, "extract_ours", **shared, precision=p, out=str(folder / f"{p}.npz")
        )
        for p in precisions
    }
    sides["peer"] = partial(measure_once, "extract_plain", **plain, num_workers=workers)
    measured = interleaved(sides, repeats)
    rows = [
        row_of(case, p, measured, differences(folder / f"{p}.npz", folder / "plain"), trial)
        for p in precisions
    ]
    note = "before the first extraction of a network at a resolution; kept afterwards"
    return [
        *rows,
        seconds_row(f"one-time conversion of {case.net}", [once["seconds"]], note=note),
    ]


def pick_workers(plain: Mapping[str, Any], n_images: int) -> tuple[int, str]:
    """The better number of DataLoader workers on some of the images, and the trial in words."""
    trial = {
        n: measure_once("extract_plain", **plain, num_workers=n, n_images=n_images)["seconds"]
        for n in (0, 2)
    }
    best = min(trial, key=trial.__getitem__)
    words = ", ".join(f"{n} workers {s:.2f} s" for n, s in trial.items())
    return best, f"{words} for {n_images} images"


def row_of(
    case: Case,
    precision: str,
    measured: Mapping[str, list[dict[str, Any]]],
    moved: Mapping[str, float],
    trial: str,
) -> Row:
    """One precision against the peer."""
    ours, peer = measured[precision], measured["peer"]
    worst = max(moved, key=moved.__getitem__)
    check = f"features differ by at most {moved[worst]:.1%} of their centred norm ({worst})"
    is_exact = precision == "float32"
    note = (
        f"{case.n_images} images, {ours[-1]['engine']}; median start-up: ours "
        f"{np.median([m['startup_s'] for m in ours]):.1f} s and "
        f"{np.median([m['load_s'] for m in ours]):.2f} s to load the engine, peer "
        f"{np.median([m['startup_s'] for m in peer]):.1f} s; trial of the peer: {trial}"
    )
    return compared(
        f"extract {case.net}, {precision}",
        seconds_of(ours),
        seconds_of(peer),
        target=case.targets.get(precision),
        check=check + (f", tolerance {TOLERANCE:.0%}" if is_exact else ", reported only"),
        ok=moved[worst] <= TOLERANCE if is_exact else True,
        note=note,
    )


def differences(ours: Path, peer: Path) -> dict[str, float]:
    """For each layer, the norm of the difference over the norm of the peer's centred features."""
    found = {}
    with np.load(ours, allow_pickle=False) as kept:
        for layer in kept.files:
            theirs = np.load(peer / f"{layer}.npy", allow_pickle=False).astype(np.float64)
            centred = np.linalg.norm(theirs - theirs.mean(axis=0))
            found[layer] = float(np.linalg.norm(kept[layer] - theirs) / centred)
    return found
