"""A model held ready says what ``run.predict`` says, from files and from bytes, alone and together."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.heads import Pool
from headstart.runs.classify import classify
from headstart.runs.predictor import Predictor
from headstart.runs.run import Run


@pytest.mark.parametrize("is_mean", [False, True])
def test_predictor__equals_predict(run: Run, shapes: Path, store: Path, is_mean: bool) -> None:
    model = run.model
    if is_mean:
        model = dataclasses.replace(model, partner=model, pool=Pool(1.7, 0.4))
    files = sorted(shapes.glob("dots/0*.png"))[:6]
    expected = np.array([p for _, p, _ in classify(model, files, cache=store)])
    ready = Predictor(model, cache=store)
    cuts = [ready.cut(f.read_bytes()) for f in files]
    np.testing.assert_allclose(ready.probabilities(cuts), expected, atol=1e-4)
    by_one = np.concatenate([ready.probabilities([ready.cut(f)]) for f in files])
    np.testing.assert_allclose(by_one, expected, atol=1e-4)
    assert ready.classes == ("bars", "dots")


def test_predictor__in_torch_where_openvino_is_not(
    run: Run, shapes: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(shapes.glob("bars/0*.png"))[:3]
    expected = np.array([p for _, p, _ in classify(run.model, files, cache=store)])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ready = Predictor(run.model, device="cpu", cache=store)
    assert ready.engine.startswith("torch cpu")
    assert ready.n_streams == 1
    found = ready.probabilities([ready.cut(f) for f in files])
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_predictor__refuses_before_decoding(run: Run, shapes: Path, store: Path) -> None:
    ready = Predictor(run.model, cache=store, max_pixels=1_000)
    with pytest.raises(DataError, match="too large: 80 x 80 = 6,400 pixels; the limit is 1,000"):
        ready.cut(next(shapes.glob("dots/0*.png")))
    with pytest.raises(DataError, match="it holds text"):
        ready.cut(b"text")
