from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headstart.heads import paired_difference
from headstart.probe.rules import (
    cheapest_tie,
    first_tie,
    most_accurate,
    prior_unless_beaten,
    quickest_tie,
    usual_unless_beaten,
)

N = 200


def right(n: int, shift: int = 0) -> np.ndarray:
    return np.roll(np.arange(N) < n, shift)


def test_most_accurate__equals_go_to_the_cheapest_then_the_first() -> None:
    assert most_accurate([right(3), right(5), right(5)]) == 1
    assert most_accurate([right(5), right(5), right(5)], [3, 2, 2]) == 1


def test_cheapest_tie__a_clear_winner_is_taken_whatever_it_costs() -> None:
    choice = cheapest_tie([right(120), right(190)], [1, 1000])
    assert (choice.best, choice.chosen, choice.ties) == (1, 1, (False, True))


def test_cheapest_tie__not_more_than_one_point_behind() -> None:
    # 1.5 points behind, on other examples: the standard error is 2.4.
    choice = cheapest_tie([right(190), right(187, 50)], [9, 1])
    assert choice.ties == (True, True)
    assert choice.chosen == 0
    assert cheapest_tie([right(190), right(188, 50)], [9, 1]).chosen == 1


def test_quickest_tie__of_about_equally_quick_ones_the_most_accurate() -> None:
    correct = [right(190), right(188, 50), right(189, 60), right(100)]
    assert quickest_tie(correct, [100.0, 20.0, 21.0, 1.0]) == 2
    assert quickest_tie(correct, [100.0, 20.0, 50.0, 1.0]) == 1
    assert quickest_tie(correct, [20.4, 20.0, 20.9, 1.0]) == 0


def test_first_tie__the_smallest_set_as_good_as_the_best() -> None:
    sets = [np.tile(right(n, s), (3, 1)) for n, s in ((150, 0), (189, 40), (190, 0), (188, 90))]
    assert first_tie(sets) == 1


@given(st.lists(st.tuples(st.integers(0, N), st.integers(1, 5)), min_size=1, max_size=8))
def test_rules__take_only_what_ties(table: list[tuple[int, int]]) -> None:
    correct = [right(n, 3 * i) for i, (n, _) in enumerate(table)]
    costs = [float(cost) for _, cost in table]
    best = correct[most_accurate(correct)]
    for taken in (
        cheapest_tie(correct, costs).chosen,
        quickest_tie(correct, costs),
        first_tie([c[None] for c in correct]),
    ):
        assert paired_difference(correct[taken], best).is_tie


def test_usual_unless_beaten__follows_mcnemar() -> None:
    usual = np.zeros(20, dtype=bool)
    for n_better in range(12):
        better = np.arange(20) < n_better
        choice = usual_unless_beaten([usual, better], [9, 1], 0)
        is_significant = paired_difference(better, usual).p_value <= 0.05
        assert choice.chosen == int(is_significant)
        assert choice.is_default == (not is_significant)


def test_usual_unless_beaten__of_equals_the_usual_is_the_best() -> None:
    choice = usual_unless_beaten([right(5), right(5), right(4)], [1, 9, 2], 1)
    assert (choice.best, choice.chosen) == (1, 1)
    assert [d.value for d in choice.differences] == [0, 0, -1 / N]


def test_prior_unless_beaten__follows_mcnemar() -> None:
    prior, cheaper = right(180), right(179, 2)
    choice = prior_unless_beaten([cheaper, prior], [1, 9], prior=1)
    assert (choice.chosen, choice.is_default) == (1, False)
    better = prior_unless_beaten([right(198), prior], [1, 9], prior=1)
    assert (better.chosen, better.best) == (0, 0)


@given(st.lists(st.tuples(st.integers(100, N), st.integers(0, N)), min_size=2, max_size=6))
def test_prior_unless_beaten__is_left_only_for_what_is_significantly_better(
    table: list[tuple[int, int]],
) -> None:
    correct = [right(n, shift) for n, shift in table]
    choice = prior_unless_beaten(correct, list(range(len(correct))), prior=0)
    p_value = paired_difference(correct[choice.best], correct[0]).p_value
    assert choice.chosen == (choice.best if p_value < 0.05 else 0)
