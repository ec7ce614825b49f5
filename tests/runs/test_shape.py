"""The form of JSON: every misfit is named with its place, and no value makes the check itself fail."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.runs.shape import COUNT, FLAG, MODEL, NUMBER, RUN, TEXT, Maybe, misfit

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("value", "shape", "said"),
    [
        ("a", TEXT, ""),
        (1, TEXT, "it is not a text"),
        (True, FLAG, ""),
        (1, FLAG, "it is not true or false"),
        (0, COUNT, ""),
        (-1, COUNT, "it is not a whole number from 0"),
        (True, COUNT, "it is not a whole number from 0"),
        (1.0, COUNT, "it is not a whole number from 0"),
        (-1.5, NUMBER, ""),
        (False, NUMBER, "it is not a number"),
        (float("inf"), NUMBER, "it is not a number"),
        ([1, 2], [NUMBER], ""),
        ([], [NUMBER], ""),
        ({}, [NUMBER], "it is not a list"),
        ({"a": [1, "x"]}, {"a": [NUMBER]}, "a[1] is not a number"),
        ({"a": {"b": 1}, "more": 2}, {"a": {"b": NUMBER}}, ""),
        ({"a": {}}, {"a": {"b": NUMBER}}, "a.b is missing"),
        ([], {"a": TEXT}, "it is not an object"),
        ({}, {"a": Maybe(TEXT)}, ""),
        ({"a": None}, {"a": Maybe(TEXT)}, ""),
        ({"a": 1}, {"a": Maybe(TEXT)}, "a is not a text"),
    ],
)
def test_misfit__names_the_first_place(value: Any, shape: Any, said: str) -> None:
    assert misfit(value, shape) == said


@given(JSON)
def test_misfit__takes_any_value(value: Any) -> None:
    for shape in (RUN, MODEL, [RUN], Maybe(MODEL)):
        said = misfit(value, shape)
        assert said.isprintable()
        assert said or value is None or value == []
