"""Metrics and weights of texts."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from headstart import fit


def test_fit__weighs_texts_by_a_column(
    make_reviews: Callable[..., Path], text_store: Path, tmp_path: Path
) -> None:
    with make_reviews(tmp_path / "plain.csv", n=40).open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    with (tmp_path / "reviews.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*rows[0], "times"])
        writer.writerows([*row, i % 3] for i, row in enumerate(rows[1:]))
    run = fit(
        tmp_path / "reviews.csv", out=tmp_path / "run", cache=text_store,
        weight_column="times", metric="log_loss", Cs=(1.0,), repeats=2, epochs=1,
    )  # fmt: skip
    objective = run.metrics.objective
    assert objective is not None
    assert (objective.metric, objective.is_weighted) == ("log_loss", True)
    assert "weighted log loss" in run.sentence
    assert any(c.tap.startswith("TextCNN") for c in run.metrics.candidates)
    best = min(run.metrics.candidates, key=lambda c: c.cv_metric.value if c.cv_metric else 9.0)
    assert best.best
