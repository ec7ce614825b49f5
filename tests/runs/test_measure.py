"""Who watches a fit sees the plan first, then the candidates one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart import fit
from headstart.cli.tables import layer_tables
from headstart.data.records import Example
from headstart.heads import Criterion, search
from headstart.heads.costs import COSTS
from headstart.heads.output_layer import fit_searched
from headstart.probe import judging
from headstart.runs.averaging import Head
from headstart.runs.choose import Candidate
from headstart.runs.measure import Task, measure
from headstart.runs.objective import Objective
from headstart.runs.run import Run
from headstart.sources.blocks import Blocks


def test_watch__is_told_of_the_plan_and_of_every_candidate(
    run: Run, shapes: Path, store: Path, tmp_path: Path
) -> None:
    seen: list[tuple[list[Blocks], list[Candidate]]] = []
    again = fit(
        shapes, out=tmp_path / "run", cache=store, resolutions=(64, 96), seed=3,
        Cs=(0.1, 1.0, 10.0), watch=lambda planned, done: seen.append((list(planned), list(done))),
    )  # fmt: skip
    assert again.metrics.candidates == run.metrics.candidates
    plan = seen[0][0]
    assert [len(done) for _, done in seen] == list(range(len(plan) + 1))
    assert {c.blocks for c in seen[-1][1]} == set(plan)
    assert [done[-1] for _, done in seen[1:]] == seen[-1][1]  # the newest is the last


def test_fit__a_second_run_solves_nothing(
    make_shapes: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_shapes(tmp_path / "data", n=8)
    solved: list[int] = []
    original = search.CostSearch

    def counted(X: np.ndarray, *rest: Any, **more: Any) -> object:
        solved.append(X.shape[1])
        return original(X, *rest, **more)

    monkeypatch.setattr(judging, "CostSearch", counted)
    first = headstart.fit(data, out=tmp_path / "1", cache=tmp_path / "s", resolutions=(64,))
    assert len(solved) == sum(not c.n_averaged for c in first.metrics.candidates)
    second = headstart.fit(data, out=tmp_path / "2", cache=tmp_path / "s", resolutions=(64,))
    assert len(solved) == sum(not c.n_averaged for c in first.metrics.candidates)
    assert second.metrics.candidates == first.metrics.candidates


def _noisy(root: Path) -> Path:
    """Two classes that differ in a faint gradient, so that the layers differ."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(-20, 20, 64)
    for name, sign in (("left", 1), ("right", -1)):
        (root / name).mkdir(parents=True)
        for i in range(40):
            grey = 128 + sign * ramp + rng.normal(0, 60, (64, 64))
            Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(root / name / f"{i}.png")
    return root


def test_fit__with_many_examples_and_classes_screens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _noisy(tmp_path / "data")
    same: dict[str, Any] = {"cache": tmp_path / "store", "resolutions": (64,), "seed": 1}
    exact = headstart.fit(data, out=tmp_path / "exact", exact=True, **same).metrics
    small = headstart.fit(data, out=tmp_path / "small", **same).metrics
    assert not any(c.screened for c in exact.candidates + small.candidates)
    monkeypatch.setattr(judging, "SMALL", 0)
    refitted: list[float] = []

    def counted(of: search.CostSearch, C: float, scores: np.ndarray) -> Head:
        refitted.append(C)
        return fit_searched(of, C, scores)

    monkeypatch.setattr("headstart.runs.refit.fit_searched", counted)
    run = headstart.fit(data, out=tmp_path / "screened", **same)
    found = run.metrics
    single, own = ([c.tap for c in m.candidates if not c.n_averaged] for m in (found, exact))
    assert single == own
    out = [c for c in found.candidates if c.screened]
    assert out
    assert not any(c.chosen or c.best or c.tie or c.baseline for c in out)
    judged = {c.tap: c.cv for c in found.candidates if not c.screened}
    for c in exact.candidates:
        if c.tap in judged:  # C is searched for from one fold, not tried at every cost
            assert judged[c.tap].value == pytest.approx(c.cv.value, abs=0.04)
    assert any(f"{len(out)} of " in note and "`exact=True`" in note for note in found.notes)
    cells = [cell for column in layer_tables(found)[0].columns for cell in column.cells]
    assert sum(str(cell).startswith("(") for cell in cells) == len(out)
    assert run.report().read_text(encoding="utf-8").count("ruled out by ridge")
    n_refitted = len(refitted)
    assert n_refitted  # on what the race has set up
    again = headstart.fit(data, out=tmp_path / "again", **same)
    assert again.metrics.candidates == found.candidates
    # What is known from before is refitted from its features, to the same model.
    assert len(refitted) == n_refitted
    assert again.metrics.test == found.test
    heads = [
        next((tmp_path / name / "model").glob("*.safetensors")).read_bytes()
        for name in ("screened", "again")
    ]
    assert heads[0] == heads[1]


def test_measure__screens_where_confusions_have_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ridge classifiers rule out has no decisions that costs could be weighed by."""
    monkeypatch.setattr(judging, "SMALL", 100)
    n, rng = 150, np.random.default_rng(0)
    member = np.arange(n) % 3
    X = (rng.normal(size=(n, 8)) + 2 * np.eye(3, 8)[member]).astype(np.float32)
    features = {"noise": rng.normal(size=X.shape).astype(np.float32), "signal": X}
    planned = [Blocks(taps=(name,), resolutions=(224,)) for name in features]
    source: Any = SimpleNamespace(
        noun="image", first=planned[1], usual=planned[1], prior=None,
        candidates=lambda: planned, rows=lambda blocks, records: features[blocks.taps[0]],
        macs=lambda blocks, n_classes: 1, identity=lambda blocks: list(blocks.taps),
        code=(),
    )  # fmt: skip
    records = [
        Example(name=f"{i}", label="abc"[c], digest=f"{i}", split="train")
        for i, c in enumerate(member)
    ]
    costs = ((0.0, 1.0, 1.0), (2.0, 0.0, 2.0), (3.0, 3.0, 0.0))
    task = Task(
        source=source, records=records, folds=np.arange(n) // 3 % 5, Cs=COSTS, cache=tmp_path,
        objective=Objective(criterion=Criterion(metric="cost", costs=costs), reason="asked"),
    )  # fmt: skip
    noise, signal = measure(task).candidates
    assert noise.scores.is_screened
    assert not signal.scores.is_screened
    assert signal.merits.mean() > noise.merits.mean()
