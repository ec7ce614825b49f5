"""Shortcuts and parts of a real run, and the note that warns of a shortcut."""

from __future__ import annotations

from pathlib import Path

import pytest

import headstart
from headstart.reliability.shortcuts import Shortcut
from headstart.results import Interval
from headstart.runs.checks import shortcut_note
from headstart.runs.reliance import Checks
from headstart.runs.run import Run


def test_checks__of_a_run_count_all_images_that_were_judged(run: Run) -> None:
    found, data = run.metrics.checks, run.metrics.data
    assert found is not None
    assert found.n_parts == found.n_judged == data.n_train + data.n_test
    assert not found.is_finetuned
    assert found.n_shortcuts == data.n_train
    assert {s.name for s in found.shortcuts} >= {"file size", "picture size", "border colour"}
    assert not any(s.is_alarming for s in found.shortcuts if s.name == "picture size")


def test_shortcut_note__speaks_of_files_not_of_colours() -> None:
    def checks(name: str) -> Checks:
        told = Shortcut(
            name=name, accuracy=Interval(0.91, 0.85, 0.95), chance=0.5, is_alarming=True
        )
        return Checks(
            shortcuts=(told,),
            n_shortcuts=100,
            first_layer=Interval(0.5, 0.4, 0.6),
            parts=(),
            n_parts=100,
        )

    assert "picture size (91 %) alone" in shortcut_note(checks("picture size"))
    assert shortcut_note(checks("mean colour")) == ""
    assert (
        shortcut_note(checks("file size")) == ""
    )  # pictures of one size: how much there is in them
    assert shortcut_note(None) == ""


def test_checks__of_many_images_divide_a_sample_of_every_class(
    shapes: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.runs.checks.MOST_DIVIDED", 16)
    run = headstart.fit(
        shapes, out=tmp_path / "run", cache=store, resolutions=(64,), Cs=(0.1, 1.0), seed=3
    )
    found, data = run.metrics.checks, run.metrics.data
    assert (found.n_parts, found.n_judged) == (16, data.n_train + data.n_test)
    assert "drawn at random, each class with its share" in run.report().read_text("utf-8")
