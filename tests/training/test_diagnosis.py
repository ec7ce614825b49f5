"""The words for learning curves, on curves made to have each illness and on real ones."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from sklearn.datasets import make_classification
from torch import nn

from headstart.training.curves import noise, smoothed
from headstart.training.diagnosis import Finding, diagnose
from headstart.training.history import Epoch

Floats = NDArray[np.float64]
T = np.arange(1, 31, dtype=np.float64)


def history(
    train_loss: ArrayLike, train_accuracy: ArrayLike, val_loss: ArrayLike, val_accuracy: ArrayLike
) -> list[Epoch]:
    curves = np.broadcast_arrays(train_loss, train_accuracy, val_loss, val_accuracy)
    return [
        Epoch(
            epoch=i,
            train_loss=float(tl),
            train_accuracy=float(ta),
            val_loss=float(vl),
            val_accuracy=float(va),
            lr=0.1,
            seconds=1.0,
        )
        for i, (tl, ta, vl, va) in enumerate(zip(*curves, strict=True), start=1)
    ]


def falling(start: float, end: float, tau: float, t: Floats = T) -> Floats:
    """Exponential approach, at `start` in the first epoch."""
    return end + (start - end) * np.exp(-(t - 1) / tau)


def turning(low: int, rise: float, t: Floats = T) -> Floats:
    """0 until epoch `low`, then up by `rise` an epoch."""
    return rise * np.maximum(0, t - low)


def wave(size: float) -> Floats:
    return size * np.where(np.arange(len(T)) % 2, 1.0, -1.0)


LOSS, ACCURACY = falling(2.5, 0.1, 4), falling(0.3, 0.97, 4)
VAL_LOSS, VAL_ACCURACY = falling(2.3, 0.3, 4), falling(0.35, 0.92, 4)

MADE: dict[str, tuple[list[str], list[Epoch]]] = {
    "healthy": (["fine"], history(LOSS, ACCURACY, VAL_LOSS, VAL_ACCURACY)),
    "healthy from a good start": (
        ["fine"],
        history(falling(0.4, 0.2, 4), falling(0.9, 0.95, 4), falling(0.4, 0.3, 4), 0.9),
    ),
    "harder in training, as mixing makes it": (
        ["fine"],
        history(falling(2.6, 1.2, 4), falling(0.2, 0.6, 4), VAL_LOSS, VAL_ACCURACY),
    ),
    "over-fits": (
        ["over-fits"],
        history(LOSS, ACCURACY, falling(2.3, 0.5, 2) + turning(8, 0.03), VAL_ACCURACY - 0.05),
    ),
    "over-fits at once": (
        ["over-fits"],
        history(falling(0.4, 0.0, 4), falling(0.9, 1, 4), 0.4 + turning(1, 0.01), 0.88),
    ),
    "wrong labels": (
        ["over-fits", "label-noise"],
        history(
            falling(2.5, 0.1, 10),
            falling(0.3, 0.99, 10),
            falling(2.3, 1.3, 2) + turning(7, 0.06),
            falling(0.35, 0.7, 2) - turning(7, 0.008),
        ),
    ),
    "under-fits": (
        ["under-fits"],
        history(falling(2.5, 1.5, 3), falling(0.2, 0.5, 3), falling(2.5, 1.6, 3), 0.47),
    ),
    "rate too low": (
        ["rate-too-low"],
        history(2.5 - 0.03 * T, 0.3 + 0.01 * T, 2.5 - 0.028 * T, 0.3 + 0.01 * T),
    ),
    "unfinished": (
        ["unfinished"],
        history(falling(2.5, 0.1, 12), falling(0.3, 0.97, 12), falling(2.3, 0.3, 12), 0.9),
    ),
    "diverges": (
        ["rate-too-high"],
        history(LOSS + turning(10, 0.1), ACCURACY - turning(10, 0.02), 2.3, 0.3),
    ),
    "oscillates": (["rate-too-high"], history(1 + wave(0.5), 0.6 + wave(0.08), 1 + wave(0.4), 0.6)),
    "gap": (["gap"], history(LOSS, ACCURACY, falling(2.3, 1.1, 4), falling(0.3, 0.65, 4))),
}


def codes(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.code for finding in findings]


@pytest.mark.parametrize(("expected", "made"), MADE.values(), ids=MADE)
def test_diagnose__names_the_illness(expected: list[str], made: list[Epoch]) -> None:
    assert codes(diagnose(made)) == expected


@pytest.mark.parametrize(("expected", "made"), MADE.values(), ids=MADE)
@pytest.mark.parametrize("seed", range(5))
def test_diagnose__is_not_misled_by_noise(
    expected: list[str], made: list[Epoch], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    noisy = [
        dataclasses.replace(
            e,
            train_loss=e.train_loss + 0.004 * rng.normal(),
            val_loss=e.val_loss + 0.004 * rng.normal(),
            train_accuracy=e.train_accuracy + 0.004 * rng.normal(),
            val_accuracy=e.val_accuracy + 0.004 * rng.normal(),
        )
        for e in made
    ]
    assert codes(diagnose(noisy)) == expected


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(sorted(MADE)),
    train=st.floats(-5, 5),
    val=st.floats(-5, 5),
    scale=st.floats(0.1, 10),
)
def test_diagnose__shifted_and_scaled_losses_have_the_same_illness(
    name: str, train: float, val: float, scale: float
) -> None:
    expected, made = MADE[name]
    moved = [
        dataclasses.replace(
            e, train_loss=scale * e.train_loss + train, val_loss=scale * e.val_loss + val
        )
        for e in made
    ]
    assert codes(diagnose(moved)) == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-10, 1e6), st.floats(0, 1), st.floats(-10, 1e6), st.floats(0, 1)),
        max_size=12,
    ),
    st.sampled_from([None, 1, 2, 15]),
)
def test_diagnose__any_curve_gets_one_line_each(
    rows: list[tuple[float, float, float, float]], n_classes: int | None
) -> None:
    made = history(*np.array(rows).T) if rows else []
    found = diagnose(made, n_classes=n_classes, n_train=50, n_val=20)
    assert found
    for finding in found:
        assert "\n" not in finding.sentence + finding.suggestion
        assert finding.epoch is None or 1 <= finding.epoch <= len(made)


def test_diagnose__over_fitting_is_told_with_epochs_and_figures() -> None:
    finding = diagnose(MADE["over-fits"][1])[0]
    assert finding.epoch == 9
    assert finding.sentence.startswith("over-fits from epoch 9: the validation loss rose from 0.5")
    assert "keep the weights of epoch 8" in finding.suggestion


def test_diagnose__over_fitting_that_costs_no_accuracy_is_false_confidence() -> None:
    rising = falling(2.3, 0.5, 2) + turning(8, 0.03)
    held = diagnose(history(LOSS, ACCURACY, rising, 0.9))[0]
    lost = diagnose(history(LOSS, ACCURACY, rising, 0.9 - turning(8, 0.004)))[0]
    assert "false confidence" in held.sentence
    assert "false confidence" not in lost.sentence
    assert "to 81.6 %" in lost.sentence


def test_diagnose__the_epoch_numbers_are_those_of_the_history() -> None:
    later = [dataclasses.replace(e, epoch=e.epoch + 100) for e in MADE["over-fits"][1]]
    assert diagnose(later)[0].epoch == 109


@pytest.mark.parametrize("spoilt", [math.nan, math.inf])
def test_diagnose__a_loss_that_is_no_number_is_divergence(spoilt: float) -> None:
    made = MADE["healthy"][1]
    made = [*made[:6], dataclasses.replace(made[6], train_loss=spoilt), *made[7:]]
    finding = diagnose(made)[0]
    assert (finding.code, finding.epoch) == ("rate-too-high", 7)
    assert "no longer a number from epoch 7" in finding.sentence
    made = [dataclasses.replace(e, val_loss=math.inf) for e in MADE["healthy"][1]]
    assert codes(diagnose(made)) == ["rate-too-high"]


def test_diagnose__without_validation_images_says_what_it_cannot_see() -> None:
    found = diagnose(history(LOSS, ACCURACY, math.nan, math.nan))
    assert codes(found) == ["fine"]
    assert "without validation images" in found[0].sentence
    slow = diagnose(history(2.5 - 0.03 * T, 0.3 + 0.01 * T, math.nan, math.nan))
    assert codes(slow) == ["rate-too-low"]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_diagnose__few_epochs_are_not_judged(n: int) -> None:
    assert codes(diagnose(MADE["over-fits"][1][:n])) == ["too-short"]


def test_diagnose__a_single_spike_is_no_illness() -> None:
    made = MADE["healthy"][1]
    for place in range(8, 28, 5):
        spiked = [*made]
        spiked[place] = dataclasses.replace(made[place], val_loss=3.0, val_accuracy=0.5)
        assert codes(diagnose(spiked)) == ["fine"]


def test_diagnose__few_validation_images_must_show_more() -> None:
    made = MADE["wrong labels"][1]
    assert codes(diagnose(made, n_val=1000)) == ["over-fits", "label-noise"]
    assert codes(diagnose(made, n_val=15)) == ["over-fits"]


def test_diagnose__a_poor_fit_is_judged_against_guessing() -> None:
    made = history(falling(0.7, 0.4, 3), falling(0.5, 0.85, 3), falling(0.7, 0.4, 3), 0.85)
    assert codes(diagnose(made, n_classes=15)) == ["fine"]
    assert codes(diagnose(made, n_classes=2)) == ["under-fits"]
    guessing = diagnose(history(falling(2.8, 2.7, 3), 0.07, 2.7, 0.07), n_classes=15)
    assert "hardly better than guessing" in guessing[0].sentence


def test_diagnose__a_first_epoch_far_above_guessing_is_a_rate_too_high() -> None:
    made = history(falling(40, 0.1, 1), ACCURACY, VAL_LOSS, VAL_ACCURACY)
    found = diagnose(made, n_classes=15)
    assert found[0].sentence == (
        "the learning rate is too high: the first epoch's loss is 40, where guessing has 2.71"
    )


def trained(
    seed: int,
    *,
    n_train: int,
    n_val: int = 400,
    lr: float,
    epochs: int,
    width: int = 64,
    adam: bool = False,
    flipped: float = 0.0,
    k: int = 4,
    sep: float = 1.5,
    cosine: bool = False,
) -> list[Epoch]:
    """The history of a small perceptron, trained for real."""
    X, y = make_classification(
        n_train + n_val,
        20,
        n_informative=8,
        n_redundant=0,
        n_classes=k,
        n_clusters_per_class=1,
        class_sep=sep,
        flip_y=0,
        random_state=seed,
    )
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(len(y)) < flipped, (y + rng.integers(1, k, len(y))) % k, y)
    features, labels = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(20, width), nn.ReLU(), nn.Linear(width, k))
    optimizer: torch.optim.Optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    if adam:
        optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    steps = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs) if cosine else None
    rows = []
    for _ in range(epochs):
        seen = []
        for chosen in torch.randperm(n_train).split(32):
            logits = net(features[chosen])
            loss = nn.functional.cross_entropy(logits, labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right = (logits.argmax(1) == labels[chosen]).double().sum()
            seen.append((float(loss.detach()) * len(chosen), float(right)))
        if steps:
            steps.step()
        with torch.no_grad():
            logits, truth = net(features[n_train:]), labels[n_train:]
            val = float(nn.functional.cross_entropy(logits, truth))
            rows.append(
                [
                    *np.sum(seen, axis=0) / n_train,
                    val,
                    float((logits.argmax(1) == truth).double().mean()),
                ]
            )
    return history(*np.array(rows).T)


REAL: dict[str, tuple[set[str], Callable[[int], list[Epoch]], int, int, int]] = {
    "healthy": (
        {"fine"},
        lambda s: trained(s, n_train=1000, lr=0.01, epochs=15, cosine=True, sep=2.0),
        4,
        1000,
        400,
    ),
    "too few data for its capacity": (
        {"over-fits"},
        lambda s: trained(s, n_train=60, lr=0.05, epochs=40, width=512, sep=1.0),
        4,
        60,
        400,
    ),
    "rate a hundred times too high": (
        {"rate-too-high"},
        lambda s: trained(s, n_train=400, lr=0.3, epochs=20, width=256, adam=True),
        4,
        400,
        400,
    ),
    "rate a hundred times too high, SGD": (
        {"rate-too-high"},
        lambda s: trained(s, n_train=400, lr=5.0, epochs=10),
        4,
        400,
        400,
    ),
    "rate a hundred times too low": (
        {"rate-too-low"},
        lambda s: trained(s, n_train=400, lr=1e-4, epochs=20),
        4,
        400,
        400,
    ),
    "40 % wrong labels": (
        {"over-fits", "label-noise"},
        lambda s: trained(
            s, n_train=400, n_val=1000, lr=0.003, epochs=60, width=512, flipped=0.4, sep=2.0
        ),
        4,
        400,
        1000,
    ),
    "too small": (
        {"under-fits"},
        lambda s: trained(s, n_train=800, lr=0.01, epochs=30, width=1, k=6, sep=1.0, cosine=True),
        6,
        800,
        400,
    ),
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("expected", "train", "n_classes", "n_train", "n_val"), REAL.values(), ids=REAL
)
def test_diagnose__real_trainings(
    expected: set[str],
    train: Callable[[int], list[Epoch]],
    n_classes: int,
    n_train: int,
    n_val: int,
    seed: int,
) -> None:
    found = diagnose(train(seed), n_classes=n_classes, n_train=n_train, n_val=n_val)
    assert set(codes(found)) == expected, [f.sentence for f in found]


def test_noise__recovers_the_jitter_under_a_trend() -> None:
    rng = np.random.default_rng(0)
    values = np.linspace(5, -3, 4000) + 0.25 * rng.normal(size=4000)
    assert noise(values) == pytest.approx(0.25, rel=0.05)
    assert noise(np.array([1.0, 9.0])) == 0


def test_smoothed__drops_a_spike_and_keeps_a_line() -> None:
    line = np.arange(8, dtype=np.float64)
    np.testing.assert_allclose(smoothed(line)[2:-2], line[2:-2])
    spiked = line.copy()
    spiked[4] = 100
    assert np.abs(smoothed(spiked) - line).max() < 1
