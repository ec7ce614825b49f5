"""A new output layer on a backbone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.backbones import Backbone, TappedModule, load
from headstart.errors import InputError
from headstart.training.network import features_tap, prepare
from headstart.training.settings import TrainSettings

NETS = ("timm:test_efficientnet", "timm:test_resnet", "timm:test_vit", "squeezenet1_1")


@pytest.mark.parametrize("name", NETS)
def test_prepare__the_body_gives_the_pooled_last_features(name: str) -> None:
    backbone = load(name, pretrained=False)
    prepared = prepare(backbone, 3, TrainSettings())
    size = backbone.preprocessing.size_px
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = prepared.network.body(images)
        expected = TappedModule(backbone, [features_tap(backbone).name])(images)[0]
        logits = prepared.network(images)
    assert torch.allclose(found, expected, atol=1e-5)
    assert logits.shape == (2, 3)


def test_prepare__leaves_the_backbone_alone(tiny: Backbone) -> None:
    before = {k: v.clone() for k, v in tiny.module.state_dict().items()}
    prepared = prepare(tiny, 3, TrainSettings(size_px=32))
    with torch.no_grad():
        for parameter in prepared.network.parameters():
            parameter.zero_()
    assert all(torch.equal(v, before[k]) for k, v in tiny.module.state_dict().items())


def test_prepare__takes_a_linear_classifier_on_unit_features(tiny: Backbone) -> None:
    d = features_tap(tiny).n_features
    rng = np.random.default_rng(0)
    coef, intercept = rng.normal(size=(3, d)), rng.normal(size=3)
    settings = TrainSettings(size_px=32, normalise=True)
    network = prepare(tiny, 3, settings, (coef, intercept)).network
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        features = network.body(images).double().numpy()
        logits = network(images).numpy()
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert logits == pytest.approx(unit @ coef.T + intercept, rel=1e-4, abs=1e-4)


def test_prepare__the_seed_decides_the_new_layer_and_the_global_one_stays(tiny: Backbone) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, again, other = (
        prepare(tiny, 3, TrainSettings(seed=seed)).network.head.state_dict()["linear.weight"]
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_prepare__scratch_is_the_architectures_own_initialisation(tiny_resnet: Backbone) -> None:
    settings = TrainSettings(regime="scratch", seed=7)
    found = prepare(tiny_resnet, 3, settings).network.body.state_dict()
    expected = load("timm:test_resnet", pretrained=False, seed=7).module.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    own = tiny_resnet.module.state_dict()
    assert any(not torch.equal(value, own[name]) for name, value in found.items())


@pytest.mark.parametrize(
    ("shape", "value", "said"),
    [((2, 5), 0.0, r"coef must have shape \(3, "), ((3, None), np.nan, "coef has values")],
)
def test_prepare__refuses_a_head_that_does_not_fit(
    shape: tuple[int, int | None], value: float, said: str, tiny: Backbone
) -> None:
    d = features_tap(tiny).n_features
    coef = np.full((shape[0], shape[1] or d), value)
    with pytest.raises(InputError, match=said):
        prepare(tiny, 3, TrainSettings(), (coef, np.zeros(3)))
