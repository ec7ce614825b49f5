"""Distances against integrals and samples; statistics against what the layer itself is given."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import nn

from headstart.backbones import Backbone, load
from headstart.errors import InputError
from headstart.experiments.similarity.distance import (
    Source,
    distance_by_chance,
    distance_from,
    frechet,
    measure_distance,
    source_statistics,
    symmetric_kl,
)

values = st.floats(-3, 3)
variances = st.floats(0.05, 5)


def trained(net: Backbone) -> Backbone:
    """With running statistics as if images had been seen."""
    generator = torch.Generator().manual_seed(0)
    for layer in net.module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.copy_(torch.randn(layer.num_features, generator=generator) * 0.3)
            layer.running_var.copy_(torch.rand(layer.num_features, generator=generator) + 0.5)
    return net


@pytest.fixture(scope="module")
def net() -> Backbone:
    return trained(load("timm:test_efficientnet", pretrained=False))


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("m", "v", "m0", "v0"), [(0.5, 2.0, -1.0, 0.7), (0, 1, 0, 1)])
def test_symmetric_kl__is_the_integral(m: float, v: float, m0: float, v0: float) -> None:
    p, q = stats.norm(m, v**0.5), stats.norm(m0, v0**0.5)

    def integrand(x: float) -> float:
        return float((p.pdf(x) - q.pdf(x)) * (p.logpdf(x) - q.logpdf(x)) / 2)

    assert symmetric_kl(m, v, m0, v0) == pytest.approx(integrate.quad(integrand, -15, 15)[0])


def test_frechet__is_the_transport_between_quantiles() -> None:
    p, q = stats.norm(0.5, 2.0**0.5), stats.norm(-1.0, 0.7**0.5)
    u = (np.arange(100_000) + 0.5) / 100_000
    assert frechet(0.5, 2.0, -1.0, 0.7) == pytest.approx(
        np.mean((p.ppf(u) - q.ppf(u)) ** 2), rel=1e-3
    )


@settings(max_examples=50, deadline=None)
@given(values, variances, values, variances, values, st.floats(0.1, 10))
def test_distances__symmetric_zero_for_equals_and_as_invariant_as_they_are(
    m: float, v: float, m0: float, v0: float, shift: float, scale: float
) -> None:
    for distance in (symmetric_kl, frechet):
        there, back = distance(m, v, m0, v0), distance(m0, v0, m, v)
        assert there == pytest.approx(back)
        assert there >= -1e-12
        assert distance(m, v, m, v) == pytest.approx(0, abs=1e-12)
        moved = distance(scale * m + shift, scale**2 * v, scale * m0 + shift, scale**2 * v0)
        factor = scale**2 if distance is frechet else 1
        assert moved == pytest.approx(factor * there, rel=1e-6, abs=1e-9)


def test_measure_distance__equals_the_statistics_of_the_layers_inputs(net: Backbone) -> None:
    given_to: dict[str, torch.Tensor] = {}
    handles = [
        layer.register_forward_pre_hook(
            lambda _, args, n=name: given_to.update({n: args[0].clone()})
        )
        for name, layer in net.module.named_modules()
        if isinstance(layer, nn.BatchNorm2d)
    ]
    batch = images(6)
    with torch.no_grad():
        net.module(batch)
    for handle in handles:
        handle.remove()
    found = measure_distance(net, [batch[:4], batch[4:]])
    assert found.layers == tuple(given_to)
    layers = dict(net.module.named_modules())
    for i, name in enumerate(found.layers):
        x, layer = given_to[name].double(), layers[name]
        mean, var = x.mean((0, 2, 3)).numpy(), x.var((0, 2, 3), correction=0).numpy() + layer.eps
        m0 = layer.running_mean.double().numpy()
        v0 = layer.running_var.double().numpy() + layer.eps
        assert found.kl[i] == pytest.approx(symmetric_kl(mean, var, m0, v0).mean(), rel=1e-5)
        normalised = ((mean - m0) ** 2 / v0 + (np.sqrt(var / v0) - 1) ** 2).mean()
        assert found.frechet[i] == pytest.approx(normalised, rel=1e-5)
    assert found.medians["kl"].value == pytest.approx(np.median(found.kl))


def test_measure_distance__is_zero_for_the_source_itself() -> None:
    own = load("timm:test_efficientnet", pretrained=False)
    own = dataclasses.replace(own, module=own.module.double())
    batch = images(12).double()
    # Layer by layer, so that each sees what those below it give when they are set already.
    layers = [m for m in own.module.modules() if isinstance(m, nn.BatchNorm2d)]
    for layer in layers:
        seen: list[torch.Tensor] = []
        handle = layer.register_forward_pre_hook(lambda _, args, s=seen: s.append(args[0]))
        with torch.no_grad():
            own.module(batch)
        handle.remove()
        layer.running_mean.copy_(seen[0].mean((0, 2, 3)))
        layer.running_var.copy_(seen[0].var((0, 2, 3), correction=0))
    near = measure_distance(own, [batch])
    far = measure_distance(own, [3 * images(12, seed=5).double() + 2])
    assert max(near.kl) < 1e-4
    assert max(near.frechet) < 1e-4
    assert far.medians["kl"].value > 100 * near.medians["kl"].value


def test_measure_distance__neither_batches_nor_seed_change_the_value(net: Backbone) -> None:
    batch = images(6)
    whole = measure_distance(net, [batch], seed=0)
    parts = measure_distance(net, list(batch.split(1)), seed=1)
    assert whole.kl == pytest.approx(parts.kl, rel=1e-4)
    value, low, high = whole.medians["kl"]
    assert low < value < high


def test_measure_distance__leaves_the_network_as_it_was(net: Backbone) -> None:
    before = {k: v.clone() for k, v in net.module.state_dict().items()}
    net.module.train()
    measure_distance(net, [images(3)])
    assert net.module.training
    net.module.eval()
    assert all(torch.equal(v, before[k]) for k, v in net.module.state_dict().items())
    assert not any(m._forward_pre_hooks for m in net.module.modules())


def test_measure_distance__one_image_is_too_few(net: Backbone) -> None:
    with pytest.raises(InputError, match="two images or more; got 1"):
        measure_distance(net, [images(1)])
    with pytest.raises(InputError, match="got 0"):
        measure_distance(net, [])


def test_source_statistics__without_batchnorm_names_backbones_that_have_it() -> None:
    with pytest.raises(InputError, match=r"not available: SqueezeNet has no BatchNorm.*embedded"):
        source_statistics(load("squeezenet1_0", pretrained=False))


def test_source_statistics__untrained_layers_are_told() -> None:
    with pytest.raises(InputError, match="have seen no images"):
        source_statistics(load("timm:test_efficientnet", pretrained=False))


def as_sums(rows: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {"a": (rows, rows**2)}


def source_of(rows: np.ndarray) -> Source:
    return Source(layer="a", mean=rows.mean(0), var=rows.var(0), eps=1e-5)


@pytest.mark.parametrize(("n", "m"), [(200, 200), (200, 50)])
def test_distance_by_chance__is_about_half_of_one_over_both_numbers_twice(n: int, m: int) -> None:
    rows = np.random.default_rng(0).normal(size=(n, 40))
    found = distance_by_chance(as_sums(rows), m, eps=0.0)
    # Of a Gaussian, half of it from the mean and half from the variance.
    assert found.distance.kl[0] == pytest.approx(1 / n + 1 / m, rel=0.15)
    assert found.distance.n_images == n
    assert found.most > found.distance.kl[0]


@pytest.mark.parametrize(("n", "m"), [(200, 200), (100, 30)])
def test_distance_by_chance__holds_for_sets_of_the_same_kind(n: int, m: int) -> None:
    rng = np.random.default_rng(1)
    mix = rng.normal(size=(20, 20)) + 4 * rng.normal(size=(20, 1)) * rng.normal(size=20)
    within = 0
    for seed in range(200):
        own, other = (rng.normal(size=(size, 20)) @ mix for size in (n, m))
        chance = distance_by_chance(as_sums(own), m, eps=1e-5, seed=seed, n_resamples=100)
        found = distance_from([source_of(other)], as_sums(own), n_resamples=2)
        within += found.medians["kl"].value <= chance.most
    assert 0.88 <= within / 200 <= 0.99


def test_distance_from__interval_counts_the_draw_of_a_reference_too() -> None:
    rng = np.random.default_rng(0)
    own, other = rng.normal(size=(200, 20)), rng.normal(0.5, 1, size=(30, 20))
    alone = distance_from([source_of(other)], as_sums(own))
    both = distance_from([source_of(other)], as_sums(own), reference=as_sums(other))
    assert both.kl == alone.kl
    widths = [d.medians["kl"].high - d.medians["kl"].value for d in (alone, both)]
    # Variances add up: that of 30 examples is 200 / 30 times that of 200.
    assert widths[1] / widths[0] == pytest.approx((1 + 200 / 30) ** 0.5, rel=0.4)
