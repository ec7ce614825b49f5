"""What is offered beside the SVM, and that both sides are judged by the same measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import f1_score, log_loss

from headstart.data import Record
from headstart.heads import Criterion, accuracy_interval, fit_temperature, paired_gain
from headstart.runs.offer import make_offer
from headstart.runs.outcome import Finetuning

N, K = 300, 15


def sides(seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Logits of two models that err on different images, and the true classes."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, K, N)
    signal = 6.0 * np.eye(K)[truth]
    return signal + rng.normal(0, 2, (N, K)), signal + rng.normal(0, 2, (N, K)), truth


def test_make_offer__the_mean_of_two_that_err_apart_beats_both() -> None:
    network, svm, truth = sides()
    offer = make_offer((), network, softmax(svm, axis=1), truth)
    assert offer.comparison.is_mean
    assert offer.mean is not None
    assert offer.comparison.wins
    alone = make_offer((), network, softmax(svm, axis=1), truth, may_mean=False)
    assert not alone.comparison.is_mean
    assert alone.mean is None
    assert alone.comparison.losses.mean() > offer.comparison.losses.mean()


def test_make_offer__a_network_equal_to_the_svm_gains_nothing() -> None:
    """Calibrated on few images against many, the same scores differed by 0.05 once."""
    _, svm, truth = sides()
    offer = make_offer((), svm, softmax(svm, axis=1), truth)
    gain, _ = offer.comparison.loss_gain
    assert gain == pytest.approx(0.0, abs=1e-4)
    assert not offer.comparison.wins


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 8.0), st.floats(0.1, 4.0))
def test_make_offer__sharpness_of_either_side_plays_no_part_alone(a: float, b: float) -> None:
    network, svm, truth = sides(1)
    one = make_offer((), network, softmax(svm, axis=1), truth, may_mean=False).comparison
    other = make_offer((), a * network, softmax(b * svm, axis=1), truth, may_mean=False).comparison
    np.testing.assert_allclose(other.losses, one.losses, atol=1e-5)
    np.testing.assert_allclose(other.svm_losses, one.svm_losses, atol=1e-5)


def test_make_offer__each_fifth_is_judged_by_what_the_others_gave() -> None:
    network, svm, truth = sides(2)
    told = make_offer((), network, softmax(svm, axis=1), truth).comparison
    classes = np.arange(K)
    assert told.losses.mean() == pytest.approx(log_loss(truth, told.probabilities, labels=classes))
    own = np.arange(N) % 5 == 3
    p = fit_temperature(svm[~own], truth[~own]).probabilities(svm[own])
    expected = -np.log(p[np.arange(own.sum()), truth[own]])
    np.testing.assert_allclose(told.svm_losses[own], expected, atol=1e-6)


def test_make_offer__few_images_are_judged_all_the_same() -> None:
    network, svm, truth = sides(4)
    told = make_offer((), network[:3], softmax(svm[:3], axis=1), truth[:3]).comparison
    assert told.probabilities.shape == (3, K)
    assert np.isfinite(told.losses).all()


def test_comparison__is_hopeless_only_where_both_figures_say_so() -> None:
    network, svm, truth = sides(3)
    wild = np.random.default_rng(0).normal(0, 2, (N, K)) + 2 * np.eye(K)[truth]
    assert make_offer((), wild, softmax(svm, axis=1), truth, may_mean=False).comparison.is_hopeless
    assert not make_offer((), network, softmax(svm, axis=1), truth).comparison.is_hopeless


def test_make_offer__the_metric_that_is_optimised_is_compared_too() -> None:
    network, svm, truth = sides()
    P = softmax(svm, axis=1)
    found = make_offer((), network, P, truth, criterion=Criterion(metric="macro_f1")).comparison
    assert found.gain is not None
    assert found.metric == "macro F1"
    better = f1_score(truth, found.probabilities.argmax(axis=1), average="macro")
    # The SVM's classes stay the same however sharp its probabilities are.
    assert found.gain.value == pytest.approx(better - f1_score(truth, P.argmax(1), average="macro"))
    assert make_offer((), network, P, truth).comparison.gain is None


def test_make_offer__of_groups_is_compared_by_groups() -> None:
    network, svm, truth = sides(3)
    films = [
        Record(
            name=str(i), label=str(k), digest="", split="train", group=str(i // 25), path=Path(),
            width=1, height=1,
        )
        for i, k in enumerate(truth)
    ]  # fmt: skip
    P = softmax(svm, axis=1)
    alone, of_films = (make_offer(r, network, P, truth).comparison for r in ((), films))
    groups = [r.group for r in films]
    expected = paired_gain(of_films.finetuned, of_films.svm, groups=groups)
    assert of_films.difference == expected != alone.difference
    of_losses = paired_gain(of_films.svm_losses, of_films.losses, groups=groups)
    assert of_films.loss_gain == (pytest.approx(of_losses.value), of_losses.standard_error)
    found = Finetuning(state="lost", comparison=of_films, n_judged=1).result(tuple("ab"))
    assert "Student's test over 12 groups" in found.rule
    assert found.validation is not None
    assert found.validation.svm == accuracy_interval(of_films.svm, groups=groups)


def test_make_offer__weights_stand_for_repeated_images() -> None:
    network, svm, truth = sides()
    P = softmax(svm, axis=1)
    heavy = np.where(np.arange(len(truth)) % 2, 1.0, 5.0)
    found = make_offer((), network, P, truth, weight=heavy).comparison
    plain = make_offer((), network, P, truth).comparison
    assert found.metric == "weighted accuracy"
    assert found.gain is not None
    right = found.finetuned.astype(float) - found.svm
    assert found.gain.value == pytest.approx(np.average(right, weights=heavy))
    assert found.difference.value == pytest.approx(right.mean())
    expected = np.average(plain.losses, weights=heavy)
    assert found.losses.mean() == pytest.approx(expected, rel=0.1)
