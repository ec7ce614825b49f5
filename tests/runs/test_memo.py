from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import headstart
from headstart.features import FeatureKey, FeatureStore
from headstart.runs import measure as measure_module
from headstart.runs.blocks import Blocks
from headstart.runs.memo import Scores, keep, memo_path, recall, task_digest

SCORES = Scores(
    n_features=7,
    C=0.3,
    accuracy_by_C=(0.5, 0.75),
    decisions=np.arange(8, dtype=np.float32).reshape(4, 2),
    correct=np.array([True, False, True, True]),
)


def test_recall__gives_back_what_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "heads" / "x.safetensors"
    assert recall(path) is None
    keep(path, SCORES)
    again = recall(path)
    assert again is not None
    assert (again.n_features, again.C, again.accuracy_by_C) == (7, 0.3, (0.5, 0.75))
    np.testing.assert_array_equal(again.decisions, SCORES.decisions)
    np.testing.assert_array_equal(again.correct, SCORES.correct)


def test_recall__a_damaged_file_counts_as_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.safetensors"
    keep(path, SCORES)
    path.write_bytes(path.read_bytes()[:-3])
    assert recall(path) is None
    assert "damaged" in caplog.text


def test_memo_path__is_another_for_all_that_decides_the_scores(tmp_path: Path) -> None:
    def store(size: int) -> FeatureStore:
        key = FeatureKey(
            weights="w",
            arch="a",
            taps=(("t", "m"),),
            preprocessing={"size_px": size},
            pooling="average",
            precision="float32",
        )
        return FeatureStore(key, tmp_path)

    stores = {64: store(64), 96: store(96)}
    digests, labels, folds, Cs = ["d1", "d2"], ["x", "y"], np.array([0, 1]), [0.1, 1.0]
    task = task_digest(digests, labels, folds, Cs)
    tasks = {
        task,
        task_digest(["d1", "d3"], labels, folds, Cs),
        task_digest(digests, ["x", "x"], folds, Cs),
        task_digest(digests, labels, np.array([1, 0]), Cs),
        task_digest(digests, labels, folds, [0.1, 2.0]),
    }
    assert len(tasks) == 5
    places = {
        memo_path(tmp_path, t, stores, Blocks(taps=taps, resolutions=sizes))
        for t in tasks
        for taps in (("t",), ("u",))
        for sizes in ((64,), (96,), (64, 96))
    }
    assert len(places) == 5 * 2 * 3


def test_fit__a_second_run_solves_nothing(
    make_shapes: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_shapes(tmp_path / "data", n=8)
    solved: list[int] = []
    original = measure_module.cross_validate

    def counted(X: np.ndarray, *rest: object) -> object:
        solved.append(X.shape[1])
        return original(X, *rest)

    monkeypatch.setattr(measure_module, "cross_validate", counted)
    first = headstart.fit(data, out=tmp_path / "1", cache=tmp_path / "s", resolutions=(64,))
    assert len(solved) == len(first.metrics["candidates"])
    second = headstart.fit(data, out=tmp_path / "2", cache=tmp_path / "s", resolutions=(64,))
    assert len(solved) == len(first.metrics["candidates"])
    assert second.metrics["candidates"] == first.metrics["candidates"]
