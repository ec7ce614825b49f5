"""`slices` on a real run: parts by name, a column, what cannot be asked for."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import headstart
from headstart.cli.app import run as command
from headstart.experiments.slices.result import SlicesResult
from headstart.runs.run import Run


def test_slices__judges_every_image_and_divides_by_names(
    odd_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["slices", str(odd_run.folder), "--slice-by", "([0-9a-z])[0-9a-z]*.png"]
    assert command([*words, "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    data = odd_run.metrics.data
    assert found["n_train"] + found["n_test"] == data.n_train + data.n_test == 30
    by = {p["by"] for p in found["parts"]}
    assert {"name", "brightness", "sharpness"} <= by
    assert set(found["too_small"]) == {"c", "b"}  # the copy and the blank picture
    named = {p["value"]: p["n"] for p in found["parts"] if p["by"] == "name"}
    assert named == {"0": 20, "1": 8}
    assert all(p["accuracy"]["low"] <= p["accuracy"]["value"] for p in found["parts"])


def test_slices__by_a_column_of_the_table(odd_shapes: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "camera"])
        for path in sorted(odd_shapes.glob("*/[01]*.png")):
            rows.writerow([path, path.parent.name, "old" if int(path.stem) % 2 else "new"])
    made = headstart.fit(table, out=tmp_path / "run", resolutions=(64,), Cs=(1.0,))
    found = headstart.transfer.slices(made.folder, slice="camera", clusters=0)
    assert isinstance(found, SlicesResult)
    cameras = {p.value: p.n for p in found.parts if p.by == "camera"}
    assert cameras == {"new": 14, "old": 14}
    assert found.sections()[0].heading == "By camera"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--slice", "camera"], "--slice"),
        (["--slice-by", "camera([0-9]+)"], "does not match"),
        (["--slice", "a", "--slice-by", "b"], "exclude each other"),
    ],
)
def test_slices__says_what_cannot_be_asked_for(
    odd_run: Run, tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["slices", str(odd_run.folder), "--out", str(tmp_path), *words]) == 2
    assert said in capsys.readouterr().err
