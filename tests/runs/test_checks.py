"""Shortcuts and parts of a real run, and the note that warns of a shortcut."""

from __future__ import annotations

from headstart.results import Interval
from headstart.runs.checks import shortcut_note
from headstart.runs.reliance import Checks, Shortcut
from headstart.runs.run import Run


def test_checks__of_a_run_count_all_images_that_were_judged(run: Run) -> None:
    found, data = run.metrics.checks, run.metrics.data
    assert found is not None
    assert found.n_parts == data.n_train + data.n_test
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
