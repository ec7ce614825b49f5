"""The evidence for wrong labels: what is kept between runs, and what the page counts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import labels


def test_kept__is_measured_again_with_other_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "cache_folder", lambda: tmp_path)
    measured: list[int] = []

    def measure(n: int) -> list[list[str]]:
        measured.append(n)
        return [[str(n)]]

    for n in (3, 3, 5, 3):
        monkeypatch.setitem(labels.PARTS, "replayed", (measure, (n,)))
        assert labels.kept("replayed", again=False)[0] == [[str(n)]]
    assert measured == [3, 5]
    labels.kept("replayed", again=True)
    assert measured == [3, 5, 3]
    assert len([json.loads(file.read_text()) for file in tmp_path.rglob("*.json")]) == 2


def test_counts__are_those_of_the_rows() -> None:
    replayed = [
        ["a", "2 of 9", "-1.0", "2 of 2", "+1.0"],
        ["b", "3 of 9", "+1.0", "0 of 3", "+0.5"],
    ]
    found = labels.counts(
        [*replayed, ["all", "5 of 18", "+0.2", "2 of 5", "+0.7"]],
        [
            ["a", "8", "23", "8", "8", "38 *", "35", "47"],
            ["b", "8", "63 *", "8", "8", "38 *", "35 *", "47"],
        ],
        [
            ["a", "1 + 2", "92.8", "94.9", "+1.8", "+0.5", "-0.2", "+0.7", "margin", "162"],
            ["b", "1 + 2", "92.8", "94.9", "+1.8", "+0.5", "+0.2", "+0.7", "none", "–"],
        ],
    )
    assert found == {
        "n_sets": 2, "n_said": "5", "n_lost": "2", "lost_in": "a 2", "n_undecided": 1,
        "n_coverage_lost": 1, "n_border": 2, "n_mean": 1,
    }  # fmt: skip
