from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headstart.probe import Choice, Scores
from headstart.runs import choose as rules
from headstart.runs.choose import Candidate, has_few
from headstart.sources.blocks import Blocks, side_by_side

N = 200


def candidate(n_right: int, *, macs: int = 1, n_features: int = 1, shift: int = 0) -> Candidate:
    correct = np.roll(np.arange(N) < n_right, shift)
    return Candidate(
        blocks=Blocks(taps=("t",), resolutions=(224,)),
        macs=macs,
        scores=Scores(
            n_features=n_features,
            C=1.0,
            accuracy_by_C=(n_right / N,),
            decisions=np.zeros((N, 2), np.float32),
            correct=correct,
        ),
        judged=np.ones(N, dtype=bool),
    )


def choose(candidates: list[Candidate]) -> Choice:
    """Of two classes with many examples; the first candidate is the usual one."""
    return rules.choose(candidates, ["a", "b"] * (N // 2), 0)


def choose_of_few(candidates: list[Candidate]) -> Choice:
    """Of classes with four examples each; the first candidate is the usual one."""
    return rules.choose(candidates, [str(i // 4) for i in range(N)], 0)


def test_choose__a_clear_winner_is_taken_whatever_it_costs() -> None:
    choice = choose([candidate(120, macs=1), candidate(190, macs=1000)])
    assert (choice.best, choice.chosen) == (1, 1)
    assert choice.ties == (False, True)


def test_choose__a_tie_goes_to_the_cheaper() -> None:
    # 190 and 189 right, on images that differ: the paired difference is far below its error.
    choice = choose([candidate(190, macs=9), candidate(189, macs=2, shift=5)])
    assert (choice.best, choice.chosen) == (0, 1)
    assert choice.ties == (True, True)


def test_choose__a_tie_more_than_one_point_behind_is_not_taken() -> None:
    # 1.5 points behind, on other images: standard error 2.4.
    choice = choose([candidate(190, macs=9), candidate(187, macs=1, shift=50)])
    assert choice.ties == (True, True)
    assert choice.chosen == 0
    choice = choose([candidate(190, macs=9), candidate(188, macs=1, shift=50)])
    assert choice.chosen == 1


def test_choose__equal_macs_go_to_fewer_features() -> None:
    choice = choose([candidate(190, n_features=64), candidate(190, n_features=8)])
    assert choice.chosen == 1


def test_choose__one_nested_mistake_is_a_tie_and_nine_are_not() -> None:
    # The standard error of one image of 200 is just below that image: the exact test decides.
    choice = choose([candidate(190, macs=9), candidate(189, macs=1)])
    assert choice.ties == (True, True)
    assert choice.chosen == 1
    # What one gets wrong the other gets wrong too, and 9 more: standard error 1.5 %, gap 4.5 %.
    choice = choose([candidate(190, macs=9), candidate(181, macs=1)])
    assert choice.ties == (True, False)


@given(st.lists(st.tuples(st.integers(0, N), st.integers(1, 5)), min_size=1, max_size=8))
def test_choose__takes_the_cheapest_tie_that_is_at_most_one_point_behind(
    table: list[tuple[int, int]],
) -> None:
    candidates = [candidate(r, macs=m, shift=i) for i, (r, m) in enumerate(table)]
    choice = choose(candidates)
    assert choice.ties[choice.chosen]
    assert choice.ties[choice.best]
    assert candidates[choice.best].accuracy == max(c.accuracy for c in candidates)
    n_best = round(N * candidates[choice.best].accuracy)
    assert n_best - round(N * candidates[choice.chosen].accuracy) <= N * 0.01
    for c, tie in zip(candidates, choice.ties, strict=True):
        if tie and n_best - round(N * c.accuracy) <= N * 0.01:
            assert candidates[choice.chosen].cost <= c.cost


def test_choose__of_few_keeps_the_usual_unless_another_is_significantly_better() -> None:
    luckier = [candidate(150, macs=9), candidate(153, macs=1, shift=20)]
    assert choose(luckier).chosen == 1
    kept = choose_of_few(luckier)
    assert (kept.best, kept.chosen, kept.is_default) == (1, 0, True)
    better = choose_of_few([candidate(150, macs=9), candidate(190, macs=1)])
    assert (better.best, better.chosen, better.is_default) == (1, 1, False)


def test_choose__of_few_takes_the_usual_where_nothing_was_recognised() -> None:
    none = [candidate(0, macs=9), candidate(0, macs=1), candidate(0, macs=2)]
    choice = choose_of_few(none)
    assert (choice.best, choice.chosen) == (0, 0)


def test_choose__of_a_mean_names_what_is_cheap_without_it() -> None:
    """The mean is no tie that a cheap choice could be compared with."""
    singles = [candidate(180, macs=1), candidate(182, macs=5, shift=3), candidate(186, macs=9)]
    mean = dataclasses.replace(candidate(199, macs=10), members=tuple(singles))
    labels = ["a", "b"] * (N // 2)
    choice = rules.choose([*singles, mean], labels, 0, 3)
    assert choice.chosen == choice.best == 3
    assert choice.cheap == rules.choose(singles, labels, 0).chosen
    assert rules.choose([*singles[:1], mean], labels, 0, 1).cheap == 0


def test_has_few__looks_at_half_of_the_classes() -> None:
    assert has_few(["a"] * 4 + ["b"] * 4)
    assert has_few(["a"] * 1 + ["b"] * 80)
    assert not has_few(["a"] * 5 + ["b"] * 5)
    assert not has_few(["a"] * 1 + ["b"] * 80 + ["c"] * 80)


def test_candidate__accuracy_is_of_what_could_be_judged() -> None:
    whole = candidate(100)
    judged = np.arange(N) < 125
    assert dataclasses.replace(whole, judged=judged).accuracy == 100 / 125
    assert dataclasses.replace(whole, judged=np.zeros(N, dtype=bool)).accuracy == 100 / N


def of(accuracies: dict[str, float], joined: dict[tuple[str, ...], float]) -> list[Candidate]:
    """The last layers of each backbone, then joins, of given accuracies."""
    rng = np.random.default_rng(0)
    hard = rng.uniform(size=N)
    own = {b: Blocks(taps=("x", "y"), resolutions=(64,), backbone=b) for b in accuracies}
    blocks = [*own.values(), *(side_by_side([own[b] for b in names]) for names in joined)]
    found = []
    for some, accuracy in zip(blocks, [*accuracies.values(), *joined.values()], strict=True):
        noisy = hard + 0.05 * rng.normal(size=N)
        made = candidate(0)
        scores = dataclasses.replace(made.scores, correct=noisy < np.quantile(noisy, accuracy))
        found.append(dataclasses.replace(made, blocks=some, scores=scores))
    return found


def test_join_worth_having__keeps_backbones_that_are_about_as_good() -> None:
    found = of({"a": 0.9, "b": 0.88}, {("a", "b"): 0.89})
    assert rules.join_worth_having(found, 2) == 2
    assert rules.join_worth_having(found, 0) == 0


def test_join_worth_having__leaves_out_what_is_far_behind() -> None:
    found = of({"a": 0.9, "junk": 0.3}, {("a", "junk"): 0.85})
    assert rules.join_worth_having(found, 2) == 0
    three = of(
        {"a": 0.9, "junk": 0.3, "b": 0.89},
        {("a", "junk"): 0.8, ("a", "b"): 0.92, ("junk", "b"): 0.8, ("a", "junk", "b"): 0.88},
    )
    assert three[rules.join_worth_having(three, 6)].blocks.backbone == "a + b"


def test_join_worth_having__of_joins_that_were_ruled_out_takes_what_was_judged() -> None:
    found = of({"a": 0.9, "b": 0.89, "junk": 0.3}, {("a", "b"): 0.9, ("a", "b", "junk"): 0.8})
    scores = dataclasses.replace(found[3].scores, is_screened=True)
    found[3] = dataclasses.replace(found[3], scores=scores)
    assert rules.join_worth_having(found, 4) in (0, 1)
