"""The race against peers: what is read, compared and left out."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import race
from bench.race_page import page
from bench.sets import SETS


def measured(n_right: int, seconds: float) -> dict[str, object]:
    right = "1" * n_right + "0" * (300 - n_right)
    return {"version": "x 1.0", "cpu_s": seconds, "wall_s": seconds, "right": right, "n_train": 120}


def test_page__compares_each_side_with_the_fit_and_names_what_did_not_run() -> None:
    kept = {
        "flowers": {
            "headstart": measured(282, 42.0),
            "sklearn": measured(273, 36.0),
            "fastai-4": measured(150, 90.0),
            "lightly": {"reason": "RuntimeError: shapes"},
        }
    }
    text = page(kept, race.SIDES, SETS)
    lines = [line for line in text.splitlines() if line.startswith("| x 1.0")]
    assert len(lines) == 6  # three sides, over all sets and on one
    assert "−44.0 [" in text.replace("-", "−")
    summary = next(line for line in lines if "fine_tune(4)" in line)
    assert [cell.strip() for cell in summary.split("|")][3:6] == ["1", "0", "1"]
    assert "on flowers: RuntimeError: shapes" in text
    assert "lightly-train" in text


def test_read_answers__of_a_run_and_of_a_peer(tmp_path: Path) -> None:
    of_run, of_peer = tmp_path / "run.csv", tmp_path / "peer.csv"
    of_run.write_text("name,label,predicted,probability\na.png,cat,dog,0.9\n")
    of_peer.write_text("a.png,dog\n")
    assert race.read_answers(of_run) == race.read_answers(of_peer) == {"a.png": "dog"}


def test_sides__have_a_script_or_are_our_own() -> None:
    for side in race.SIDES:
        assert bool(side.script) != (side.package == "headstart")
        assert not side.script or (race.PEERS / side.script).is_file()
