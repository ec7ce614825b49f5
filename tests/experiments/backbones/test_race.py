"""A race of backbones: who leaves, when and why, on made-up outcomes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart import transfer
from headstart.backbones import Backbone, load
from headstart.data import Index
from headstart.errors import InputError
from headstart.experiments.backbones import page
from headstart.experiments.backbones import race as race_module
from headstart.experiments.backbones.measure import Measured, candidates
from headstart.experiments.backbones.race import part_of, race, round_sizes
from headstart.experiments.backbones.result import BackbonesResult, Race
from headstart.experiments.backbones.settings import Settings
from headstart.experiments.features import Block, View
from headstart.experiments.judged import Fitted

N, K = 3200, 8
Y = np.array([f"c{i % K}" for i in range(N)])
FOLDS = np.arange(N) // K % 5


def runner(
    accuracies: Mapping[str, float], seed: int = 0
) -> Callable[[str, NDArray[np.intp]], NDArray[np.bool_]]:
    """Backbones of given accuracies that find the same images hard."""
    rng = np.random.default_rng(seed)
    hard = rng.uniform(size=N)
    own = {name: 0.05 * rng.normal(size=N) for name in accuracies}
    right = {
        name: hard + own[name] < np.quantile(hard + own[name], a) for name, a in accuracies.items()
    }
    return lambda name, rows: right[name][rows]


def test_part_of__is_stratified_and_grows() -> None:
    small, large = (part_of(Y, FOLDS, share, 3) for share in (0.1, 0.2))
    assert set(small) < set(large)
    assert abs(len(small) - 0.1 * N) < 2 * K * 5
    counts = np.unique(Y[small], return_counts=True)[1]
    assert counts.min() == counts.max()
    assert len(part_of(np.array(["a", "b"] * 5), np.arange(10) // 2, 0.01, 0)) == 10


def test_race__of_films_needs_more_evidence() -> None:
    """Frames of a film are recognised or missed together, so that fewer films say less."""
    films = [str(i) for i in np.arange(N) // 80]
    rng = np.random.default_rng(0)
    right = {name: np.repeat(rng.random(N // 80) < a, 80) for name, a in (("a", 0.8), ("b", 0.6))}
    run = lambda name, rows: right[name][rows]  # noqa: E731
    alone, _ = race(["a", "b"], run, Y, FOLDS)
    together, ran = race(["a", "b"], run, Y, FOLDS, groups=films)
    assert alone == ["a"]
    assert together == ["a", "b"]
    assert not ran.left


def test_round_sizes__double_up_to_half_of_all() -> None:
    assert round_sizes(3200, 8) == [200, 400, 800, 1600]
    assert round_sizes(3200, 100) == [1000]
    assert round_sizes(399, 2) == []


def test_race__losers_leave_early_and_the_winner_stays() -> None:
    accuracies = {"poor": 0.5, "best": 0.9, "near": 0.895, "fair": 0.82}
    left, ran = race(list(accuracies), runner(accuracies), Y, FOLDS)
    assert {"best", "near"} <= set(left)
    gone = {one.name: one for one in ran.left}
    assert set(gone) == {"poor", "fair"}
    assert gone["poor"].n_images < gone["fair"].n_images or gone["fair"].n_images < 300
    assert gone["poor"].n_images < 300
    assert all(one.reason == "behind" and one.behind.high < 0 for one in ran.left)
    assert ran.rounds[0].names == tuple(accuracies)
    assert len(ran.rounds[-1].names) == 2


def test_race__the_best_rarely_leaves() -> None:
    accuracies = {f"b{i}": 0.80 + 0.005 * i for i in range(6)}
    stays = [
        "b5" in race(list(accuracies), runner(accuracies, seed), Y, FOLDS, seed=seed)[0]
        for seed in range(12)
    ]
    assert all(stays)


def clock(step_s: float) -> Callable[[], float]:
    ticks: Iterator[float] = (step_s * i for i in range(10_000))
    return lambda: next(ticks)


def test_race__a_short_budget_takes_the_least_accurate_out() -> None:
    accuracies = {"a": 0.90, "b": 0.895, "c": 0.89}
    how: dict[str, Any] = {"n_test": 500, "clock": clock(10.0)}
    left, ran = race(list(accuracies), runner(accuracies), Y, FOLDS, budget_s=200.0, **how)
    assert len(left) < 3
    assert left
    assert {one.reason for one in ran.left} == {"budget"}
    whole, _ = race(list(accuracies), runner(accuracies), Y, FOLDS, budget_s=1e9)
    assert whole == list(accuracies)
    alone, _ = race(list(accuracies), runner(accuracies), Y, FOLDS, budget_s=1e-9)
    assert len(alone) == 1


def test_race__few_images_or_one_backbone_have_no_rounds() -> None:
    left, ran = race(["a", "b"], runner({"a": 0.9, "b": 0.1}), Y[:300], FOLDS[:300])
    assert (left, ran.rounds, ran.left) == (["a", "b"], (), ())
    left, ran = race(["a"], runner({"a": 0.9}), Y, FOLDS)
    assert (left, ran.rounds) == (["a"], ())


def test_compare__with_a_race_judges_those_left_as_without_one(
    indexed: Index, tiny: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race_module, "FIRST", 16)
    monkeypatch.setattr(race_module, "FIRST_A_CLASS", 8)
    other = load("timm:test_efficientnet", pretrained=False, seed=5)
    nets = [tiny, dataclasses.replace(other, name="other")]
    how = {"size_px": 64}
    raced = transfer.backbones(indexed, backbones=nets, race=True, **how)
    plain = transfer.backbones(indexed, backbones=nets, **how)
    assert isinstance(raced, BackbonesResult)
    assert raced.race is not None
    assert [one.n_images for one in raced.race.rounds] != []
    known = {c.name: c for c in plain.candidates}
    for c in raced.candidates:
        assert (c.cv, c.test) == (known[c.name].cv, known[c.name].test)
    assert len(raced.candidates) + len(raced.race.left) == 2


def shown(ran: Race) -> BackbonesResult:
    model = Fitted(
        blocks=(Block(tap="t", view=View(size_px=32)),), n_features=1, C=1.0,
        cv_correct=np.arange(400) < 360, test_correct=np.zeros(0, dtype=bool),
    )  # fmt: skip
    one = Measured(name="best", model=model, n_parameters=1, macs=1, images_per_s=1.0)
    return BackbonesResult(
        settings=Settings(data="x"), datasets=(), data="x", n_train=400, n_test=0,
        candidates=candidates([one]), race=ran,
    )  # fmt: skip


def test_page__says_who_left_when_and_why() -> None:
    accuracies = {"poor": 0.5, "best": 0.9}
    _, ran = race(list(accuracies), runner(accuracies), Y, FOLDS)
    found = shown(ran)
    [*_, section] = page.sections(found)
    assert section.table is not None
    [row] = section.table.rows
    assert row[0] == "poor"
    assert row[-1] == "more than a point behind best"
    assert "1 left the race early" in page.detail(found)
    assert "too few" in str(page.sections(shown(Race(rounds=(), left=(), seconds=0.0)))[-1].text)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"budget": "10m"}, "is the time of a race"),
        ({"budget": "soon", "race": True}, "must be a time such as"),
        ({"budget": "0s", "race": True}, "must be a time such as"),
    ],
)
def test_settings__refuses_a_wrong_budget(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Settings(data="x", **settings)  # type: ignore[arg-type]
