"""The bench of the service: its arithmetic. Nothing here is timed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import run, serve


def measured(seconds: float, n: int = 4, n_failed: int = 0, label: str = "a") -> dict[str, Any]:
    return {
        "seconds": seconds,
        "n": n,
        "n_failed": n_failed,
        "p99_s": seconds / n,
        "labels": [label, "b"],
    }


def test_percentile__is_the_smallest_that_covers_the_share() -> None:
    assert serve.percentile([float(i) for i in range(1, 101)]) == 99
    assert serve.percentile([3.0, 1.0, 2.0]) == 3
    assert serve.percentile([3.0, 1.0, 2.0], 0.5) == 2


def test_rows__count_the_same_images_and_say_what_failed() -> None:
    found = {name: [measured(s), measured(s)] for name, s in (("loop", 8.0), ("whole", 2.0))}
    # The service answered four requests, twice as many as there are images.
    found["service"] = [measured(4.0), measured(4.0)]
    found["plain"] = [measured(8.0), measured(8.0)]
    loop, plain, whole, slowest, memory = serve.rows(found, 2, 1.05, 1e8, quick=False)
    assert (loop.ratio, whole.ratio, slowest.ratio, memory.ratio) == (4.0, 1.0, 2.0, 1.05)
    assert plain.ratio == 2.0
    assert loop.is_met
    assert memory.is_met
    assert all(row.ok for row in (loop, plain, whole, slowest, memory))
    found["service"][1] = measured(4.0, n_failed=1)
    assert not serve.rows(found, 2, 1.0, 1e8, quick=False)[0].ok
    found["service"][1] = measured(4.0, label="other")
    assert "the same classes: no" in serve.rows(found, 2, 1.0, 1e8, quick=False)[0].check


def test_bench__is_registered() -> None:
    assert "serve" in run.BENCHES
