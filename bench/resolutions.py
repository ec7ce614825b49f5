"""Three resolutions from one decode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.harness import (
    Row,
    Skipped,
    compared,
    interleaved,
    measure_once,
    open_sides,
    scratch,
    seconds_of,
)
from bench.images import make_images
from bench.machine import has_amx_bf16

TITLE = "Three resolutions in one pass"
PEER = (
    "Ourselves: `extract` at 160, 224 and 320 px in one call, over the sum of the three forward "
    "passes alone (ready crops, nothing decoded, nothing stored); and the same three resolutions in "
    "three calls, over one call."
)
SIZES = (160, 224, 320)
TARGET = 1.1


def run(quick: bool, part: str = "") -> list[Row]:
    """Two rows a precision on the embedded network; `part` names one precision."""
    if part == "bfloat16" and not has_amx_bf16():
        raise Skipped("the CPU has no matrix units for bfloat16")
    usual = ["float32"] + ["bfloat16"] * (has_amx_bf16() and not quick)
    rows = []
    for precision in [part] if part else usual:
        with scratch() as folder:
            rows += measure(precision, folder, quick=quick)
    return rows


def measure(precision: str, folder: Path, *, quick: bool) -> list[Row]:
    """One call, three calls and the forward passes, in turn."""
    n_images = 16 if quick else 384
    images, cache = folder / "images", folder / "cache"
    cache.mkdir()
    make_images(images, n_images)
    own: dict[str, Any] = {"net": "embedded", "precision": precision, "cache": str(cache)}
    own["sizes"] = list(SIZES)
    measure_once("convert", **own)
    wanted: dict[str, tuple[str, Mapping[str, Any]]] = {
        "one": ("extract_resolutions", own | {"images": str(images), "together": True}),
        "three": ("extract_resolutions", own | {"images": str(images), "together": False}),
        "forward": ("forward_resolutions", own | {"n_images": n_images}),
    }
    with open_sides(wanted) as sides:
        measured = interleaved(
            {label: side.measure for label, side in sides.items()}, 3 if quick else 5
        )
    seconds = {label: seconds_of(m) for label, m in measured.items()}
    sizes = ", ".join(map(str, SIZES))
    note = f"{n_images} images of 500 x 375 pixels, embedded network, {sizes} px"
    return [
        compared(
            f"three resolutions over their forwards, {precision}",
            seconds["one"],
            seconds["forward"],
            inverse=True,
            target=None if quick else TARGET,
            check="the same engine",
            note=note,
        ),
        compared(
            f"three resolutions, one call against three, {precision}",
            seconds["one"],
            seconds["three"],
            check="the same engine",
        ),
    ]
