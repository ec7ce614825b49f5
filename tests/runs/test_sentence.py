"""The headline and its detail, where test examples are many and where they are few."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.heads import Interval, PairedDifference, paired_difference
from headstart.runs.sentence import detail, sentence


def compared(n: int, *, lost: int = 0) -> PairedDifference:
    wrong = np.arange(n) < lost
    return paired_difference(np.ones(n, dtype=bool), ~wrong)


def said(n: int, *, lost: int = 0) -> tuple[str, str]:
    difference = compared(n, lost=lost)
    name = "the usual layer, conv_head at 224 px,"
    head = sentence(
        chosen="Layer blocks.6 at 320 px",
        accuracy=Interval(1.0, 0.7, 1.0),
        where=f"{n} test images",
        baseline=name,
        short="the usual layer, conv_head,",
        difference=difference,
        n=n,
    )
    return head, detail(name, difference, n)


def test_sentence__many_images_show_that_two_are_as_accurate() -> None:
    head, more = said(1000)
    assert "is as accurate" in head
    assert "is as accurate on the same examples" in more
    assert "cannot tell" not in head + more


def test_sentence__few_images_cannot_tell_and_how_far_apart_they_would_have_to_be() -> None:
    head, more = said(12)
    assert "as accurate" not in head + more
    assert head.endswith("on 12 test images; too few to tell it from the usual layer, conv_head.")
    assert more == (
        "12 examples cannot tell it from the usual layer, conv_head at 224 px: "
        "only differences of about 50 points or more would show."
    )


def test_sentence__a_difference_on_few_images_says_what_would_show() -> None:
    _, more = said(12, lost=1)
    assert "8.3 [" in more
    assert more.endswith("12 examples show only differences of about 50 points or more.")


@pytest.mark.parametrize("n", [1, 3, 5])
def test_sentence__below_six_images_no_difference_can_show(n: int) -> None:
    assert "points or more" not in said(n)[1]
    assert said(n)[1].startswith(f"{n} example")
    assert said(n, lost=1)[1].endswith("cannot show any difference.")
