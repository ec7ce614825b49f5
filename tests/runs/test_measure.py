"""Who watches a fit sees the plan first, then the candidates one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import headstart
from headstart import fit
from headstart.probe import judging
from headstart.runs.blocks import Blocks
from headstart.runs.choose import Candidate
from headstart.runs.run import Run


def test_watch__is_told_of_the_plan_and_of_every_candidate(
    run: Run, shapes: Path, store: Path, tmp_path: Path
) -> None:
    seen: list[tuple[list[Blocks], list[Candidate]]] = []
    again = fit(
        shapes, out=tmp_path / "run", cache=store, resolutions=(64, 96), seed=3,
        Cs=(0.1, 1.0, 10.0), watch=lambda planned, done: seen.append((list(planned), list(done))),
    )  # fmt: skip
    assert again.metrics["candidates"] == run.metrics["candidates"]
    plan = seen[0][0]
    assert [len(done) for _, done in seen] == list(range(len(plan) + 1))
    assert [c.blocks for c in seen[-1][1]] == plan


def test_fit__a_second_run_solves_nothing(
    make_shapes: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_shapes(tmp_path / "data", n=8)
    solved: list[int] = []
    original = judging.cross_validate

    def counted(X: np.ndarray, *rest: object, **more: object) -> object:
        solved.append(X.shape[1])
        return original(X, *rest, **more)

    monkeypatch.setattr(judging, "cross_validate", counted)
    first = headstart.fit(data, out=tmp_path / "1", cache=tmp_path / "s", resolutions=(64,))
    assert len(solved) == len(first.metrics["candidates"])
    second = headstart.fit(data, out=tmp_path / "2", cache=tmp_path / "s", resolutions=(64,))
    assert len(solved) == len(first.metrics["candidates"])
    assert second.metrics["candidates"] == first.metrics["candidates"]
