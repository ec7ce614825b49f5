"""Laws that are known, and how often the interval holds."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.probe.powerlaw import PowerLaw, fit_curve, fit_power_law

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
