"""Ctrl-C from the first answer on leaves a run folder made with what is known."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import headstart
from headstart.probe import judging
from headstart.runs.run import Run


class Interrupt:
    """Progress that is interrupted as by Ctrl-C where a stage has so many steps done."""

    def __init__(self, *places: tuple[str, int]) -> None:
        self.places = list(places)

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self.places and (stage, done) == self.places[0]:
            self.places.pop(0)
            raise KeyboardInterrupt


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "texts.csv"
    rows = [(f"a {'good' if i % 2 else 'bad'} film number {i}", str(i % 2)) for i in range(40)]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., Run]:
    def go(data: Path, *places: tuple[str, int], **more: Any) -> Run:
        return headstart.fit(
            data, out=tmp_path / "run", cache=tmp_path / "cache", n_folds=3, Cs=(1.0, 10.0),
            progress=Interrupt(*places), **more,
        )  # fmt: skip

    return go


@pytest.mark.parametrize("n_known", [1, 3])
def test_fit__stopped_on_images_keeps_what_is_known(
    n_known: int, fit: Callable[..., Run], make_shapes: Callable[..., Path], tmp_path: Path
) -> None:
    data = make_shapes(tmp_path / "data", n=8)
    run = fit(data, ("cross-validate", n_known), resolutions=(64,))
    rows = run.metrics.candidates
    assert len(rows) == n_known
    assert sum(c.chosen for c in rows) == sum(c.baseline for c in rows) == 1
    [note] = [n for n in run.metrics.notes if "not tried" in n]
    assert "`force=True`" in note
    picture = next(data.rglob("*.png"))
    assert headstart.load(run.folder).predict(picture)[0].label in run.metrics.classes
    assert "not tried" in run.report().read_text(encoding="utf-8")
    whole = fit(data, resolutions=(64,), force=True)
    assert len(whole.metrics.candidates) > n_known
    assert not [n for n in whole.metrics.notes if "not tried" in n]


@pytest.mark.parametrize(
    ("place", "tried", "untried"),
    [
        (("cross-validate", 1), ["TF-IDF of words"], ["embedding average", "TextCNN"]),
        (("train non-static", 1), ["embedding average"], ["TextCNN non-static", "TextCNN static"]),
    ],
)
def test_fit__stopped_on_texts_keeps_what_is_known(
    place: tuple[str, int],
    tried: list[str],
    untried: list[str],
    fit: Callable[..., Run],
    table: Path,
) -> None:
    run = fit(table, place, epochs=1, encoder="none")
    assert set(tried) <= {c.tap for c in run.metrics.candidates}
    [note] = [n for n in run.metrics.notes if "not tried: " in n]
    assert all(name in note for name in untried)
    assert ("first candidate tried" in run.sentence) == (len(run.metrics.candidates) == 1)
    assert headstart.load(run.folder).predict(["a good film"])[0].label in {"0", "1"}
    assert run.report().is_file()


def test_fit__stopped_while_it_screens_keeps_the_first_answer_alone(
    fit: Callable[..., Run],
    make_shapes: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judging, "SMALL", 0)
    run = fit(make_shapes(tmp_path / "data", n=8), ("screen", 3), resolutions=(64,))
    [only] = run.metrics.candidates
    assert only.chosen
    assert not only.screened


@pytest.mark.parametrize(
    "places",
    [[("cross-validate", 0)], [("cross-validate", 1), ("refit", 0)], [("cross-validate", 2), ("report", 0)]],
)  # fmt: skip
def test_fit__stopped_before_an_answer_or_twice_leaves_nothing(
    places: list[tuple[str, int]], fit: Callable[..., Run], table: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(table, *places, finetune=False)
    assert not (tmp_path / "run").exists()
    assert not list(tmp_path.glob(".run.*"))
