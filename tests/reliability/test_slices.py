"""Parts of the data: the worst is named, and chance is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from headstart.reliability.slices import in_thirds, judge_parts


def test_judge_parts__names_the_part_that_is_worse() -> None:
    rng = np.random.default_rng(0)
    camera = np.array(list("abcd") * 50)
    right = rng.uniform(size=200) < np.where(camera == "c", 0.6, 0.95)
    found = judge_parts(right, {"camera": camera.tolist()})
    assert (found[0].by, found[0].value) == ("camera", "c")
    assert found[0].is_worse
    assert sum(p.is_worse for p in found) == 1
    inside = camera == "c"
    table = [[right[inside].sum(), (~right[inside]).sum()],
             [right[~inside].sum(), (~right[~inside]).sum()]]  # fmt: skip
    assert found[0].p_value == pytest.approx(4 * stats.fisher_exact(table).pvalue)


def test_judge_parts__is_silent_where_there_is_nothing() -> None:
    rng = np.random.default_rng(1)
    n_named = 0
    for _ in range(100):
        right = rng.uniform(size=150) < 0.8
        divisions = {f"d{i}": rng.integers(4, size=150).astype(str).tolist() for i in range(5)}
        n_named += any(p.is_worse or p.is_better for p in judge_parts(right, divisions))
    assert n_named <= 5


def test_judge_parts__groups_are_what_there_could_be_more_of() -> None:
    groups, camera = np.repeat(np.arange(24), 15), np.repeat(np.arange(24) % 4, 15).astype(str)
    n_named = n_plain = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        right = rng.uniform(size=360) < np.clip(0.8 + 0.25 * rng.normal(size=24), 0, 1)[groups]
        divisions = {"camera": camera.tolist()}
        n_plain += any(p.is_worse or p.is_better for p in judge_parts(right, divisions))
        found = judge_parts(right, divisions, groups)
        n_named += any(p.is_worse or p.is_better for p in found)
        plain = {p.value: p.accuracy for p in judge_parts(right, divisions)}
        assert all(p.accuracy.low <= plain[p.value].low for p in found)  # six groups a part
    assert n_named <= 3 < 10 <= n_plain


def test_judge_parts__the_groups_themselves_are_judged_by_examples() -> None:
    groups = np.repeat(np.arange(12), 20)
    right = np.where(groups == 3, np.arange(240) % 2 == 0, np.arange(240) % 10 > 0)
    named = judge_parts(right, {"camera": groups.astype(str).tolist()}, groups)
    assert named[0].value == "3"
    assert named[0].is_worse


def test_judge_parts__intervals_widen_with_the_number_of_parts() -> None:
    right = np.arange(100) % 10 > 0
    [one, _] = judge_parts(right, {"a": ["x"] * 50 + ["y"] * 50})
    many = judge_parts(right, {str(k): ["x"] * 50 + ["y"] * 50 for k in range(10)})
    assert many[0].accuracy.high - many[0].accuracy.low > one.accuracy.high - one.accuracy.low


def test_judge_parts__a_part_of_few_examples_says_nothing() -> None:
    assert judge_parts([False] + [True] * 19, {"a": ["x"] + ["y"] * 19}) == []
    assert judge_parts([True] * 20, {"a": [""] * 20}) == []


def test_in_thirds__gives_equal_parts_and_nothing_of_constants() -> None:
    names = ("low", "middle", "high")
    parts = in_thirds(np.arange(9), names)
    assert parts == ["low"] * 3 + ["middle"] * 3 + ["high"] * 3
    assert in_thirds(np.ones(5), names) == [""] * 5
    assert in_thirds([1, 1, 1, 1, 9], names) == ["middle"] * 4 + ["high"]
