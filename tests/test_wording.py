from __future__ import annotations

import math

import pytest

from headstart.wording import (
    MOST_WORDS,
    against_time,
    amounts,
    counted,
    headline,
    listed,
    points,
    signed_points,
    unsigned_points,
)


def test_listed__joins_with_and() -> None:
    assert [listed(names) for names in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]


def test_amounts__have_the_decimals_that_the_interval_warrants() -> None:
    assert amounts((1.418, 0.6327, 2.032), 0.8) == ["1.42", "0.63", "2.03", "0.80"]
    assert amounts((31234.5, 30900.0, 31600.0)) == ["31234", "30900", "31600"]
    assert amounts((0.5, 0.5, 0.5), 0.25) == ["0.5", "0.5", "0.5", "0.25"]
    assert amounts((math.nan, math.nan, math.nan)) == ["nan"] * 3


def test_counted__one_has_no_plural() -> None:
    words = [counted(n, noun) for n, noun in ((1, "image"), (2000, "test text"), (2, "class"))]
    assert words == ["1 image", "2,000 test texts", "2 classes"]


def test_headline__is_the_first_version_that_is_short_enough() -> None:
    long, short = "word " * (MOST_WORDS + 1), "word " * MOST_WORDS
    assert headline(long, short, "a") == short
    assert headline(long) == long


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0123, "+1.2"),
        (-0.004, "−0.4"),
        (0.0, "0.0"),
        (-0.0, "0.0"),
        (1e-17, "0.0"),
        (0.0003, "+0.03"),
        (-0.00004, "−0.004"),
        (0.0005, "+0.1"),
        (-1.0, "−100.0"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_points__shows_the_sign_of_all_that_is_not_zero(share: float, said: str) -> None:
    assert points(share) == said


def test_points__intervals() -> None:
    assert signed_points(0.012, -0.0004, 0.019) == "+1.2 [−0.04, +1.9]"
    assert unsigned_points(0.012, 0.005, 0.019) == "1.2 [0.5, 1.9]"


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (1.96, 2.04, "in the same time (2.0 s)"),
        (2.0, 40.2, "in 2.0 s instead of 40 s"),
        (0.01, 0.02, "in the same time (0.0 s)"),
        (700.0, 690.0, "in the same time (12 min)"),
    ],
)
def test_against_time__times_that_read_alike_are_the_same(a: float, b: float, said: str) -> None:
    assert against_time(a, b) == said
