"""The forward pass alone at 224 px: our engine against other runtimes, and all taps against one."""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from bench.harness import Row, compared, interleaved, is_full, open_sides, scratch, seconds_of
from bench.machine import has_amx_bf16

TITLE = "Forward pass alone, 224 px"
PEER = (
    "`bench/peers/forward_runtimes.py`: the same network in eager PyTorch (contiguous and "
    "channels-last), ONNX Runtime where installed, and OpenVINO (convert, compile, call), on ready "
    "batches of 16 float images, giving the logits only; the best of them is the peer. Ours takes "
    "uint8 crops and gives the pooled features of all taps, in batches of its own size. Seconds are "
    "for 16 images. `--full` adds torch.compile. "
    "All taps against the last alone compares our engine with itself."
)
REFERENCE = "eager"
SHARE_OF_BEST = 0.9
ALL_TAPS = 1.05
TOLERANCE = {"float32": 0.02, "bfloat16": float("inf")}


NETS = ("embedded", "resnet18", "vgg16")


def run(quick: bool, part: str = "") -> list[Row]:
    """Two rows for each network and precision; `part` names one network."""
    rows = []
    precisions = ["float32"] + ["bfloat16"] * (has_amx_bf16() and not quick)
    for net in (part,) if part else NETS[:1] if quick else NETS:
        for precision in precisions:
            with scratch() as folder:
                rows += measure(net, precision, folder, quick=quick)
    return rows


def measure(net: str, precision: str, folder: Path, *, quick: bool) -> list[Row]:
    """Our engine with all taps and with the last, and every runtime that is installed."""
    window_s = 0.3 if quick else 1.0
    runtimes = installed(precision, full=is_full())
    same = {"net": net, "window_s": window_s}
    own = same | {"precision": precision, "cache": str(folder / "cache")}
    (folder / "cache").mkdir()
    wanted: dict[str, tuple[str, Mapping[str, Any]]] = {
        "ours": ("forward_ours", own | {"last_only": False, "out": str(folder / "ours.npy")}),
        "last": ("forward_ours", own | {"last_only": True, "out": str(folder / "last.npy")}),
    }
    for runtime in runtimes:
        out = str(folder / f"{runtime}.npy")
        wanted[runtime] = ("forward_peer", same | {"runtime": runtime, "out": out})
    with open_sides(wanted) as sides:
        engine = sides["ours"].facts["engine"]
        done = interleaved(
            {label: side.measure for label, side in sides.items()}, 3 if quick else 5
        )
    seconds = {label: seconds_of(measured) for label, measured in done.items()}
    best = min(runtimes, key=lambda name: statistics.median(seconds[name]))
    eager = statistics.median(seconds[REFERENCE])
    rates = ", ".join(
        f"{name} {eager / statistics.median(seconds[name]):.2f}"
        for name in ("ours", "last", *runtimes)
    )
    moved = difference(folder / "ours.npy", folder / f"{REFERENCE}.npy")
    return [
        compared(
            f"forward {net}, {precision}, against {best}",
            seconds["ours"],
            seconds[best],
            target=None if quick else SHARE_OF_BEST,
            check=f"logits differ by {moved:.1%} of their centred norm from {REFERENCE} float32",
            ok=moved <= TOLERANCE[precision],
            note=f"{engine}; rates, {REFERENCE} float32 = 1: {rates}",
        ),
        compared(
            f"all taps over the last alone, {net}, {precision}",
            seconds["ours"],
            seconds["last"],
            inverse=True,
            target=None if quick else ALL_TAPS,
            check="the same engine",
        ),
    ]


def installed(precision: str, *, full: bool) -> list[str]:
    """The peers of a precision that can be tried here, and the reference.

    `full` adds what is slow to start.
    """
    needs: dict[str, tuple[str, ...]] = {REFERENCE: ("torch",)}
    if precision == "float32":
        needs["channels-last"] = ("torch",)
        needs["OpenVINO"] = ("openvino",)
        needs["ONNX Runtime"] = ("onnx", "onnxruntime")
    else:
        needs["channels-last bf16"] = ("torch",)
        needs["OpenVINO bf16"] = ("openvino",)
        if full:
            needs["torch.compile bf16"] = ("torch",)
    return [name for name, parts in needs.items() if all(map(importlib.util.find_spec, parts))]


def difference(ours: Path, peer: Path) -> float:
    """Norm of the difference over the norm of the peer's centred logits."""
    a, b = (
        np.load(ours, allow_pickle=False).astype(np.float64),
        np.load(peer, allow_pickle=False).astype(np.float64),
    )
    return float(np.linalg.norm(a - b) / np.linalg.norm(b - b.mean(axis=0)))
