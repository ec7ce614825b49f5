"""The figures of a run as types: what is written is read back, and damage is named with its place."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import numpy as np
import pytest
from example_metrics import scenes
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import RunError
from headstart.results import encode
from headstart.runs.result import MOST_DENSE, Confusion, metrics_from

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_metrics_from__reads_what_was_written() -> None:
    found = metrics_from(scenes())
    assert metrics_from(json.loads(encode(found))) == found
    assert str(found.cv.accuracy) == "93.5 % [92.4, 94.6]"


def test_metrics_from__an_open_end_is_infinite() -> None:
    interval = {"value": 0.4, "low": 0.0, "high": None}
    found = metrics_from(scenes(cv={"accuracy": interval, "balanced_accuracy": interval}))
    assert found.cv.accuracy.high == math.inf
    assert json.loads(encode(found))["cv"]["accuracy"] == interval


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("sentence", 1, r"\$\.sentence"),
        ("classes", "ab", r"\$\.classes"),
        ("taps", [1], r"\$\.taps\[0\]"),
        ("test", {"n": -1}, r"\$\.test\.n"),
        ("test", {"n": True}, r"\$\.test\.n"),
        ("cv", {"accuracy": {"value": "x", "low": 0, "high": 1}}, r"\$\.cv\.accuracy"),
        ("timings_s", {"total": math.inf}, "too large"),
        ("data", {}, "missing required field"),
    ],
)
def test_metrics_from__names_the_place_of_damage(field: str, value: Any, place: str) -> None:
    with pytest.raises(ValueError, match=place):
        metrics_from(scenes(**{field: value}))


@given(st.dictionaries(st.sampled_from([*scenes(), "x"]), JSON))
def test_metrics_from__takes_or_refuses_any_value(change: dict[str, Any]) -> None:
    with contextlib.suppress(ValueError):  # and no other error
        metrics_from(scenes(**change))


@pytest.mark.parametrize("n", [2, MOST_DENSE, MOST_DENSE + 1, 300])
def test_confusion__gives_back_the_counts(n: int) -> None:
    counts = np.random.default_rng(0).poisson(0.05, (n, n))
    kept = Confusion.of(counts, "test")
    np.testing.assert_array_equal(kept.counts(n), counts)
    assert (kept.cells is not None) == (n > MOST_DENSE)


def test_confusion__grows_with_the_examples_rather_than_the_square_of_the_classes() -> None:
    counts = np.zeros((1000, 1000), dtype=int)
    counts[np.arange(200), np.arange(200)] = 3
    cells = Confusion.of(counts, "test").cells
    assert cells is not None
    assert len(cells) == 200


@pytest.mark.parametrize(
    "kept",
    [{}, {"rows": ((1, 2),)}, {"rows": ((1,), (2, 3))}, {"cells": ((0, 5, 1),)}, {"rows": None}],
)
def test_confusion__what_does_not_fit_the_classes_is_an_error(kept: dict[str, Any]) -> None:
    with pytest.raises(RunError, match="does not fit the 2 classes"):
        Confusion(split="test", **kept).counts(2)
