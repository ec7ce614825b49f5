from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.metrics import log_loss

from headstart.heads import Pool, Temperature, calibration, fit_pool, fit_temperature


def drawn(n: int, n_classes: int, scale: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and labels drawn with probabilities softmax(scale * scores)."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((n, n_classes))
    p = softmax(scale * scores, axis=1)
    return scores, (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, n_classes - 1)


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_fit_temperature__recovers_the_scale_that_made_the_labels(scale: float) -> None:
    scores, member = drawn(20_000, 5, scale)
    assert fit_temperature(scores, member).scale == pytest.approx(scale, rel=0.1)


def test_fit_temperature__makes_probabilities_reliable() -> None:
    scores, member = drawn(20_000, 4, 3.0)
    p = fit_temperature(scores[:5000], member[:5000]).probabilities(scores[5000:])
    sure, right = p.max(axis=1), p.argmax(axis=1) == member[5000:]
    for low in (0.4, 0.6, 0.8):
        bin_ = (sure >= low) & (sure < low + 0.2)
        assert right[bin_].mean() == pytest.approx(sure[bin_].mean(), abs=0.03)


def test_fit_temperature__minimises_the_log_loss_of_its_targets() -> None:
    scores, member = drawn(200, 3, 2.0)
    found = fit_temperature(scores, member).scale
    target = np.full((200, 3), 1 / 404)
    target[np.arange(200), member] = 201 / 202

    def plain(scale: float) -> float:
        return -float((target * np.log(softmax(scale * scores, axis=1))).sum())

    best = minimize_scalar(plain, bounds=(0.01, 100), method="bounded", options={"xatol": 1e-9})
    assert found == pytest.approx(best.x, rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(2, 6), st.floats(0.05, 20), st.integers(0, 1000))
def test_fit_temperature__is_no_worse_than_plain_softmax(
    n: int, n_classes: int, scale: float, seed: int
) -> None:
    scores, member = drawn(n, n_classes, scale, seed)
    fitted = fit_temperature(scores, member)
    p = fitted.probabilities(scores)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    if n >= 20:
        labels = np.arange(n_classes)
        plain = log_loss(member, softmax(scores, axis=1), labels=labels)
        assert log_loss(member, p, labels=labels) <= plain + n_classes / n


def test_fit_temperature__stays_short_of_certainty_where_all_are_right() -> None:
    member = np.arange(30) % 3
    scores = np.where(member[:, None] == np.arange(3), 1.0, -1.0)
    p = fit_temperature(scores, member).probabilities(scores)
    np.testing.assert_allclose(p.max(axis=1), 31 / 32, rtol=1e-6)


def test_fit_temperature__of_few_examples_is_as_sure_as_of_many() -> None:
    """Of 20 classes: targets with an example more for each class would cost 0.06 nats here."""
    losses = []
    for n in (300, 20_000):
        scores, member = drawn(20_300, 20, 4.0)
        p = fit_temperature(scores[:n], member[:n]).probabilities(scores[300:])
        losses.append(log_loss(member[300:], p, labels=np.arange(20)))
    assert losses[0] == pytest.approx(losses[1], abs=0.01)


def test_fit_temperature__gives_up_on_scores_that_mislead() -> None:
    member = np.arange(30) % 3
    scores = np.where(member[:, None] == np.arange(3), -1.0, 1.0)
    np.testing.assert_allclose(
        fit_temperature(scores, member).probabilities(scores), 1 / 3, atol=1e-3
    )


def test_fit_temperature__counts_an_example_as_often_as_its_weight_says() -> None:
    scores, member = drawn(50, 3, 2.0)
    weight = np.arange(50) % 4
    one = fit_temperature(scores, member, weight)
    two = fit_temperature(np.repeat(scores, weight, axis=0), np.repeat(member, weight))
    assert one.scale == pytest.approx(two.scale, rel=1e-9)


def test_fit_temperature__names_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="one label a row"):
        fit_temperature(np.zeros((3, 2)), [0, 1])
    with pytest.raises(ValueError, match="NaN or infinity"):
        fit_temperature([[np.nan, 0.0]], [0])


def test_temperature__by_hand() -> None:
    p = Temperature(2.0).probabilities([[0.0, np.log(3) / 2]])
    np.testing.assert_allclose(p, [[0.25, 0.75]])


def two(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-probabilities of two models of four classes, and labels that 0.9 and 0.4 of them give."""
    rng = np.random.default_rng(seed)
    own, other = (np.log(softmax(2 * rng.standard_normal((n, 4)), axis=1)) for _ in range(2))
    p = softmax(0.9 * own + 0.4 * other, axis=1)
    return own, other, (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, 3)


def test_fit_pool__recovers_what_made_the_labels() -> None:
    found = fit_pool(*two(20_000))
    assert found.scale * found.weight == pytest.approx(0.9, rel=0.05)
    assert found.scale * (1 - found.weight) == pytest.approx(0.4, rel=0.1)


def test_fit_pool__minimises_the_log_loss_of_its_targets() -> None:
    own, other, member = two(150, 1)
    target = np.full((150, 4), 1 / (152 * 3))
    target[np.arange(150), member] = 151 / 152

    def plain(a: float, b: float) -> float:
        return -float((target * np.log(softmax(a * own + b * other, axis=1))).sum())

    found = fit_pool(own, other, member)
    a, b = found.scale * found.weight, found.scale * (1 - found.weight)
    best = plain(a, b)
    for da, db in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3), (1e-3, -1e-3)):
        assert plain(a + da, b + db) > best


def test_fit_pool__leaves_out_a_model_that_misleads() -> None:
    own, _, member = two(500, 2)
    misleading = np.log(softmax(-3 * np.eye(4)[member], axis=1))
    found = fit_pool(own, misleading, member)
    assert found.weight == pytest.approx(1.0)
    assert found.scale == pytest.approx(fit_temperature(own, member).scale, rel=1e-3)


def test_fit_pool__of_twice_the_same_is_its_temperature() -> None:
    own, _, member = two(300, 3)
    found = fit_pool(own, own, member)
    assert found.scale == pytest.approx(fit_temperature(own, member).scale, rel=1e-4)


def test_fit_pool__names_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="one label a row"):
        fit_pool(np.zeros((3, 2)), np.zeros((3, 2)), [0, 1])
    with pytest.raises(ValueError, match="NaN or infinity"):
        fit_pool([[np.nan, 0.0]], [[0.0, 0.0]], [0])


def test_pool__by_hand() -> None:
    p, q = np.array([[0.9, 0.1]]), np.array([[0.5, 0.5]])
    raised = (p**0.25 * q**0.75) ** 2
    expected = raised / raised.sum()
    np.testing.assert_allclose(Pool(2.0, 0.25).probabilities(np.log(p), np.log(q)), expected)


def test_fit_temperature__of_many_scores_is_that_of_all_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores, member = drawn(3_000, 7, 2.0)
    weight = np.random.default_rng(1).random(3_000)
    for w in (None, weight):
        whole = fit_temperature(scores, member, w).scale
        with monkeypatch.context() as patched:
            patched.setattr(calibration, "MOST_AT_ONCE", 500)
            patched.setattr(calibration, "BLOCK_NUMBERS", 1_000)
            assert fit_temperature(scores, member, w).scale == pytest.approx(whole, rel=1e-9)
            patched.setattr(calibration, "NEAR_LOG_SCALE", 1e-6)  # the part misleads
            assert fit_temperature(scores, member, w).scale == pytest.approx(whole, rel=1e-9)


def test_fit_pool__weights_stand_for_repeated_examples() -> None:
    rng = np.random.default_rng(0)
    member = np.arange(40) % 3
    own, other = (np.eye(3)[member] + rng.normal(size=(40, 3)) for _ in range(2))
    times = rng.integers(1, 4, 40)
    some = np.repeat(np.arange(40), times)
    found = fit_pool(own, other, member, times)
    repeated = fit_pool(own[some], other[some], member[some])
    assert found.scale == pytest.approx(repeated.scale, rel=1e-4)
    assert found.weight == pytest.approx(repeated.weight, rel=1e-4)
    with pytest.raises(ValueError, match="weight must be"):
        fit_pool(own, other, member, times[:3])
