"""Predictions of the mean of several candidates, the default, beside those of one layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.harness import (
    Row,
    compared,
    interleaved,
    measure_once,
    open_sides,
    scratch,
    seconds_of,
)
from bench.images import make_images

TITLE = "Predictions of a mean of several candidates against one layer"
PEER = (
    "`run.predict(paths)` of two runs on the same images: the default, which averages several candidates at "
    "three resolutions, and `--prefer cheap`, which takes one layer as 0.1 did."
)


def run(quick: bool, part: str = "") -> list[Row]:
    """One row: what the mean costs, files to labels."""
    with scratch() as folder:
        return measure(folder, quick=quick)


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """Both runs in turn, on the same images."""
    n, cache = 16 if quick else 128, str(folder / "cache")
    paths = make_images(folder / "images", 64, n_classes=4, class_share=0.2)
    fits = {name: measure_once(
        "run_of_images", images=str(folder / "images"), out=str(folder / name), cache=cache,
        prefer=prefer, resolutions=[64] if quick else [160, 224, 320],
    ) for name, prefer in (("mean", "accurate"), ("layer", "cheap"))}  # fmt: skip
    chosen = [str(p) for p in (paths * 2)[:n]]
    wanted: dict[str, tuple[str, Mapping[str, Any]]] = {
        name: ("predict_loop", {"run": str(folder / name), "paths": chosen, "cache": cache})
        for name in fits
    }
    with open_sides(wanted) as sides:
        measured = interleaved(
            {name: lambda side=side: side.measure("whole") for name, side in sides.items()},  # type: ignore[misc]
            2 if quick else 5,
        )
    seconds = {name: seconds_of(m) for name, m in measured.items()}
    speeds = {name: n / sorted(s)[len(s) // 2] for name, s in seconds.items()}
    macs = {name: fits[name]["macs"] for name in fits}
    return [
        compared(
            "predict of the mean over predict of one layer",
            seconds["mean"],
            seconds["layer"],
            inverse=True,
            check="the same images",
            note=f"{n} images of 500 x 375 pixels: {speeds['mean']:.0f} images/s by the "
            f"{fits['mean']['what']}, {speeds['layer']:.0f} by the {fits['layer']['what']}; "
            f"{macs['mean'] / macs['layer']:.1f} times the multiply-accumulates",
        )
    ]
