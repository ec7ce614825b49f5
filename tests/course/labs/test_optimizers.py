from __future__ import annotations

import math

import pytest

from headstart.course.labs import optimizers as opt
from headstart.results import Interval
from headstart.training import Epoch


def epoch(number: int, loss: float) -> Epoch:
    return Epoch(
        epoch=number,
        train_loss=loss,
        train_accuracy=0.5,
        val_loss=loss,
        val_accuracy=0.5,
        lr=0.1,
        seconds=0.0,
    )


def test_steps_to__lies_on_the_line_in_the_logarithm() -> None:
    history = [epoch(0, 1.0), epoch(1, 0.01)]
    assert opt.steps_to(history, 0.1, 10) == pytest.approx(5)
    assert opt.steps_to(history, 0.001, 10) == math.inf
    assert opt.steps_to(history, 2.0, 10) == 0


def result(steps: dict[str, list[float]]) -> opt.OptimizersResult:
    quickest = next(iter(steps.values()))
    rows = [
        opt.Row(
            name=name,
            rate=0.1,
            is_at_edge=False,
            tuning_losses=[],
            curve=[],
            last_loss=Interval(0.1, 0.1, 0.1),
            val_accuracy=Interval(0.91, 0.9, 0.92),
            val_by_seed=[0.9, 0.91, 0.92],
            lead=opt.lead(own, quickest),
        )
        for name, own in steps.items()
    ]
    return opt.OptimizersResult(
        data="d",
        n_train=1,
        seeds=[0, 1, 2],
        tuning_seeds=[3],
        rates=[0.1],
        steps_an_epoch=1,
        share=0.02,
        target=0.046,
        rows=rows,
    )


@pytest.mark.parametrize(
    ("slower", "says"),
    [
        ([20.0, 21.0, 22.0], "the lead over all others is significant"),
        ([5.0, 20.0, 11.0], "no difference between the two is significant"),
    ],
)
def test_sentence__follows_the_figures(slower: list[float], says: str) -> None:
    assert says in opt.sentence(result({"Adam": [10.0, 11.0, 12.0], "SGD": slower}))


@pytest.mark.parametrize("n_tied", range(6))
def test_sentence__has_at_most_25_words(n_tied: int) -> None:
    first = [100.0, 101.0, 102.0]
    noisy, slow = [60.0, 101.0, 160.0], [200.0, 201.0, 202.0]
    names = list(opt.OPTIMIZERS)
    steps = {
        name: first if i == 0 else noisy if i <= n_tied else slow for i, name in enumerate(names)
    }
    said = opt.sentence(result(steps))
    assert len(said.split()) <= 25
    assert said.count(". ") == 0


def test_sentence__without_a_common_target_names_the_lowest_loss() -> None:
    import msgspec

    found = msgspec.structs.replace(result({"Adam": [1.0], "SGD": [2.0]}), target=None)
    assert opt.sentence(found).endswith("Adam ends with the lowest.")
