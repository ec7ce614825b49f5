"""Predictions with a run by the Python interface."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from bench.harness import stopwatch
from bench.sides.networks import Actions


def predict_loop(run: str, paths: Sequence[str], cache: str) -> Actions:
    """``measure``: one call an image; ``whole``: one call for all."""
    os.environ["HEADSTART_CACHE"] = cache
    from bench.serve import percentile

    import headstart

    opened = headstart.load(run)
    opened.predict(paths[:1])

    def measure() -> dict[str, Any]:
        labels, each = [], []
        with stopwatch() as seconds:
            for path in paths:
                started = time.perf_counter()
                labels.append(opened.predict([path])[0].label)
                each.append(time.perf_counter() - started)
        return {"seconds": seconds(), "labels": labels, "p99_s": percentile(each)}

    def whole() -> dict[str, Any]:
        with stopwatch() as seconds:
            labels = [p.label for p in opened.predict(paths)]
        return {"seconds": seconds(), "labels": labels}

    return {"measure": measure, "whole": whole}
