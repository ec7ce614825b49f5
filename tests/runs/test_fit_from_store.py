"""A fit whose features the memory cannot hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headstart import fit
from headstart.runs.run import Run
from headstart.sources import reading
from headstart.sources.blocks import JoinedRows


def test_fit__answers_the_same_from_the_store_and_says_so(
    run: Run, shapes: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine with next to no memory; so few images need none, but are read as if they did."""
    read = JoinedRows.__getitem__
    slices: list[slice] = []
    monkeypatch.setattr(
        JoinedRows, "__getitem__", lambda self, some: (slices.append(some), read(self, some))[1]
    )
    monkeypatch.setattr(reading, "free_bytes", lambda: 1000)
    (tmp_path / "cache").mkdir()  # the same features, but no answers of the last run
    (tmp_path / "cache" / "features").symlink_to(store / "features")
    again = fit(
        shapes, out=tmp_path / "run", cache=tmp_path / "cache", resolutions=(64, 96), seed=3,
        Cs=(0.1, 1.0, 10.0),
    )  # fmt: skip
    assert slices
    assert again.metrics.candidates == run.metrics.candidates
    assert again.metrics.test == run.metrics.test
    told = json.loads((again.folder / "run.json").read_text())["features"]
    assert told["read"] == "in blocks"
    assert len(told["in_blocks"]) == len(again.metrics.candidates)
    assert "features are read in blocks" in (again.folder / "log.jsonl").read_text()
    usual = json.loads((run.folder / "run.json").read_text())["features"]
    assert usual == {"read": "whole", "in_blocks": {}}
