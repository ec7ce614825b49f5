"""BatchNorm policies against statistics that NumPy computes by the plain formula."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from timm.layers import BatchNormAct2d, GroupNormAct  # type: ignore[attr-defined]
from torch import Tensor, nn

from headstart.errors import InputError
from headstart.training import batchnorm

Floats = NDArray[np.float64]
EPS, MOMENTUM = 1e-5, 0.1
SOURCE_MEAN, SOURCE_VAR = np.array([0.5, -0.25, 0.0]), np.array([2.0, 0.5, 1.5])
BATCH_POLICIES = [n for n in batchnorm.POLICIES if batchnorm.policy_of(n).uses_batches]
OTHERS = [n for n in batchnorm.POLICIES if n not in BATCH_POLICIES]


class Net(nn.Module):
    """Two BatchNorm layers with a pointwise convolution between, and a linear output layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.BatchNorm2d(3)
        self.between = nn.Conv2d(3, 3, 1, bias=False)
        self.second = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 2)
        for layer in (self.first, self.second):
            layer.running_mean = torch.tensor(SOURCE_MEAN, dtype=torch.float32)
            layer.running_var = torch.tensor(SOURCE_VAR, dtype=torch.float32)
        nn.init.uniform_(self.first.weight, 0.5, 1.5)
        nn.init.uniform_(self.first.bias, -0.5, 0.5)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.maps(images).mean(dim=(2, 3)))
        return logits

    def maps(self, images: Tensor) -> Tensor:
        maps: Tensor = self.second(self.between(self.first(images)))
        return maps


def images(n: int, seed: int = 0) -> Tensor:
    values = torch.randn(n, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    return values * torch.tensor([1.0, 2.0, 0.5])[:, None, None] + 0.7


def step(net: nn.Module, batch: Tensor, rate: float = 0.1) -> None:
    """One step of gradient descent, as a training loop makes it."""
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=rate)
    labels = torch.arange(len(batch)) % 2
    nn.functional.cross_entropy(net(batch), labels).backward()
    optimizer.step()
    net.zero_grad()


def plain(x: Tensor) -> Floats:
    return x.detach().numpy().astype(np.float64)


def moments(x: Floats, ddof: int = 0) -> tuple[Floats, Floats]:
    """Mean and variance of each channel of (B, C, H, W)."""
    flat = x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1)
    return flat.mean(axis=1), flat.var(axis=1, ddof=ddof)


def normalised(x: Floats, mean: Floats, var: Floats, layer: nn.BatchNorm2d) -> Floats:
    """The formula of BatchNorm, with the layer's own weight and bias."""
    column = np.s_[:, None, None]
    scaled = (x - mean[column]) / np.sqrt(var[column] + EPS)
    return scaled * plain(layer.weight)[column] + plain(layer.bias)[column]


def running(layer: nn.BatchNorm2d) -> tuple[Floats, Floats]:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return plain(layer.running_mean), plain(layer.running_var)


def between(net: Net, x: Floats) -> Floats:
    return np.einsum("dc,bchw->bdhw", plain(net.between.weight)[:, :, 0, 0], x)


def close(actual: Iterable[Floats], expected: Iterable[Floats]) -> None:
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def digest(module: nn.Module) -> str:
    whole = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        whole.update(name.encode() + value.numpy().tobytes())
    return whole.hexdigest()


def prepared(policy: str) -> Net:
    net = Net().train()
    batchnorm.prepare(net, policy)
    return net


def test_policies__have_a_line_each() -> None:
    assert list(batchnorm.POLICIES)[:2] == ["source", "batch"]
    for line in batchnorm.POLICIES.values():
        assert line.startswith("training: ")
        assert "; test: " in line


def test_policy_of__unknown_name_is_told_in_a_line() -> None:
    with pytest.raises(InputError, match=r"^`bn` must be source, .*; got 'sourc'. Did you"):
        batchnorm.policy_of("sourc")


@pytest.mark.parametrize("policy", ["source", "frozen-affine"])
def test_prepare__source_normalises_by_the_sources_statistics_in_training_and_at_test(
    policy: str,
) -> None:
    net, batch = prepared(policy), images(6)
    expected = normalised(plain(batch), SOURCE_MEAN, SOURCE_VAR, net.first)
    close([plain(net.first(batch))], [expected])
    step(net, batch)
    step(net, images(6, 1))
    close(running(net.first), (SOURCE_MEAN, SOURCE_VAR))
    net.eval()
    expected = normalised(plain(batch), SOURCE_MEAN, SOURCE_VAR, net.first)
    close([plain(net.first(batch))], [expected])


def test_prepare__source_trains_weight_and_bias_and_frozen_affine_does_not() -> None:
    source, frozen = prepared("source"), prepared("frozen-affine")
    before = source.first.weight.detach().clone()
    step(source, images(6))
    step(frozen, images(6))
    assert not torch.equal(source.first.weight, before)
    assert torch.equal(frozen.first.weight, before)
    assert not torch.equal(frozen.between.weight, Net().between.weight)


def test_prepare__batch_normalises_by_the_batch_and_averages_by_momentum_for_the_test() -> None:
    net, batches = prepared("batch"), [images(6), images(4, 1)]
    mean, var = SOURCE_MEAN, SOURCE_VAR
    for batch in batches:
        x = plain(batch)
        with torch.no_grad():
            layer = nn.BatchNorm2d(3).train()
            layer.load_state_dict(net.first.state_dict())
            close([plain(layer(batch))], [normalised(x, *moments(x), net.first)])
        step(net, batch)
        new_mean, new_var = moments(x, ddof=1)
        mean = (1 - MOMENTUM) * mean + MOMENTUM * new_mean
        var = (1 - MOMENTUM) * var + MOMENTUM * new_var
        close(running(net.first), (mean, var))
    net.eval()
    x = plain(batches[0])
    close([plain(net.first(batches[0]))], [normalised(x, mean, var, net.first)])


def test_reestimate__takes_exact_statistics_with_the_trained_weights() -> None:
    net, batches = prepared("reestimate"), [images(6), images(4, 1)]
    for batch in batches:
        step(net, batch)
    weights = net.first.weight.detach().clone()
    assert batchnorm.reestimate(net, batches)
    inner = [
        between(net, normalised(plain(b), *moments(plain(b)), net.first)) for b in batches
    ]  # the second layer sees what the first made of each batch
    close(running(net.first), moments(plain(torch.cat(batches)), ddof=1))
    close(running(net.second), moments(np.concatenate(inner), ddof=1))
    assert torch.equal(net.first.weight, weights)
    assert net.first.training
    assert net.first.track_running_stats
    net.eval()
    x = plain(images(3, 2))
    expected = normalised(x, *running(net.first), net.first)
    close([plain(net.first(images(3, 2)))], [expected])


def test_reestimate__adabn_takes_the_targets_statistics_and_keeps_them_in_training() -> None:
    net, batches = prepared("adabn"), [images(6), images(4, 1)]
    affine = digest(nn.ModuleList([net.between, net.head])), net.first.weight.detach().clone()
    assert batchnorm.reestimate(net, batches)
    target = moments(plain(torch.cat(batches)), ddof=1)
    close(running(net.first), target)
    assert digest(nn.ModuleList([net.between, net.head])) == affine[0]
    assert torch.equal(net.first.weight, affine[1])
    x = plain(images(5, 2))
    close([plain(net.first(images(5, 2)))], [normalised(x, *target, net.first)])
    step(net, images(5, 2))
    step(net, images(5, 3))
    close(running(net.first), target)
    net.eval()
    close([plain(net.first(images(5, 2)))], [normalised(x, *target, net.first)])


def test_prepare__affine_only_trains_weight_bias_and_the_head() -> None:
    net = Net().train()
    batchnorm.prepare(net, "affine-only", head=net.head)
    names = [name for name, p in net.named_parameters() if p.requires_grad]
    assert names == [
        *("first.weight", "first.bias", "second.weight", "second.bias"),
        *("head.weight", "head.bias"),
    ]
    conv = net.between.weight.detach().clone()
    step(net, images(6))
    assert torch.equal(net.between.weight, conv)
    close(
        running(net.first)[:1],
        [(1 - MOMENTUM) * SOURCE_MEAN + MOMENTUM * moments(plain(images(6)))[0]],
    )


def test_prepare__affine_only_without_batchnorm_is_refused() -> None:
    with pytest.raises(InputError, match="affine-only"):
        batchnorm.prepare(nn.Sequential(nn.Linear(2, 2)), "affine-only")


@pytest.mark.parametrize("policy", batchnorm.POLICIES)
def test_prepare__again_after_train_changes_nothing(policy: str) -> None:
    net = prepared(policy)
    modes = [m.training for m in net.modules()], [p.requires_grad for p in net.parameters()]
    net.train()
    batchnorm.prepare(net, policy)
    assert modes == (
        [m.training for m in net.modules()],
        [p.requires_grad for p in net.parameters()],
    )


def estimate(when: str, module: nn.Module, policy: str, batches: Any, frozen: Any = ()) -> None:
    """What a training does before and after its steps."""
    if batchnorm.policy_of(policy).estimated == when:
        batchnorm.reestimate(module, batches, frozen=frozen)


@pytest.mark.parametrize("policy", batchnorm.POLICIES)
def test_policies__frozen_layers_keep_weights_and_buffers_to_the_last_bit(policy: str) -> None:
    net = Net()
    net.first.requires_grad_(False)
    batchnorm.prepare(net.train(), policy, head=net.head)
    before = digest(net.first)
    batches = [images(6), images(4, 1)]
    estimate("before", net, policy, batches)
    for batch in batches:
        step(net, batch)
    estimate("after", net, policy, batches)
    assert digest(net.first) == before
    expected = normalised(plain(batches[0]), SOURCE_MEAN, SOURCE_VAR, net.first)
    close([plain(net.first(batches[0]))], [expected])


@pytest.mark.parametrize("policy", batchnorm.POLICIES)
def test_policies__frozen_modules_hold_for_layers_without_parameters(policy: str) -> None:
    net = Net()
    body = nn.Sequential(nn.BatchNorm2d(3, affine=False), net)
    shut = body[0]
    batchnorm.prepare(body.train(), policy, frozen=[shut])
    before = digest(shut)
    estimate("before", body, policy, [images(4)], frozen=[shut])
    step(body, images(4))
    estimate("after", body, policy, [images(4)], frozen=[shut])
    assert digest(shut) == before


def test_policy_of__only_two_policies_look_at_the_images() -> None:
    when = {policy: batchnorm.policy_of(policy).estimated for policy in batchnorm.POLICIES}
    assert {p: w for p, w in when.items() if w in ("before", "after")} == {
        "adabn": "before",
        "reestimate": "after",
    }


def test_reestimate__first_layer_does_not_depend_on_how_images_are_batched() -> None:
    whole = images(9)
    nets = [prepared("reestimate") for _ in range(3)]
    for net, cut in zip(nets, ([9], [4, 5], [2, 3, 4]), strict=True):
        assert batchnorm.reestimate(net, whole.split(cut))
    for net in nets[1:]:
        close(running(net.first), running(nets[0].first))
    assert [int(n.first.num_batches_tracked or 0) for n in nets] == [1, 2, 3]


@pytest.mark.parametrize("cut", [[4, 1], [1, 4], [1, 1, 3], [2, 2, 1]])
def test_reestimate__joins_a_batch_of_one(cut: list[int]) -> None:
    net = prepared("reestimate")
    assert batchnorm.reestimate(net, images(5).split(cut))
    close(running(net.first), moments(plain(images(5)), ddof=1))


@pytest.mark.parametrize("n", [0, 1])
def test_reestimate__fewer_than_two_images_are_refused(n: int) -> None:
    net = prepared("reestimate")
    before = digest(net)
    with pytest.raises(InputError, match=f"two or more training images, got {n}"):
        batchnorm.reestimate(net, [images(1)] * n)
    assert digest(net) == before
    assert net.first.track_running_stats


def test_reestimate__runs_dropout_as_at_test_and_puts_modes_back() -> None:
    net = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) + 2
    assert batchnorm.reestimate(net, x.split(10))
    norm: Any = net[1]
    close([plain(norm.running_mean)], [plain(x).mean(axis=0)])
    assert [m.training for m in net.modules()] == [True] * 4


def test_reestimate__is_exact_for_large_means() -> None:
    layer = nn.BatchNorm1d(1)
    x = 1000 + torch.randn(4096, 1, generator=torch.Generator().manual_seed(0)) / 10
    batchnorm.reestimate(layer, x.split(32))
    expected = plain(x).var(ddof=1)
    assert layer.running_var is not None
    assert abs(float(layer.running_var) / expected - 1) < 1e-4


@pytest.mark.parametrize("policy", BATCH_POLICIES)
def test_check_batch__one_image_is_refused_where_the_batch_has_statistics(policy: str) -> None:
    net = prepared(policy)
    with pytest.raises(InputError, match=f"policy '{policy}' .* batch size of 2 or more"):
        batchnorm.check_batch(net, policy, 1)
    batchnorm.check_batch(net, policy, 2)


@pytest.mark.parametrize("policy", OTHERS)
def test_check_batch__one_image_passes_elsewhere(policy: str) -> None:
    net = prepared(policy)
    batchnorm.check_batch(net, policy, 1)
    step(net, images(1))


def test_check_batch__one_image_passes_where_batchnorm_is_frozen_or_absent() -> None:
    net = Net()
    batchnorm.check_batch(net, "batch", 1, frozen=[net.first, net.second])
    batchnorm.check_batch(nn.Linear(2, 2), "batch", 1)


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm1d(2),
        nn.BatchNorm2d(2),
        nn.BatchNorm3d(2),
        nn.SyncBatchNorm(2),
        BatchNormAct2d(2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_has_batchnorm__counts_every_kind(layer: nn.Module) -> None:
    net = nn.Sequential(nn.Sequential(layer))
    assert batchnorm.has_batchnorm(net)
    assert batchnorm.without_batchnorm(net) is None


def test_prepare__leaves_the_activation_and_dropout_of_a_fused_layer_alone() -> None:
    layer = BatchNormAct2d(3, drop_layer=nn.Dropout)
    net = nn.Sequential(layer).train()
    batchnorm.prepare(net, "source")
    assert (layer.training, layer.drop.training) == (False, True)
    batchnorm.reestimate(net, [images(4)])
    assert layer.running_mean is not None
    close([plain(layer.running_mean)], moments(plain(images(4)))[:1])


def test_without_batchnorm__says_what_there_is_instead() -> None:
    net = nn.Sequential(nn.LayerNorm(2), nn.LayerNorm(2), GroupNormAct(2, 1))
    said = batchnorm.without_batchnorm(net)
    assert said == (
        "Sequential has no BatchNorm (2 LayerNorm, 1 GroupNormAct): a BatchNorm policy changes nothing"
    )
    assert "(" not in (batchnorm.without_batchnorm(nn.Linear(1, 1)) or "(")


@pytest.mark.parametrize("policy", [n for n in batchnorm.POLICIES if n != "affine-only"])
def test_prepare__a_net_without_batchnorm_trains_as_before(policy: str) -> None:
    net = nn.Sequential(nn.GroupNorm(1, 3), nn.Flatten(), nn.Linear(60, 2)).train()
    batchnorm.prepare(net, policy)
    assert all(p.requires_grad for p in net.parameters())
    assert not batchnorm.reestimate(net, [images(2)])
    step(net, images(2))
