"""`slices` on a real run: parts by name, a column, what cannot be asked for."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import msgspec
import pytest

import headstart
from headstart.cli.app import run as command
from headstart.experiments.onrun import unseen_predictions, who_judged
from headstart.experiments.slices.page import brief
from headstart.experiments.slices.result import SlicesResult
from headstart.runs.retrieval import TrainingImages
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


def test_slices__agrees_with_the_report_of_a_single_candidate(
    odd_run: Run, odd_shapes: Path, tmp_path: Path
) -> None:
    run = headstart.fit(
        odd_shapes, out=tmp_path / "one", resolutions=(64,), Cs=(1.0,), prefer="single"
    )
    found = headstart.transfer.slices(run.folder, clusters=0)
    assert isinstance(found, SlicesResult)
    assert run.metrics.checks is not None
    reported = {(p.by, p.value): p.accuracy.value for p in run.metrics.checks.parts}
    here = {(p.by, p.value): p.accuracy.value for p in found.parts if p.by != "sharpness"}
    assert here == reported
    assert found.judged_by == ""
    single, mean = ((r.folder / "report.html").read_text(encoding="utf-8") for r in (run, odd_run))
    n = odd_run.metrics.chosen.n_averaged
    assert "headstart slices judges" not in single
    assert (f"features of all {n} candidates, in place of their mean" in mean) == (n > 0)
    assert bool(who_judged(odd_run)) == (n > 0)


def test_unseen_predictions__are_computed_once_for_all_questions(
    grouped_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = TrainingImages.of(grouped_run, is_frozen=True)
    found = unseen_predictions(images)

    def never(*_: object) -> None:
        raise AssertionError("judged again")

    monkeypatch.setattr("headstart.probe.judging._judge", never)
    assert unseen_predictions(images) == found
    first, *others = images.records
    label = next(r.label for r in others if r.label != first.label)
    other = (dataclasses.replace(first, label=label), *others)
    with pytest.raises(AssertionError, match="judged again"):
        unseen_predictions(dataclasses.replace(images, records=other))


def test_slices__says_that_the_terminal_shows_the_worst_parts_only(grouped_run: Run) -> None:
    found = headstart.transfer.slices(grouped_run.folder)
    assert isinstance(found, SlicesResult)
    [shown] = brief(found)
    assert shown.table is not None
    assert len(shown.table.rows) == 10
    assert f"slices.html has {len(found.parts) - 10} more" in shown.caption
    assert sum(len(s.table.rows) for s in found.sections() if s.table) == len(found.parts)


def test_slices__by_a_column_of_the_run_s_own_rows(grouped_run: Run) -> None:
    found = headstart.transfer.slices(grouped_run.folder, slice="camera", clusters=0)
    assert isinstance(found, SlicesResult)
    # The class of one film and that of one picture cannot be judged.
    assert (found.n_train, found.n_test) == (24, 4)
    cameras = {p.value: p.n for p in found.parts if p.by == "camera"}
    assert cameras == {"new": 11, "old": 11, "(empty)": 6}
    assert found.sections()[0].heading == "By camera"


def test_slices__a_column_is_told_apart_from_what_is_measured(grouped_run: Run) -> None:
    found = headstart.transfer.slices(grouped_run.folder, slice="brightness", clusters=0)
    assert isinstance(found, SlicesResult)
    assert {p.value for p in found.parts if p.by == "brightness"} == {"day", "night"}
    measured = {p.value for p in found.parts if p.by == "brightness (measured)"}
    assert measured <= {"dark", "medium", "bright"}
    assert measured


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--slice", "camera"], "--slice"),
        (["--slice-by", "camera([0-9]+)"], "does not match any of 30 names (first: 'bars/00.png')"),
        (["--slice-by", "bars/([0-9]+)"], "does not match 16 of 30 names (first: 'dots/"),
        (["--slice", "a", "--slice-by", "b"], "exclude each other"),
    ],
)
def test_slices__says_what_cannot_be_asked_for(
    odd_run: Run, tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["slices", str(odd_run.folder), "--out", str(tmp_path), *words]) == 2
    assert said in capsys.readouterr().err


def test_slices__says_what_columns_there_are(
    grouped_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["slices", str(grouped_run.folder), "--out", str(tmp_path), "--slice", "camra"]
    assert command(words) == 2
    said = capsys.readouterr().err
    assert "no column 'camra'" in said
    assert "Did you mean 'camera'" in said


def test_fit__names_the_test_that_heeds_groups(grouped_run: Run) -> None:
    assert "Student's test over 12 groups at the 5 % level" in grouped_run.metrics.selection.rule
    # The test images are of two films: too few to tell how much films differ.
    assert "Student" not in grouped_run.metrics.detail


def test_slices__by_a_field_of_annotations(odd_run: Run, odd_shapes: Path, tmp_path: Path) -> None:
    root = tmp_path / "shapes"
    shutil.copytree(odd_shapes, root)
    names = [p.relative_to(root).as_posix() for p in sorted(root.glob("*/*.png"))]
    records = [
        {"file_name": n, "label": n.partition("/")[0], "camera": "old" if "1" in n else "new"}
        for n in names
    ]
    (root / "records.json").write_text(json.dumps(records))
    found = headstart.transfer.slices(
        odd_run.folder, data=str(root / "records.json"), slice="camera", clusters=0
    )
    assert isinstance(found, SlicesResult)
    assert {p.value for p in found.parts if p.by == "camera"} == {"old", "new"}


def test_who_judged__names_the_svm_in_the_place_of_a_mean(odd_run: Run) -> None:
    mean, single = Run(odd_run.folder), Run(odd_run.folder)
    for run, n in ((mean, 3), (single, 0)):
        chosen = msgspec.structs.replace(run.metrics.chosen, n_averaged=n)
        run.metrics = msgspec.structs.replace(run.metrics, chosen=chosen)
    assert who_judged(single) == ""
    assert "averages 3 candidates" in who_judged(mean)
    assert "one linear SVM" in who_judged(mean)
    assert "different mistakes" in who_judged(mean)
