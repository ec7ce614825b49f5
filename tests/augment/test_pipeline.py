from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from headstart.augment.operations import apply_layer
from headstart.augment.pipeline import NEGLIGIBLE, Pipeline, differentiable
from headstart.augment.subpolicies import OPERATIONS, SIGNED, WITHOUT_STRENGTH
from headstart.errors import InputError

pytest.importorskip("kornia", reason="the extra 'augment' is not installed")
IMAGES = torch.randint(0, 256, (3, 3, 16, 16), generator=torch.Generator().manual_seed(0)) / 255
STRENGTHS = np.array([0.3, 0.7, 1.0])


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("sign", [1, -1])
def test_differentiable__equals_the_operation_used_in_training(name: str, sign: int) -> None:
    strengths = STRENGTHS * sign if name in SIGNED else STRENGTHS
    ours = apply_layer(IMAGES, [name] * 3, strengths)
    theirs = differentiable(name, IMAGES, torch.tensor(strengths, dtype=torch.float32))
    assert (ours - theirs).abs().max() < 2e-3


@pytest.mark.parametrize("name", OPERATIONS)
def test_differentiable__carries_gradients(name: str) -> None:
    images = IMAGES.clone().requires_grad_(True)
    strengths = torch.tensor([0.3, 0.5, 0.6], requires_grad=True)
    differentiable(name, images, strengths).square().sum().backward()
    assert images.grad is not None
    assert strengths.grad is not None or name in WITHOUT_STRENGTH
    assert torch.isfinite(images.grad).all()
    assert images.grad.abs().sum() > 0
    if name not in WITHOUT_STRENGTH:
        assert strengths.grad is not None
        assert torch.isfinite(strengths.grad).all()
        assert (strengths.grad != 0).all()


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "sharpness", "rotate"])
def test_differentiable__its_gradient_is_the_slope(name: str) -> None:
    smooth = torch.nn.functional.avg_pool2d(IMAGES, 5, 1, 2) * 0.5 + 0.2
    smooth = smooth.double()
    at = torch.full((3,), 0.2, dtype=torch.float64, requires_grad=True)
    target = torch.rand(smooth.shape, generator=torch.Generator().manual_seed(1)).double()

    def loss(s: torch.Tensor) -> torch.Tensor:
        return (differentiable(name, smooth, s) * target).sum()

    (slope,) = torch.autograd.grad(loss(at), at)
    step = 1e-5
    rise = (loss(at.detach() + step) - loss(at.detach() - step)) / (2 * step)
    assert slope.sum().item() == pytest.approx(rise.item(), rel=1e-2)


@pytest.mark.parametrize("name", ["solarize", "posterize"])
def test_differentiable__straight_through_passes_the_gradient_on(name: str) -> None:
    strengths = torch.tensor([0.3, 0.5, 0.6], requires_grad=True)
    differentiable(name, IMAGES, strengths).sum().backward()
    assert strengths.grad is not None
    assert torch.allclose(strengths.grad, torch.full((3,), 3.0 * 16 * 16))


def test_pipeline__gradients_reach_every_parameter() -> None:
    pipeline = Pipeline(2, 2)
    g = torch.Generator().manual_seed(0)
    pipeline.start(g)
    out = pipeline(IMAGES.repeat(2, 1, 1, 1), g)
    assert out.shape == (6, 3, 16, 16)
    assert 0 <= out.min() <= out.max() <= 1
    out.square().sum().backward()
    for parameter in (pipeline.choice, pipeline.probability, pipeline.magnitude):
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
    assert (pipeline.choice.grad != 0).all()
    with_strength = [i for i, n in enumerate(OPERATIONS) if n not in WITHOUT_STRENGTH]
    assert (pipeline.magnitude.grad[..., with_strength] != 0).all()


def test_pipeline__improbable_operations_change_nothing() -> None:
    pipeline = Pipeline(2, 2)
    torch.nn.init.constant_(pipeline.probability, -50.0)
    out = pipeline(IMAGES, torch.Generator().manual_seed(0))
    assert torch.allclose(out, IMAGES, atol=1e-5)


def test_pipeline__a_certain_operation_is_that_operation() -> None:
    pipeline = Pipeline(1, 1)
    with torch.no_grad():
        pipeline.choice[..., OPERATIONS.index("invert")] = 2.0
        pipeline.probability.fill_(50.0)
    out = pipeline(IMAGES, torch.Generator().manual_seed(0))
    assert torch.allclose(out, 1 - IMAGES, atol=1e-4)
    (((choice,),),) = pipeline.sub_policies()
    assert (choice.operation, choice.weight, choice.probability) == ("invert", 1.0, 1.0)


def test_sub_policies__leave_out_the_negligible() -> None:
    pipeline = Pipeline(3, 2)
    with torch.no_grad():
        pipeline.choice.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    for step in (step for sub in pipeline.sub_policies() for step in sub):
        assert sum(c.weight for c in step) == pytest.approx(1, abs=1e-4)
        assert min(c.weight for c in step) >= NEGLIGIBLE
        assert len(step) < len(OPERATIONS)


def test_pipeline__says_how_to_install_kornia(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kornia", None)
    with pytest.raises(InputError, match=r"pip install 'headstart\[augment\]'"):
        Pipeline(1, 1)
