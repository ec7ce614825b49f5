"""Peak memory of extraction as the number of images grows."""

from __future__ import annotations

import statistics
from functools import partial
from pathlib import Path
from typing import Any

from bench.harness import Row, interleaved, measure_once, scratch
from bench.images import THUMB_SIZE, make_images

TITLE = "Memory of extraction"
PEER = (
    "Ourselves with fewer images: SqueezeNet 1.1 with random weights at 64 px on 64 x 64 JPEG files, "
    "each size in a process of its own, its peak resident memory (imports and network included) over "
    "that of the smallest size."
)
SIZE_PX = 64
TARGET = 1.15


def run(quick: bool) -> list[Row]:
    """One row: the largest size over the smallest."""
    counts = (500, 1000, 2000) if quick else (1000, 4000, 16000)
    with scratch() as folder:
        return [measure(counts, folder, repeats=1 if quick else 3, quick=quick)]


def measure(counts: tuple[int, ...], folder: Path, *, repeats: int, quick: bool) -> Row:
    """All sizes in turn."""
    cache = folder / "cache"
    cache.mkdir()
    for n in counts:
        make_images(folder / str(n), n, size=THUMB_SIZE)
    own: dict[str, Any] = {"net": "squeezenet1_1", "cache": str(cache)}
    measure_once("convert", **own, precision="float32", sizes=[SIZE_PX])
    measured = interleaved(
        {
            n: partial(
                measure_once, "peak_memory", **own, images=str(folder / str(n)), size_px=SIZE_PX
            )
            for n in counts
        },
        repeats,
    )
    peaks = {n: [m["peak_mib"] for m in measured[n]] for n in counts}
    smallest, largest = counts[0], counts[-1]
    ratios = [a / b for a, b in zip(peaks[largest], peaks[smallest], strict=True)]
    middle = {n: statistics.median(values) for n, values in peaks.items()}
    before = statistics.median(m["before_mib"] for m in measured[smallest])
    growth = (middle[largest] - middle[smallest]) / (largest - smallest) * 1024
    n_done = {n: measured[n][-1]["n_forward"] for n in counts}
    return Row(
        name=f"peak memory, {largest:,} images over {smallest:,}",
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        better="lower",
        target=None if quick else TARGET,
        check="every image passed through the network"
        if n_done == {n: n for n in counts}
        else f"images passed through: {n_done}",
        ok=n_done == {n: n for n in counts},
        note=", ".join(f"{n:,} images {m:.0f} MiB" for n, m in middle.items())
        + f"; {before:.0f} MiB before the first image; {growth:.1f} KiB more for each image; "
        f"{repeats} measurement(s) a size",
    )
