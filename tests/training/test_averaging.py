"""Averages and penalties against sums done by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from headstart.errors import InputError
from headstart.training.averaging import Ema, interpolate, l2_sp_penalty


def linear(*weights: float, bias: float = 0.0) -> nn.Linear:
    layer = nn.Linear(len(weights), 1)
    layer.load_state_dict({"weight": torch.tensor([weights]), "bias": torch.tensor([bias])})
    return layer


def set_weight(layer: nn.Linear, *weights: float) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([weights]))


def test_ema__two_updates_by_hand() -> None:
    layer = linear(1.0, 2.0)
    ema = Ema(layer, decay=0.25)
    set_weight(layer, 3.0, 0.0)
    ema.update(layer)  # warm-up: d = min(0.25, 2 / 11) = 2 / 11
    d1, d2 = 2 / 11, 0.25  # then 3 / 12, which is the decay
    first = [d1 * 1 + (1 - d1) * 3, d1 * 2 + (1 - d1) * 0]
    assert ema.values["weight"].tolist()[0] == pytest.approx(first)
    set_weight(layer, 0.0, 10.0)
    ema.update(layer)
    second = [d2 * first[0], d2 * first[1] + (1 - d2) * 10]
    assert ema.values["weight"].tolist()[0] == pytest.approx(second)


@pytest.mark.parametrize(("decay", "n"), [(0.99, 890), (0.999, 8990)])
def test_ema__warm_up_reaches_the_decay_where_the_docstring_says(decay: float, n: int) -> None:
    assert (1 + n) / (10 + n) >= decay - 1e-12
    assert n / (9 + n) < decay


def test_ema__copies_integers_and_averages_running_statistics() -> None:
    layer = nn.BatchNorm1d(2)
    ema = Ema(layer, decay=0.9)
    layer(torch.tensor([[0.0, 4.0], [2.0, 8.0]]))
    ema.update(layer)
    assert int(ema.values["num_batches_tracked"]) == 1
    d = 2 / 11
    expected = [(1 - d) * 0.1 * 1, (1 - d) * 0.1 * 6]
    assert ema.values["running_mean"].tolist() == pytest.approx(expected)


def test_ema__what_never_changes_stays_to_the_last_bit() -> None:
    layer = nn.Linear(50, 20)
    ema = Ema(layer, decay=0.7)
    for _ in range(20):
        ema.update(layer)
    assert torch.equal(ema.values["weight"], layer.weight)


def test_ema__copy_to_writes_the_average_and_leaves_the_source_alone() -> None:
    layer = linear(1.0)
    ema = Ema(layer, decay=0.5)
    set_weight(layer, 2.0)
    ema.update(layer)
    other = linear(0.0)
    ema.copy_to(other)
    assert other.weight.item() == pytest.approx(2 / 11 + 2 * 9 / 11)
    assert layer.weight.item() == 2.0
    set_weight(other, 9.0)
    assert ema.values["weight"].item() != 9.0


def test_ema__keeps_small_steps_of_sixteen_bit_weights() -> None:
    layer = linear(1.0).bfloat16()
    ema = Ema(layer, decay=0.999)
    ema.n_updates = 10_000
    set_weight(layer, 1.0078125)  # the next number that bfloat16 has
    for _ in range(1000):
        ema.update(layer)
    share = 1 - 0.999**1000
    assert ema.values["weight"].item() == pytest.approx(1 + share * 0.0078125, abs=1e-5)
    ema.copy_to(layer)
    assert layer.weight.dtype == torch.bfloat16


def test_ema__goes_on_from_its_state_as_if_uninterrupted() -> None:
    torch.manual_seed(0)
    steps = [torch.randn(1, 2) for _ in range(6)]
    layer = linear(1.0, 2.0)
    whole, half = Ema(layer, 0.9), Ema(layer, 0.9)
    for i, weights in enumerate(steps):
        set_weight(layer, *weights[0].tolist())
        whole.update(layer)
        if i < 3:
            half.update(layer)
    resumed = Ema(linear(0.0, 0.0), 0.9)
    resumed.restore(half.n_updates, half.values)
    for weights in steps[3:]:
        set_weight(layer, *weights[0].tolist())
        resumed.update(layer)
    assert all(torch.equal(whole.values[k], resumed.values[k]) for k in whole.values)


def test_ema__state_of_another_module_is_refused() -> None:
    with pytest.raises(ValueError, match="'bias' is in one only"):
        Ema(nn.Linear(1, 1, bias=False), 0.5).restore(0, Ema(linear(1.0), 0.5).values)


@pytest.mark.parametrize("decay", [-0.1, 1.0, math.nan])
def test_ema__decay_out_of_range_is_refused(decay: float) -> None:
    with pytest.raises(InputError, match="ema_decay must be at least 0 and below 1"):
        Ema(linear(1.0), decay)


def test_l2_sp_penalty__by_hand_with_its_gradient() -> None:
    layer = linear(1.0, 2.0, bias=3.0)
    start = {"weight": torch.tensor([[0.0, 4.0]])}
    penalty = l2_sp_penalty(layer.named_parameters(), start, 0.5, strength_new=0.1)
    # 0.5 / 2 * (1 + 4) for the weight, and 0.1 / 2 * 9 for the bias, which the start lacks
    assert penalty.item() == pytest.approx(0.25 * 5 + 0.05 * 9)
    penalty.backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist()[0] == pytest.approx([0.5 * 1, 0.5 * -2])
    assert layer.bias.grad is not None
    assert layer.bias.grad.item() == pytest.approx(0.1 * 3)


def test_l2_sp_penalty__is_zero_at_the_start_and_passes_over_frozen_parameters() -> None:
    layer = linear(1.0, 2.0, bias=3.0)
    start = {name: p.detach().clone() for name, p in layer.named_parameters()}
    assert l2_sp_penalty(layer.named_parameters(), start, 1.0).item() == 0
    layer.weight.requires_grad_(False)
    set_weight(layer, 7.0, 7.0)
    assert l2_sp_penalty(layer.named_parameters(), start, 1.0).item() == 0


def test_l2_sp_penalty__a_replaced_layer_is_named() -> None:
    with pytest.raises(ValueError, match=r"'weight' has shape \(1, 2\) and had \(1, 3\)"):
        l2_sp_penalty(linear(1.0, 2.0).named_parameters(), {"weight": torch.zeros(1, 3)}, 1.0)


def test_interpolate__by_hand() -> None:
    start = {"w": torch.tensor([0.0, 4.0]), "n": torch.tensor(3)}
    end = {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(9), "new": torch.tensor([5.0])}
    mixed = interpolate(start, end, 0.25)
    assert mixed["w"].tolist() == [0.25, 3.5]
    assert mixed["n"].item() == 9
    assert mixed["new"].tolist() == [5.0]
    mixed["new"][0] = 0
    assert end["new"].item() == 5.0


@given(st.floats(0, 1), st.integers(0, 1000))
def test_interpolate__ends_and_what_is_frozen_are_kept_to_the_last_bit(
    alpha: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    start = {
        "frozen": torch.randn(9, generator=generator),
        "w": torch.randn(9, generator=generator),
    }
    end = {"frozen": start["frozen"].clone(), "w": torch.randn(9, generator=generator)}
    assert torch.equal(interpolate(start, end, alpha)["frozen"], start["frozen"])
    assert torch.equal(interpolate(start, end, 0)["w"], start["w"])
    assert torch.equal(interpolate(start, end, 1)["w"], end["w"])
    between = interpolate(start, end, alpha)["w"]
    low, high = torch.minimum(start["w"], end["w"]), torch.maximum(start["w"], end["w"])
    assert bool(((between >= low - 1e-6) & (between <= high + 1e-6)).all())


def test_interpolate__keeps_the_dtype() -> None:
    half: dict[str, Tensor] = {"w": torch.ones(2, dtype=torch.bfloat16)}
    assert interpolate({"w": torch.zeros(2)}, half, 0.5)["w"].dtype == torch.bfloat16


@pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan])
def test_interpolate__alpha_out_of_range_is_refused(alpha: float) -> None:
    with pytest.raises(InputError, match="wise_ft must be from 0"):
        interpolate({}, {}, alpha)
