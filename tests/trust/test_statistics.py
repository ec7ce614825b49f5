"""Quick forms of bench/statistics_trust.py: intervals, tests, the choice, and two promises of runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench import statistics_page, trust_runs, trust_worlds
from bench.statistics_trust import RULES
from bench.trust_worlds import Counter, Judged, Tally

import headstart
from headstart.data import Record, index
from headstart.runs.outcome import is_better

N_WORLDS = 600


@pytest.fixture(scope="module")
def judged() -> Judged:
    """Two real classifiers of scikit-learn's digits: raw pixels, and every second row of them."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    X = digits.data.astype(np.float32)
    rows = np.arange(64).reshape(8, 8)[::2].ravel()
    rng = np.random.default_rng(0)
    train, pool = trust_worlds.part_classes(digits.target, 10, rng)
    return trust_worlds.judge((X, X[:, rows]), digits.target, train, pool)


@pytest.fixture(scope="module")
def covered(judged: Judged) -> dict[str, Tally]:
    found = trust_worlds.coverage(judged, 60, N_WORLDS, np.random.default_rng(1))
    return found.tallies()


@pytest.mark.parametrize(
    "interval",
    ["accuracy", "accuracy, stratified test", "balanced accuracy", "paired difference"],
)
def test_intervals__cover_the_truth_as_often_as_they_say(
    interval: str, covered: dict[str, Tally]
) -> None:
    tally = covered[interval]
    assert tally.n == N_WORLDS
    assert not tally.is_below(0.95), tally
    assert tally.share < 0.995, "far too wide"


def test_intervals__the_worlds_are_those_of_the_binomial_distribution(
    judged: Judged, covered: dict[str, Tally]
) -> None:
    expected = trust_worlds.exact_coverage(float((judged.a == judged.y).mean()), 60)
    low, high = covered["accuracy"].ends(0.999)
    assert low <= expected <= high


def test_intervals__a_world_of_copies_is_told(covered: dict[str, Tally]) -> None:
    """The check can fail: an interval for independent images is too narrow for copies."""
    assert covered["accuracy, every image twice"].is_below(0.95)


def few_disagreements() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """A pool in which two good classifiers seldom disagree."""
    a, b = np.ones(1000, dtype=bool), np.ones(1000, dtype=bool)
    a[:15], b[10:35] = False, False
    return a, b


def test_paired_difference__covers_where_the_plain_interval_does_not() -> None:
    a, b = few_disagreements()
    y = np.zeros(1000, dtype=np.int64)
    world = Judged(y=y, a=np.where(a, y, 1), b=np.where(b, y, 1))
    found = trust_worlds.coverage(world, 80, N_WORLDS, np.random.default_rng(2)).tallies()
    assert found["paired difference, plain Wald"].is_below(0.95)
    assert not found["paired difference"].is_below(0.95)


@pytest.mark.parametrize("name", [n for n in RULES if n not in statistics_page.SHOWN_ONLY])
def test_tests__keep_their_error_rate_where_both_are_equally_good(
    name: str, judged: Judged
) -> None:
    rate, rule = RULES[name]
    for a, b in ((judged.a == judged.y, judged.b == judged.y), few_disagreements()):
        rng = np.random.default_rng(3)
        found = trust_worlds.null_worlds(a, b, 80, N_WORLDS, rng, {name: rule}).tallies()[name]
        assert not found.is_above(rate), found


def test_tests__a_rule_that_is_too_eager_is_told(judged: Judged) -> None:
    a, b = judged.a == judged.y, judged.b == judged.y
    eager = {"any difference": lambda d: d.value > 0, "bar": is_better}
    rng = np.random.default_rng(4)
    found = trust_worlds.null_worlds(a, b, 80, N_WORLDS, rng, eager).tallies()
    assert found["any difference"].is_above(0.16)


def test_swapped__makes_both_equally_good_and_keeps_the_disagreements() -> None:
    rng = np.random.default_rng(5)
    a, b = np.ones(10, dtype=bool), np.zeros(10, dtype=bool)
    one, two = trust_worlds.swapped(a, b, 4000, rng)
    assert (one != two).all()
    assert stats.binomtest(int(one.sum()), 4000).pvalue > 0.001


def test_tally__has_the_exact_interval() -> None:
    low, high = Tally(hits=95, n=100).ends()
    expected = stats.beta.ppf([0.025, 0.975], [95, 96], [6, 5])
    assert (low, high) == pytest.approx(tuple(expected))
    assert Tally(hits=80, n=100).is_below(0.95)
    assert not Tally(hits=93, n=100).is_below(0.95)


@pytest.mark.parametrize(("n", "sizes"), [(10, (50, 30, 20)), (7, (60, 30, 10)), (3, (98, 1, 1))])
def test_class_counts__give_every_class_its_share(n: int, sizes: tuple[int, ...]) -> None:
    y = np.repeat(np.arange(3), sizes)
    _, counts = trust_worlds.class_counts(y, n)
    assert counts.sum() == n
    assert counts.min() >= 1
    assert (np.abs(counts - np.array(sizes) * n / 100) <= 2).all()


def test_repeated_coverage__counts_every_world() -> None:
    rng = np.random.default_rng(6)
    hard = rng.random(500)
    a, b = (rng.random((20, 500)) < top - 0.4 * hard for top in (0.98, 0.95))
    found = trust_worlds.repeated_coverage(a, b, 100, 3, N_WORLDS, rng).tallies()
    assert set(found) == {"accuracy of 3 repeats", "difference of 3 repeats"}
    assert not any(t.is_below(0.95) for t in found.values()), found


def test_hindsight__is_nothing_where_the_choice_is_the_best_throughout() -> None:
    right = np.stack([np.ones(40, dtype=bool), np.arange(40) % 2 == 0])
    rng = np.random.default_rng(7)
    assert trust_worlds.hindsight(right, right[0], rng) == (0.0, 0.0)
    assert trust_worlds.hindsight(right, right[1], rng) == pytest.approx((0.5, 0.5), abs=0.02)


def test_hindsight__a_choice_that_is_no_candidate_may_beat_them_all() -> None:
    right = np.stack([np.arange(40) % 2 == 0, np.arange(40) % 4 == 0])
    found = trust_worlds.hindsight(right, np.ones(40, dtype=bool), np.random.default_rng(9))
    assert found == pytest.approx((-0.5, -0.5), abs=0.02)


def test_hindsight__luck_counts_in_the_plain_figure_alone() -> None:
    """40 equally good candidates: the best of them on 100 images is lucky, not better."""
    rng = np.random.default_rng(8)
    worlds = [rng.random((40, 100)) < 0.8 for _ in range(60)]
    found = [trust_worlds.hindsight(right, right[0], rng, n_halves=40) for right in worlds]
    plain, honest = np.mean(found, axis=0)
    assert plain > 0.05
    assert abs(honest) < 0.02


def test_merged__joins_worlds() -> None:
    one, two = Counter(), Counter()
    one.add("x", True)
    two.add("x", False)
    two.add("y", True)
    assert trust_worlds.merged([one, two]).tallies() == {
        "x": Tally(hits=1, n=2),
        "y": Tally(hits=1, n=1),
    }


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Record, ...]]:
    """Some of the digits as files."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits, folder = load_digits(), tmp_path_factory.mktemp("digits")
    for label in (0, 3, 8):
        (folder / str(label)).mkdir()
        for i in np.flatnonzero(digits.target == label)[:12]:
            pixels = (digits.images[i] * (255 / 16)).astype(np.uint8)
            Image.fromarray(pixels).resize((48, 48)).save(folder / str(label) / f"{i}.png")
    return folder, index(folder).records


def test_held_out_labels__never_change_a_fitted_head(
    records: tuple[Path, tuple[Record, ...]],
) -> None:
    found = trust_runs.permuted_labels(*records)
    assert found["changed"] == []
    assert "head.safetensors" in found["files"]
    assert found["permuted"] < found["accuracy"], "the labels were not permuted"


def test_same_seed__gives_the_same_figures_in_another_process(
    records: tuple[Path, tuple[Record, ...]], tmp_path: Path
) -> None:
    data = trust_runs.lay_out(records[1], tmp_path / "data")
    here = headstart.fit(data, out=tmp_path / "here", cache=tmp_path / "c1", **trust_runs.SETTINGS)
    there = trust_runs.fit_elsewhere(data, tmp_path / "there", tmp_path / "c2")
    found = trust_runs.compared(here.folder, there)
    assert found["n_figures"] > 300
    assert (found["differ"], found["changed"]) == ([], [])


def test_compared__tells_one_figure_that_differs(tmp_path: Path) -> None:
    folders = []
    for name, value in (("one", 0.9), ("two", 0.8)):
        folder = tmp_path / name
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "head.json").write_text(str(value))
        figures = {"test": {"accuracy": value, "n": 5}, "timings_s": {"total": value}}
        (folder / "metrics.json").write_text(json.dumps(figures))
        folders.append(folder)
    assert trust_runs.compared(*folders) == {
        "n_figures": 2,
        "differ": ["test.accuracy"],
        "changed": ["head.json"],
    }
