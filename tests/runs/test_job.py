"""Images and texts go through the same stages, into run folders of the same form."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import headstart
from headstart.runs import job
from headstart.runs.run import Run

STAGES = (
    "training_records", "training_folds", "measure", "choose", "refit", "metrics",
    "write_test_predictions", "write_report",
)  # fmt: skip


def write_table(path: Path) -> Path:
    rows = [
        (f"the film is {'good' if i % 2 else 'bad'}, and so is number {i}", str(i % 2))
        for i in range(40)
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


@pytest.mark.parametrize("kind", ["images", "texts"])
def test_job__images_and_texts_walk_the_same_stages(
    kind: str,
    make_shapes: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[str] = []
    seen: list[int] = []
    for stage in STAGES:
        function: Callable[..., Any] = getattr(job, stage)

        def told(*given: Any, stage: str = stage, function: Any = function, **more: Any) -> Any:
            called.append(stage)
            return function(*given, **more)

        monkeypatch.setattr(job, stage, told)
    is_images = kind == "images"
    data = make_shapes(tmp_path / "data", n=8) if is_images else write_table(tmp_path / "t.csv")
    own: dict[str, Any] = {"resolutions": (64,)} if is_images else {"finetune": False}
    run = headstart.fit(
        data, out=tmp_path / "run", cache=tmp_path / "cache", Cs=(1.0, 10.0), n_folds=3,
        watch=lambda planned, done: seen.append(len(done)), **own,
    )  # fmt: skip
    assert tuple(dict.fromkeys(called)) == STAGES
    assert type(run) is Run
    assert run.is_texts is not is_images
    n_judged = sum(not c.n_averaged for c in run.metrics.candidates)
    assert seen == list(range(n_judged + 1))
    assert {p.name for p in run.folder.iterdir()} == {
        "SHA256SUMS", "log.jsonl", "metrics.json", "model", "predictions.csv", "report.html",
        "run.json",
    }  # fmt: skip
    shared = {"index", "cross_validation", "refit", "total"}
    assert shared <= set(run.metrics.timings_s)
    assert sum(c.chosen for c in headstart.load(run.folder).metrics.candidates) == 1
    assert headstart.load(run.folder).test_predictions() == run.test_predictions()
