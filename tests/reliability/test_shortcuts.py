"""Shortcuts: found where they are, silent where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.reliability.shortcuts import find_shortcuts, judge_features


def test_find_shortcuts__finds_a_size_that_differs_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    member = np.arange(120) % 3
    properties = {
        "size": 1000 + 300 * member + rng.normal(0, 40, 120),
        "format": (rng.uniform(size=120) < 0.5).astype(int),
        "colour": rng.normal(size=(120, 3)),
    }
    first, *others = find_shortcuts(properties, member, np.arange(120))
    assert first.name == "size"
    assert first.is_alarming
    assert first.accuracy.value > 0.9
    assert first.chance == 1 / 3
    assert not any(s.is_alarming for s in others)


def test_find_shortcuts__reads_a_format_that_is_a_class() -> None:
    member = np.arange(60) % 2
    [found] = find_shortcuts({"format": member}, member, np.arange(60))
    assert found.accuracy.value == 1
    assert found.is_alarming


def test_find_shortcuts__is_silent_where_all_are_equal_or_uneven() -> None:
    member = (np.arange(100) < 10).astype(int)
    found = find_shortcuts({"size": np.ones(100)}, member, np.arange(100))
    assert not found[0].is_alarming
    assert found[0].accuracy.value <= 0.6


def test_find_shortcuts__what_is_the_same_for_all_is_chance() -> None:
    member = np.arange(90) % 3
    [found] = find_shortcuts({"size": np.ones(90)}, member, np.arange(90))
    assert found.accuracy.value == pytest.approx(1 / 3)


def test_find_shortcuts__one_class_of_its_own_among_equals() -> None:
    member = np.arange(90) % 3
    rng = np.random.default_rng(4)
    size = np.where(member == 0, rng.uniform(200, 300, 90), 320)
    [found] = find_shortcuts({"size": size}, member, np.arange(90))
    assert found.accuracy.value == pytest.approx(2 / 3, abs=0.02)
    assert found.is_alarming


def test_find_shortcuts__false_alarms_are_rare() -> None:
    rng = np.random.default_rng(1)
    member = np.arange(40) % 2
    n = 0
    for _ in range(40):
        noise = {f"p{i}": rng.normal(size=(40, 1)) for i in range(5)}
        n += any(s.is_alarming for s in find_shortcuts(noise, member, np.arange(40)))
    assert n <= 2


def test_find_shortcuts__copies_and_groups_do_not_judge_one_another() -> None:
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(20), 3)
    member = patient % 2
    size = rng.normal(size=20)[patient]  # the same within a patient, without meaning between them
    [alone] = find_shortcuts({"size": size}, member, np.arange(60))
    [apart] = find_shortcuts({"size": size}, member, patient)
    assert alone.is_alarming
    assert not apart.is_alarming


def test_judge_features__tells_classes_that_differ() -> None:
    rng = np.random.default_rng(3)
    member = np.arange(60) % 2
    X = rng.normal(size=(60, 10)) + 3 * np.eye(10)[member]
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    assert judge_features(X, member, np.arange(60)).value > 0.9
