from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from headstart.course.labs.normalise import descent as room
from headstart.course.labs.normalise.descent import (
    Curve,
    Quadratic,
    RealFeatures,
    Speed,
    descend_all,
    measure,
    treat,
    two_features,
    verdict,
)
from headstart.course.labs.samples import Samples
from headstart.course.labs.spread import over_seeds, ratio_over_seeds
from headstart.heads import is_significant
from headstart.results import encode

RNG = np.random.default_rng(0)
X = RNG.normal([3.0, 10.0], [1.0, 4.0], (200, 2))
Y = X @ [1.0, -0.5] + RNG.normal(0, 0.1, 200)


def test_quadratic__condition_number_is_numpys() -> None:
    for how in room.TREATMENTS:
        treated = treat(X, how)
        loss = Quadratic.of(treated, Y)
        assert loss.condition_number == pytest.approx(np.linalg.cond(treated) ** 2)


def test_quadratic__minimum_is_least_squares() -> None:
    expected, *_ = np.linalg.lstsq(X, Y, rcond=None)
    np.testing.assert_allclose(Quadratic.of(X, Y).minimum, expected)


def test_quadratic__loss_is_the_mean_square() -> None:
    w = np.array([0.3, 0.7])
    assert float(Quadratic.of(X, Y).loss(w)) == pytest.approx(np.mean((X @ w - Y) ** 2) / 2)


def test_quadratic__n_steps_agrees_with_the_path() -> None:
    loss = Quadratic.of(treat(X, "centred"), Y - Y.mean())
    n = loss.n_steps(loss.best_rate)
    losses = loss.loss(loss.path(loss.best_rate, n)) - loss.loss(loss.minimum)
    assert losses[n] <= 0.01 * losses[0] < losses[n - 1]


def test_quadratic__best_rate_is_best_in_the_worst_case() -> None:
    loss = Quadratic.of(X, Y)
    curvature = np.linalg.eigvalsh(loss.hessian)

    def worst(rate: float) -> float:
        return float(np.abs(1 - rate * curvature).max())

    assert worst(loss.best_rate) <= min(worst(loss.best_rate * f) for f in (0.99, 1.01))


def test_quadratic__a_rate_that_diverges_is_refused() -> None:
    with pytest.raises(ValueError, match="does not converge"):
        Quadratic.of(X, Y).n_steps(100.0)


def test_treat__standardises_and_leaves_constants_at_zero() -> None:
    features = np.column_stack([X, np.full(200, 7.0)])
    done = treat(features, "standardised")
    np.testing.assert_allclose(done.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(done.std(0), [1, 1, 0])


def test_two_features__normalising_helps_and_condition_numbers_fall() -> None:
    found = two_features([0, 1]).treatments
    numbers = [found[how].condition_number.value for how in room.TREATMENTS]
    steps = [found[how].steps.value for how in room.TREATMENTS]
    assert numbers == sorted(numbers, reverse=True)
    assert steps == sorted(steps, reverse=True)


def test_descend_all__comes_to_the_loss_of_scikit_learn() -> None:
    features = treat(X, "standardised")
    labels = (Y + RNG.normal(0, 2, 200) > np.median(Y)).astype(np.int64)
    model = LogisticRegression(C=1e6, tol=1e-9).fit(features, labels)
    best = -np.log(model.predict_proba(features)[np.arange(200), labels]).mean()
    losses = descend_all(features, labels, 2, [0.01, 1.0, 1e6], target=0.0)
    assert losses[0] == pytest.approx([math.log(2)] * 3)
    assert losses[-1, 1] == pytest.approx(best, rel=1e-3)
    assert losses[-1, 0] > losses[-1, 1]


def test_measure__same_seeds_same_figures(blobs: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_STEPS", 60)
    first = measure(blobs, [0, 1])
    assert encode(first) == encode(measure(blobs, [0, 1]))
    assert first.sentence.startswith("Standardising two features lowers")
    assert "blobs" in first.detail


def speed(steps: list[int], reached: int) -> Speed:
    return Speed(
        steps=over_seeds(steps),
        steps_by_seed=steps,
        reached=reached,
        rates=[1.0] * 3,
        curve=Curve([], []),
    )


def real(raw: list[int], normal: list[int], reached: tuple[int, int] = (3, 3)) -> RealFeatures:
    ratio = ratio_over_seeds(raw, normal)
    return RealFeatures(
        name="d",
        unit="pixels",
        n_features=4,
        n_rows=9,
        n_classes=2,
        scales=1.0,
        target=0.1,
        raw=speed(raw, reached[0]),
        standardised=speed(normal, reached[1]),
        ratio=ratio,
        is_significant=is_significant(ratio, null=1.0),
    )


@pytest.mark.parametrize(
    ("each", "says"),
    [
        (real([100, 110, 90], [10, 11, 9]), "raw values take 10 [10, 10] times"),
        (real([10, 20, 30], [20, 21, 19]), "(not significant)"),
        (real([10, 11, 9], [100, 110, 90]), "against expectation"),
        (real([3000] * 3, [5, 6, 7], (0, 3)), "raw values had not reached the loss of 0.1"),
        (real([3000] * 3, [3000] * 3, (0, 0)), "neither reached"),
    ],
)
def test_verdict__follows_the_figures(each: RealFeatures, says: str) -> None:
    assert says in verdict(each)
