"""Who watches a fit sees the plan first, then the candidates one by one."""

from __future__ import annotations

from pathlib import Path

from headstart import fit
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
