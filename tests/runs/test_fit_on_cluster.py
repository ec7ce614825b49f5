"""A whole fit on the workers of a Ray cluster is the fit of one machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from headstart import fit
from headstart.backbones import Backbone
from headstart.heads import task
from headstart.runs.extracting import ExtractSettings
from headstart.runs.run import Run
from headstart.runs.settings import FitSettings
from headstart.sources import reading
from headstart.sources.divided import ClusterExecutor


def decided(run: Run) -> dict[str, Any]:
    """All figures of a run but those of time."""
    facts: dict[str, Any] = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))
    del facts["timings_s"], facts["extraction"]["seconds"], facts["extraction"]["images_per_s"]
    return facts


@pytest.mark.parametrize("settings", [FitSettings, ExtractSettings])
def test_own_device__is_not_that_of_the_workers(settings: Any) -> None:
    """So that this machine needs no GPU where the cluster has some."""
    asked = {"data": "photos", "device": "cuda"}
    assert settings(**asked).own_device == "cuda"
    assert settings(**asked, engine="ray").own_device is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ray's Windows support is in beta")
def test_fit__on_a_cluster_chooses_and_measures_what_one_machine_does(
    make_shapes: Callable[..., Path],
    tiny: Backbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The widest features stay in the store, and the workers make the solver's passes over them."""
    pytest.importorskip("ray")
    data = make_shapes(tmp_path / "shapes", n=12)
    save_file(tiny.module.state_dict(), tmp_path / "tiny.safetensors")
    monkeypatch.setattr(task, "GRAM_ROWS_PER_FEATURE", 0.0)  # few images else need no passes
    monkeypatch.setattr(reading, "free_bytes", lambda: 100_000)
    passes: list[str] = []
    each = ClusterExecutor.each

    def noted(self: ClusterExecutor, labels: Any, name: str, arguments: Any) -> Any:
        passes.append(name)
        return each(self, labels, name, arguments)

    monkeypatch.setattr(ClusterExecutor, "each", noted)
    ways: dict[str, dict[str, Any]] = {"own": {}, "there": {"engine": "ray", "n_workers": 2}}
    own, there = (
        fit(
            data,
            out=tmp_path / f"run-{name}",
            cache=tmp_path / name,
            n_folds=2,
            Cs=(0.1, 1.0),
            resolutions=(64,),
            weights=str(tmp_path / "tiny.safetensors"),
            arch=tiny.arch,
            precision="float32",
            device="cpu",
            **how,
        )
        for name, how in ways.items()
    )
    assert {"measure", "held_out"} <= set(passes)
    features = json.loads((there.folder / "run.json").read_text())["features"]
    assert 1 <= len(features["in_blocks"]) < len(there.metrics.candidates)
    assert decided(there) == decided(own)
    np.testing.assert_array_equal(there.model.coef, own.model.coef)
    np.testing.assert_array_equal(there.model.intercept, own.model.intercept)
