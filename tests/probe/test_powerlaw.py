"""Laws that are known, and how often the interval holds."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.probe.powerlaw import PowerLaw, bends, fit_curve, fit_piecewise, fit_power_law

COUNTS = (1, 2, 3, 5, 7, 10, 20, 30, 50)


@pytest.mark.parametrize("law", [PowerLaw(a=0.06, b=0.3, c=0.6), PowerLaw(a=0.0, b=0.5, c=0.25)])
def test_fit_power_law__finds_the_law_of_exact_points(law: PowerLaw) -> None:
    found = fit_power_law(COUNTS, law.error(COUNTS), np.ones(len(COUNTS)))
    for n in (10, 100, 400):
        assert float(found.error(n)) == pytest.approx(float(law.error(n)), abs=0.004)


def test_fit_power_law__has_no_negative_floor() -> None:
    # Falls faster than any power law of the grid does at the end.
    found = fit_power_law([1, 2, 4, 8], [0.4, 0.2, 0.1, 0.0], np.ones(4))
    assert found.a == 0
    assert found.b >= 0


def test_fit_power_law__does_not_rise() -> None:
    found = fit_power_law([1, 2, 4, 8], [0.2, 0.3, 0.4, 0.5], np.ones(4))
    errors = found.error([1, 10, 100])
    assert (np.diff(errors) <= 0).all()


def test_fit_power_law__needs_three_counts() -> None:
    with pytest.raises(ValueError, match="3 different numbers of images"):
        fit_power_law([1, 2, 2], [0.4, 0.3, 0.3], np.ones(3))


def test_fit_curve__its_interval_holds_about_as_often_as_it_says() -> None:
    """Curves drawn from a law with the noise of 5 orders and 500 test images, told at 100."""
    law, inside, n_curves = PowerLaw(a=0.05, b=0.4, c=0.6), 0, 30
    for seed in range(n_curves):
        rng = np.random.default_rng(seed)
        truth = np.array([*law.error(COUNTS), float(law.error(100))])
        # The same test images at all counts: what is hard for one is hard for all.
        shift = rng.normal(0, np.sqrt(0.08 * 0.92 / 500))
        table = truth + shift + rng.normal(0, 0.012, (5, truth.size)) * truth / truth[-1] * 0.5
        fit = fit_curve(COUNTS, table[:, :-1], 500, seed=seed)
        _, low, high = fit.accuracy(100)
        inside += low <= 1 - table[:, -1].mean() <= high
    assert inside >= 0.9 * n_curves


def test_fit_curve__gain_is_what_the_law_says() -> None:
    law = PowerLaw(a=0.05, b=0.4, c=0.6)
    table = np.tile(law.error(COUNTS), (3, 1))
    fit = fit_curve(COUNTS, table, 100_000)
    value, low, high = fit.gain(50, 100)
    assert value == pytest.approx(float(law.error(50) - law.error(150)), abs=0.003)
    assert low <= value <= high
    assert fit.gain(50, 1000).value > value


def test_fit_curve__fewer_test_images_widen_the_interval() -> None:
    table = np.tile(PowerLaw(a=0.05, b=0.4, c=0.6).error(COUNTS), (3, 1))
    widths = []
    for n_test in (10_000, 100):
        _, low, high = fit_curve(COUNTS, table, n_test).accuracy(100)
        widths.append(high - low)
    assert widths[1] > 2 * widths[0]


BENT = PowerLaw(a=0.0, b=0.8, c=0.6, bend=-0.12, knot=10.0)


def test_power_law__bends_into_a_line_without_a_kink() -> None:
    below, at, above = (float(BENT.error(10 * f)) for f in (1 - 1e-4, 1, 1 + 1e-4))
    assert below - at == pytest.approx(at - above, rel=1e-2)
    assert float(BENT.error(40)) == pytest.approx(0.8 * 40**-0.6)
    assert float(BENT.error(1)) == pytest.approx(0.8 * np.exp(-0.12 * np.log(10) ** 2))


def test_fit_piecewise__finds_the_law_of_exact_points() -> None:
    counts = np.array(COUNTS, dtype=float)
    weight = np.ones((2, len(counts)))
    weight[1, 2] = 0.0  # a point that is left out
    errors = np.stack([BENT.error(counts)] * 2)
    errors[1, 2] = 0.9
    for law in fit_piecewise(counts, errors, weight, floor=1e-6):
        assert law.knot == 10
        assert float(law.error(200)) == pytest.approx(float(BENT.error(200)), rel=1e-3)


def test_fit_piecewise__does_not_rise_and_takes_errors_of_zero() -> None:
    counts = np.array([1.0, 2, 4, 8])
    rising, none = fit_piecewise(
        counts, [[0.2, 0.3, 0.4, 0.5], [0.2, 0.1, 0.0, 0.0]], np.ones((2, 4)), floor=0.001
    )
    assert float(rising.error(100)) <= float(rising.error(8)) + 1e-12
    assert 0 < float(none.error(100)) < 0.01


def test_count__is_where_the_error_is_reached() -> None:
    straight = PowerLaw(a=0.05, b=0.4, c=0.5)
    for law in (straight, BENT):
        for error in (0.1, 0.3):
            assert float(law.error(law.count(error))) == pytest.approx(error, rel=0.03)
    assert straight.count(0.05) == np.inf
    assert PowerLaw(a=0.0, b=0.04, c=0.001).count(0.01) == np.inf


@pytest.mark.parametrize(
    ("law", "is_bent"), [(BENT, True), (PowerLaw(a=0.05, b=0.4, c=0.6), False)]
)
def test_fit_curve__takes_the_law_that_predicts_what_is_held_back(
    law: PowerLaw, is_bent: bool
) -> None:
    table = np.tile(law.error(COUNTS), (3, 1))
    assert bends(np.array(COUNTS, dtype=float), table, 10_000) == is_bent
    fit = fit_curve(COUNTS, table, 10_000)
    assert fit.law.is_bent == is_bent
    value, low, high = fit.accuracy(200)
    assert value == pytest.approx(1 - float(law.error(200)), abs=0.01)
    assert low <= value <= high


@pytest.mark.parametrize("counts", [(1, 2, 5), (1, 2, 5, 10), (1, 2, 3, 5, 10)])
def test_fit_curve__few_counts_have_a_wide_interval(counts: tuple[int, ...]) -> None:
    table = np.tile(PowerLaw(a=0.1, b=0.4, c=0.5).error(counts), (3, 1))
    narrow, wide = (fit_curve(counts, table, n_test).gain(10, 90) for n_test in (10_000, 100))
    assert wide.high - wide.low > 0.03
    assert wide.low <= wide.value <= wide.high
    assert narrow.high - narrow.low < wide.high - wide.low


@pytest.mark.parametrize("counts", [(1, 2, 5, 10), (1, 2, 3, 5, 7), (1, 2, 3, 5)])
def test_bends__not_where_nothing_could_be_held_back(counts: tuple[int, ...]) -> None:
    table = np.tile(BENT.error(counts), (3, 1))
    assert not bends(np.array(counts, dtype=float), table, 10_000)
    assert not fit_curve(counts, table, 10_000).law.is_bent


def test_fit_curve__without_errors_promises_nothing() -> None:
    for first in (0.0, 0.2):
        table = np.zeros((3, len(COUNTS)))
        table[:, 0] = first
        fit = fit_curve(COUNTS, table, 200)
        value, low, high = fit.gain(50, 100)
        assert value == low == 0
        assert high > 0  # 200 test images do not show that there are no errors
    assert not fit_curve(COUNTS, np.zeros((3, len(COUNTS))), 200).law.is_bent


@pytest.mark.parametrize("law", [BENT, PowerLaw(a=0.05, b=0.4, c=0.6)])
def test_fit_curve__interval_holds_the_gain(law: PowerLaw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of the same 400 test images in five orders, as those of a real curve."""
    monkeypatch.setattr("headstart.probe.powerlaw.N_DRAWS", 150)
    counts = (1, 2, 3, 5, 7, 10, 20, 30)
    expected = float(law.error(30) - law.error(90))
    holds = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        hard = rng.random(400)
        errors = law.error(counts) * (1 + 0.03 * rng.normal(size=(5, len(counts))))
        gain = fit_curve(counts, (hard[:, None, None] < errors).mean(axis=0), 400).gain(30, 60)
        holds += gain.low <= expected <= gain.high
    assert holds >= 12  # 9 and 10 where only orders and counts were drawn
