"""The measures against hand computation on functions whose curvature is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from headstart.course.labs.batchnorm.landscape import covariate_shift, smoothness
from headstart.course.labs.networks import convnet, trained_layers


def parameter(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def test_smoothness__beta_of_a_ball_is_its_curvature() -> None:
    w = parameter(3.0, -4.0)
    found = smoothness(lambda: 2.5 * (w**2).sum(), [w], [0.01, 0.1, 0.3])
    assert found.beta == pytest.approx(5.0)


def test_smoothness__of_a_quadratic_by_hand() -> None:
    # f = (1 x^2 + 9 y^2) / 2 at (1, 1): gradient (1, 9), and -0.1 g leads to (0.9, 0.1).
    w = parameter(1.0, 1.0)
    curvature = torch.tensor([1.0, 9.0], dtype=torch.float64)
    found = smoothness(lambda: (curvature * w**2).sum() / 2, [w], [0.1, 0.2])
    there, further = (0.9, 0.1), (0.8, -0.8)
    losses = [(x**2 + 9 * y**2) / 2 for x, y in (there, further)]
    assert found.variation == pytest.approx(max(losses) - min(losses))
    assert found.predictiveness == pytest.approx(math.hypot(1 - 0.8, 9 + 9 * 0.8))
    assert found.beta == pytest.approx(math.hypot(1, 81) / math.hypot(1, 9))


def test_smoothness__is_zero_on_a_plane() -> None:
    w = parameter(1.0, 2.0)
    found = smoothness(lambda: (3 * w).sum() + 0 * (w**2).sum(), [w], [0.1, 1.0])
    assert found.beta == 0
    assert found.predictiveness == 0
    assert found.variation == pytest.approx(0.9 * 18)


def test_smoothness__puts_parameters_back_to_the_last_bit() -> None:
    w = parameter(0.1, 0.7)
    before = w.detach().clone()
    smoothness(lambda: (w**4).sum(), [w], [0.3, 7.0])
    assert torch.equal(w.detach(), before)
    assert w.grad is None


def test_smoothness__that_overflows_is_infinite() -> None:
    w = nn.Parameter(torch.tensor([1e3]))
    found = smoothness(lambda: (w**4).sum(), [w], [1e-12, 1e30])
    assert (found.variation, found.predictiveness, found.beta) == (math.inf,) * 3
    assert w.detach().item() == 1e3


def test_covariate_shift__of_two_numbers_by_hand() -> None:
    # f = (a b x - t)^2 / 2 with x = 1: df/da = (ab - t) b, df/db = (ab - t) a.
    a, b = parameter(2.0), parameter(3.0)
    target, rate = 5.0, 0.1
    first, second = covariate_shift(
        lambda: ((a * b - target) ** 2).sum() / 2, [[a], [b]], [rate] * 2
    )
    before = (6 - target) * 2
    moved = 2 - rate * (6 - target) * 3
    after = (moved * 3 - target) * moved
    assert first.distance == 0
    assert second.distance == pytest.approx(abs(before - after))
    assert second.relative == pytest.approx(abs(before - after) / abs(before))
    assert second.cosine == pytest.approx(math.copysign(1, before * after))


def network_and_loss(norm: str = "with"):
    network = convnet(1, 3, width=4, n_layers=3, norm=norm, seed=0)
    images = torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(8) % 3
    return network, lambda: F.cross_entropy(network(images), labels)


@pytest.mark.parametrize("norm", ["with", "without"])
def test_covariate_shift__is_zero_when_lower_layers_do_not_move(norm: str) -> None:
    network, loss = network_and_loss(norm)
    layers = trained_layers(network)
    shifts = covariate_shift(loss, layers, [0.0] * len(layers))
    assert [s.distance for s in shifts] == [0.0] * 4
    assert [s.cosine for s in shifts] == pytest.approx([1.0] * 4)


def test_covariate_shift__looks_at_lower_layers_only() -> None:
    network, loss = network_and_loss()
    layers = trained_layers(network)
    only_third = covariate_shift(loss, layers, [0.0, 0.0, 0.5, 0.5])
    assert [s.distance for s in only_third[:3]] == [0.0] * 3
    assert only_third[3].distance > 0
    both = covariate_shift(loss, layers, [0.5, 0.0, 0.5, 0.5])
    assert both[1].distance > 0


def test_covariate_shift__puts_parameters_back() -> None:
    network, loss = network_and_loss()
    before = [p.detach().clone() for p in network.parameters()]
    covariate_shift(loss, trained_layers(network), [1.0] * 4)
    assert all(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))
