"""The headline and its detail, where test examples are many and where they are few."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headstart.heads import Interval, PairedDifference, paired_difference
from headstart.runs import metrics
from headstart.runs.sentence import detail, sentence
from headstart.wording import counted


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
    return head, detail(name, difference, n, examples=counted(n, "test image"))


def test_sentence__many_images_show_that_two_are_as_accurate() -> None:
    head, more = said(1000)
    assert "is as accurate" in head
    assert "is as accurate on the same examples" in more
    assert "cannot tell" not in head + more


def test_sentence__few_images_cannot_tell_and_how_far_apart_they_would_have_to_be() -> None:
    head, more = said(12)
    assert "as accurate" not in head + more
    assert head.endswith("on 12 test images; too few to tell it from the usual layer, conv_head.")
    assert more == ("With 12 test images only differences of about 50 points or more would show.")


def test_sentence__a_difference_on_few_images_says_what_would_show() -> None:
    _, more = said(12, lost=1)
    assert "8.3 [" in more
    assert more.endswith(
        "(p = 1.000). With 12 test images only differences of about 50 points or more would show."
    )


@pytest.mark.parametrize("n", [1, 3, 5])
def test_sentence__below_six_images_no_difference_can_show(n: int) -> None:
    assert "points or more" not in said(n)[1]
    assert said(n)[1].startswith(f"With {n} test image")
    assert said(n, lost=1)[1].endswith("no difference would show.")


@pytest.mark.parametrize(
    ("macs", "n_features", "said"),
    [
        (100, 50, "takes a linear SVM on encoder layer 6: 10 times fewer. There are too few"),
        (990, 50, "takes a linear SVM on encoder layer 6: 2.0 times fewer features. There are too"),
        (
            990,
            99,
            "takes a linear SVM on encoder layer 6. There are too few training texts to compare",
        ),
    ],
)
def test_cheap_sentence__tells_a_saving_only_if_there_is_one(
    macs: int, n_features: int, said: str
) -> None:
    right = np.ones(16, dtype=bool)
    chosen, cheap = (
        SimpleNamespace(
            blocks="Linear SVM on encoder layer 6",
            macs=m,
            correct=right,
            scores=SimpleNamespace(n_features=n),
        )
        for m, n in ((1000, 100), (macs, n_features))
    )
    results: Any = SimpleNamespace(
        choice=SimpleNamespace(cheap=1),
        candidates=[chosen, cheap],
        chosen=chosen,
        noun="text",
        test=[],
    )
    assert said in metrics._cheap_sentence(results)
