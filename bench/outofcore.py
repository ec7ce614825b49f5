"""The linear SVM in blocks from the disk against the same in memory: seconds and peak memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench.harness import Row, Skipped, interleaved, measure_once, scratch

TITLE = "Heads out of core"
PEER = (
    "Ourselves with the features in memory: one path of 3 C x 3 folds and the model on everything, 10 "
    "classes, synthetic float16 features in a file. Memory is what the process takes beyond its imports "
    "and beyond pages of the file."
)
# Below it the Gram matrix is the shorter way, and no side streams.
LEAST_SAMPLES = 9_001
N_CLASSES = 10
# Four times the examples; their labels, folds and scores are all that grows.
TARGET_GROWTH = 2.0


def run(quick: bool) -> list[Row]:
    """Seconds at the largest size, and how memory grows with the number of examples."""
    if not Path("/proc/self/status").exists():
        raise Skipped("needs /proc to tell memory of one's own from pages of a file")
    counts, width = ((10_000, 20_000), 64) if quick else ((40_000, 160_000), 100)
    with scratch() as folder:
        write_features(folder, counts[-1], width)
        files = {"features": str(folder / "X.npy"), "labels": str(folder / "y.npy")}
        found = interleaved(
            {
                (n, is_streamed): partial(
                    measure_once, "svm_path", **files, n_samples=n, is_streamed=is_streamed
                )
                for n in counts
                for is_streamed in (True, False)
            },
            1,
        )
    return rows({key: each[0] for key, each in found.items()}, counts, width, quick)


def write_features(folder: Path, n: int, width: int) -> None:
    """Clusters that overlap, a part at a time."""
    assert n > LEAST_SAMPLES
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((N_CLASSES, width))
    y = rng.integers(0, N_CLASSES, n)
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float16, (n, width))
    for start in range(0, n, 5_000):
        some = slice(start, start + 5_000)
        noise = 3 * rng.standard_normal((len(y[some]), width))
        X[some] = np.maximum(centres[y[some]] + noise, 0)
    X.flush()
    np.save(folder / "y.npy", y)


def rows(
    found: dict[tuple[int, bool], dict[str, Any]], counts: tuple[int, ...], width: int, quick: bool
) -> list[Row]:
    """One row of seconds and two of memory."""
    few, many = counts[0], counts[-1]
    ours, peer = found[many, True], found[many, False]
    file_mib = many * width * 2 / 2**20
    size = f"n={many:,}, d={width}"
    differs = float(np.abs(np.array(ours["coef"]) - peer["coef"]).max())
    worst = max(each["gap"] for each in found.values())
    is_same = ours["accuracy"] == peer["accuracy"] or np.allclose(
        ours["accuracy"], peer["accuracy"], atol=1e-3
    )
    answers: dict[str, Any] = {
        "check": f"weights differ by at most {differs:.0e}; largest certified gap {worst:.0e}",
        "ok": bool(is_same and worst <= 1e-5 and differs <= 0.02),
        "better": "lower",
    }
    peaks = {key: each["peak_mib"] for key, each in found.items()}

    def growth(of: dict[tuple[int, bool], float], streamed: bool) -> float:
        return (of[many, streamed] - of[few, streamed]) * 2**20 / (many - few)

    note = ", ".join(
        f"{'streamed' if streamed else 'held'} {n:,}: {mib:.0f} MiB"
        for (n, streamed), mib in peaks.items()
    )
    return [
        Row(
            name=f"seconds streamed over held, {size}",
            ratio=ours["seconds"] / peer["seconds"],
            ours_s=ours["seconds"],
            peer_s=peer["seconds"],
            **answers,
        ),
        Row(
            name=f"peak memory streamed over held, {size}",
            ratio=peaks[many, True] / peaks[many, False],
            note=f"{note}; the file has {file_mib:.0f} MiB",
            **answers,
        ),
        Row(
            name=f"peak memory streamed, {many:,} over {few:,} examples",
            ratio=peaks[many, True] / peaks[few, True],
            note=f"{growth(peaks, True):.0f} bytes for each more, held {growth(peaks, False):,.0f}",
            target=None if quick else TARGET_GROWTH,
            **answers,
        ),
    ]
