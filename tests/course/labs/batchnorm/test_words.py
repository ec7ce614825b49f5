from __future__ import annotations

import math

import pytest

from headstart.course.labs.batchnorm import words
from headstart.course.labs.batchnorm.result import (
    KINDS,
    MEASURES,
    BatchnormResult,
    Cell,
    Comparison,
    Look,
)
from headstart.course.labs.spread import UNKNOWN
from headstart.results import Difference, Interval
from headstart.wording import MOST_WORDS

ONE = Interval(1.0, 0.8, 1.2)
LESS, SAME, MORE = Interval(0.5, 0.4, 0.6), ONE, Interval(2.0, 1.5, 2.5)
GAIN, NONE = Difference(0.1, 0.05, 0.15), Difference(0.0, -0.1, 0.1)


def look(
    *,
    ratios: dict[str, Interval] | None = None,
    noisy: Interval = ONE,
    gain: Difference = NONE,
    rates: tuple[float, float] = (0.1, 0.1),
) -> Look:
    given = ratios or {}
    return Look(
        rates=dict(zip(KINDS, rates, strict=False)),
        gain={"with": gain, "noisy": gain},
        measures={
            name: Comparison(values={}, ratio=given.get(name, ONE), noisy_ratio=noisy)
            for name in MEASURES
        },
        steps=[],
        variation={},
        angle_by_layer={},
    )


def cell(rate: float, n_trained: int) -> Cell:
    return Cell(rate=rate, train_accuracy=ONE, val_accuracy=ONE, n_trained=n_trained, n_diverged=0)


def result(grid: dict[str, list[Cell]], looked: Look, n_seeds: int = 2) -> BatchnormResult:
    return BatchnormResult(
        data="d",
        n_train=1,
        n_layers=2,
        seeds=list(range(n_seeds)),
        rates=[0.1],
        best_rates={},
        step_lengths=[1.0],
        grid=grid,
        gain=GAIN,
        looks=[looked],
    )


@pytest.mark.parametrize(
    ("shift", "relative", "says"),
    [
        (LESS, LESS, "falls with BatchNorm, to 0.5 [0.4, 0.6] times"),
        (LESS, SAME, "only as the gradients themselves do"),
        (MORE, MORE, "does not fall with BatchNorm but rises"),
        (SAME, SAME, "does not change significantly"),
        (UNKNOWN, LESS, "could not be compared"),
    ],
)
def test_say_shift__follows_the_figures(shift: Interval, relative: Interval, says: str) -> None:
    ratios = {"shift": shift, "relative_shift": relative}
    for rates, where in (
        ((0.1, 0.1), "At a rate of 0.1"),
        ((0.1, 1.0), "At the best rate of each"),
    ):
        said = words.say_shift(look(ratios=ratios, rates=rates))
        assert says in said
        assert said.startswith(where) or "could not be compared" in said


@pytest.mark.parametrize(
    ("variation", "beta", "says"),
    [
        (LESS, LESS, "The loss is smoother"),
        (LESS, SAME, "depends on the measure"),
        (SAME, MORE, "not shown to be smoother"),
    ],
)
def test_say_smoothness__follows_the_figures(
    variation: Interval, beta: Interval, says: str
) -> None:
    ratios = {"variation": variation, "beta": beta}
    assert says in words.say_smoothness(look(ratios=ratios).measures)


@pytest.mark.parametrize(
    ("ratio", "gain", "n_trained", "says"),
    [
        (MORE, NONE, 2, "not what lets BatchNorm train at high rates"),
        (MORE, GAIN, 0, "not what makes BatchNorm work"),
        (MORE, NONE, 0, "there is no significant gain"),
        (LESS, GAIN, 2, "whether less shift is the cause stays open"),
        (UNKNOWN, GAIN, 2, "diverged"),
    ],
)
def test_say_cause__follows_the_figures(
    ratio: Interval, gain: Difference, n_trained: int, says: str
) -> None:
    grid = {"noisy": [cell(0.1, 2), cell(1.0, n_trained)], "without": [cell(0.1, 2)]}
    assert says in words.say_cause(result(grid, look(noisy=ratio, gain=gain)))


@pytest.mark.parametrize("top", [(0.3, 3.0), (3.0, 3.0), (None, 3.0), (None, None)])
@pytest.mark.parametrize("ratio", [LESS, SAME, Interval(150.0, 7e-6, 1e9), UNKNOWN])
def test_say_answer__has_at_most_25_words(
    top: tuple[float | None, float | None], ratio: Interval
) -> None:
    grid = {
        kind: [cell(rate or 1.0, 3 if rate else 0)] for kind, rate in zip(KINDS, top, strict=False)
    }
    said = words.say_answer(result(grid, look(ratios={"shift": ratio}), n_seeds=3))
    assert len(said.split()) <= MOST_WORDS
    assert said.count(". ") == 0
    assert said.endswith(".")


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (Interval(0.1, 7.8e-6, 2314.0), "0.1 [<0.001, 2,314] times"),
        (Interval(150.0, 0.0013, 1e9), "150 [0.0013, >10,000] times"),
        (Interval(2.0, -math.inf, math.inf), "2 [−∞, ∞] times"),
    ],
)
def test_times__has_no_powers_of_ten(ratio: Interval, said: str) -> None:
    assert words._times(ratio) == said
