"""What of a training fits the time."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.backbones import load
from headstart.data import Record, index
from headstart.runs.training_plan import BASE, Cost, Plan, _parts_in, plan_training, spread


@pytest.fixture(scope="module")
def records(shapes: Path) -> tuple[Record, ...]:
    return index(shapes, seed=3).train


def plan(records: tuple[Record, ...], left_s: float, sizes: tuple[int, ...] = (96, 64)):
    backbone = load("timm:test_efficientnet", pretrained=False)
    return plan_training(
        backbone,
        records,
        sizes,
        n_val=6,
        n_test=6,
        n_folds=5,
        left_s=left_s,
        seed=5,
        device="cpu",
    )


def test_plan_training__takes_all_epochs_at_the_first_size_where_there_is_time(
    records: tuple[Record, ...],
) -> None:
    found = plan(records, 3600)
    assert isinstance(found, Plan)
    assert (found.settings.size_px, found.settings.epochs, found.settings.seed) == (96, 20, 5)
    assert found.full_epochs == 20
    assert 0 < found.needs_s < 3600
    assert found.n_parts == 0


def test_plan_training__says_what_it_needs_and_what_is_left(records: tuple[Record, ...]) -> None:
    found = plan(records, 0.0)
    assert isinstance(found, str)
    assert found.startswith("needs about ")
    assert found.endswith(" s, 0 s are left")


def test_seconds__count_every_pass() -> None:
    cost = Cost(step_s=0.1, decode_s=0.01, start_s=2.0)
    # 3 epochs of 100 images; forward: 3 x 20 in the epochs, 2 x 20 and 60 at the end.
    steps = 0.1 * (300 + (60 + 40 + 60) / 3)
    expected = 1.15 * (2.0 + 0.01 * (100 + 40 + 60) + steps)
    assert cost.seconds(3, n_fit=100, n_val=20, n_test=60) == pytest.approx(expected)


def test_plan_training__holds_every_image_out_by_as_many_parts_as_fit() -> None:
    cost = Cost(step_s=0.01, decode_s=0.0, start_s=0.0)
    # Six epochs of 1,000 images: the folds cost 4 trainings of all, three parts 2, two parts 1;
    # each with one of all. Scoring the parts costs a third of 6 + 2 passes, of 6 epochs.
    all_s = 1.15 * 60.0
    found = {n: cost.seconds_in_parts(6, n, n_train=1000, n_test=0) / all_s for n in (5, 3, 2)}
    score = (6 + 2) / 3 / 6
    expected = {n: n + score for n in (5, 3, 2)}
    assert found == pytest.approx(expected, rel=0.001)
    left = [5.9, 3.5, 2.5, 1.9]
    assert [_parts_in(k * all_s, cost, 6, 5, 1000, 0) for k in left] == [0, 3, 2, 0]
    assert _parts_in(100 * all_s, cost, 6, 2, 1000, 0) == 0


@pytest.mark.parametrize("n_epochs", [1, 3, 12])
def test_epochs_in__undoes_seconds(n_epochs: int) -> None:
    cost = Cost(step_s=0.02, decode_s=0.001, start_s=1.0)
    counts = {"n_fit": 200, "n_val": 50, "n_test": 30}
    needed = cost.seconds(n_epochs, **counts)
    assert cost.epochs_in(needed + 1e-6, **counts) == n_epochs
    assert cost.epochs_in(needed - 1e-3, **counts) == n_epochs - 1
    assert cost.epochs_in(0.0, **counts) < 0


def test_spread__takes_each_class_in_turn(records: tuple[Record, ...]) -> None:
    some = spread(records, 5)
    assert len({r.name for r in some}) == 5
    assert len({r.label for r in some[:2]}) == 2
    assert spread(records[::-1], 5) == some
    assert len(spread(records, 10**6)) == len(records)


def test_base__is_a_training_that_needs_no_validation_images() -> None:
    assert BASE.keep == "last"
    assert BASE.patience is None
