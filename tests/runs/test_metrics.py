"""The figures of a run where classes are missing from the test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart.cli.tables import data_lines
from headstart.data.records import Example
from headstart.probe import Scores
from headstart.runs.metrics import cost_notes, few_groups_notes, too_few_notes
from headstart.runs.report import story
from headstart.runs.run import Run

SETTINGS: dict[str, Any] = {"resolutions": (64,), "seed": 3, "Cs": (0.1, 1.0)}
CLASSES = ("bars", "dots", "rings")


@pytest.fixture(scope="module")
def untested(
    make_shapes: Callable[..., Path], store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A run whose test side holds two of the three classes; its validation side too."""
    root = tmp_path_factory.mktemp("untested") / "shapes"
    make_shapes(root / "train", n=8, classes=CLASSES)
    make_shapes(root / "test", n=4, classes=CLASSES[:2])
    rng = np.random.default_rng(11)
    for name in CLASSES[:2]:
        (root / "val" / name).mkdir(parents=True)
        for i in range(2):
            pixels = rng.integers(0, 256, (80, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "val" / name / f"{i}.png")
    return headstart.fit(root, out=root.parent / "run", cache=store, **SETTINGS)


def test_metrics__a_class_without_test_images_is_named(untested: Run) -> None:
    said = list(data_lines(untested.metrics))
    assert "note: no test images of 1 class: 'rings'" in said
    assert "note: no validation images of 1 class: 'rings'" in said


def test_metrics__balanced_accuracy_is_over_the_tested_classes(untested: Run) -> None:
    rows = np.array(untested.metrics.confusion.rows)
    recalls = [rows[k, k] / rows[k].sum() for k in range(3) if rows[k].sum()]
    assert len(recalls) == 2
    assert untested.metrics.test.balanced_accuracy.value == pytest.approx(np.mean(recalls))
    assert story.balanced_over(untested.metrics) == "2 of 3 classes"


def test_metrics__a_class_without_test_images_has_no_figures(untested: Run) -> None:
    of = {row.name: row for row in untested.metrics.per_class}
    assert (of["rings"].recall, of["rings"].precision, of["rings"].f1) == (None, None, None)
    assert of["bars"].recall is not None


def test_write_report__shows_a_dash_for_a_class_without_test_images(untested: Run) -> None:
    html = (untested.folder / "report.html").read_text(encoding="utf-8")
    row = html.split('<th scope="row">rings</th>')[1].split("</tr>")[0]
    assert row.count("–") == 3
    assert "None" not in row
    assert "No test images of 1 class" in html
    assert "Balanced accuracy, 2 of 3 classes" in html


def test_headstart__every_reader_takes_a_run_with_an_untested_class(untested: Run) -> None:
    from headstart.export import card_text
    from headstart.runs.side_by_side import side_by_side

    card = card_text(untested)
    assert "| rings | 8 | 0 | – | – |" in card
    assert "balanced accuracy on 8 test images, 2 of 3 classes" in card
    other = untested.folder.parent / "other"
    shutil.copytree(untested.folder, other)
    found = side_by_side([untested, headstart.load(other)])
    assert [run.name for run in found.runs] == ["run", "other"]


@pytest.mark.parametrize(
    ("accuracy", "side"),
    [((0.9, 0.5, 0.5), "smallest"), ((0.5, 0.6, 0.7), "largest"), ((0.5, 0.7, 0.6), None),
     ((0.9, 0.9, 0.5), None), ((0.7, 0.7, 0.7), None)],
)  # fmt: skip
def test_cost_notes__an_end_is_noted_where_accuracy_still_rises(
    accuracy: tuple[float, ...], side: str | None
) -> None:
    scores = Scores(
        n_features=1,
        C=(0.1, 1.0, 10.0)[int(np.argmax(accuracy))],
        accuracy_by_C=accuracy,
        decisions=np.zeros((1, 2), np.float32),
        correct=np.ones(1, dtype=bool),
    )
    said = cost_notes((10.0, 0.1, 1.0), scores)
    assert [f"the {side} of those tried" in note for note in said] == [True] * (side is not None)


@pytest.mark.parametrize(
    ("n_train", "n_test", "said"),
    [
        (4, 2, ["2 test images", "4 training images of 2 classes"]),
        (40, 9, ["9 test images"]),
        (4, 0, ["4 training images of 2 classes"]),
        (4, 500, []),  # the figures are of enough images
        (40, 10, []),
    ],
)
def test_too_few_notes__name_what_is_too_few(n_train: int, n_test: int, said: list[str]) -> None:
    notes = too_few_notes(n_train, n_test, 2, "image")
    assert len(notes) == bool(said)
    assert all(part in notes[0] for part in said)


@pytest.mark.parametrize(("n_groups", "is_said"), [(0, False), (1, True), (9, True), (10, False)])
def test_few_groups_notes__are_of_one_to_nine_test_groups(n_groups: int, is_said: bool) -> None:
    record = Example(name="a.png", label="a", digest="", split="test")
    groups = [f"plant {i % n_groups}" if n_groups else "" for i in range(20)]
    notes = few_groups_notes([replace(record, group=group) for group in groups])
    assert len(notes) == is_said
    assert all(f"{n_groups} group" in note for note in notes)
