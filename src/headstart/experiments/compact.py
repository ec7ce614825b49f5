"""A compact convolutional network for small images: trained from nothing in seconds on two cores."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from headstart.backbones import Backbone, Preprocessing, Tap
from headstart.backbones.weights import digest_weights
from headstart.errors import InputError, argument

NAME = "compact"
# Channels of each stage, side of its filters, stride, and whether maps are halved after it.
STAGES = (
    (24, 5, 2, False),
    (48, 3, 1, True),
    (64, 3, 1, False),
    (96, 3, 1, True),
    (96, 3, 1, False),
)
MIN_SIZE_PX = 16


def compact_backbone(size_px: int = 32, *, seed: int = 0) -> Backbone:
    """Five stages of convolution, batch normalisation and ReLU, average pooling, one linear layer.

    Filters start as He et al. (2015) draw them. The taps are ``conv1`` to ``conv5``.

    Raises InputError where the images would be smaller than what the stages halve.

    `size_px` (>= 16): side of the images, in pixels; 32 to 64 suit it. `seed`: of the random
    weights.
    """
    if size_px < MIN_SIZE_PX:
        raise InputError(
            f"the compact network needs images of {MIN_SIZE_PX} px or more; {argument('size_px')} is {size_px}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _build()
    module.eval().requires_grad_(False)
    stages = [
        Tap(name=f"conv{i}", module=f"conv{i}", kind="map", n_features=channels)
        for i, (channels, *_) in enumerate(STAGES, start=1)
    ]
    logits = Tap(name="logits", module="classifier", kind="vector", n_features=2)
    return Backbone(
        name=NAME,
        arch=f"headstart:{NAME}",
        module=module,
        preprocessing=Preprocessing(
            size_px=size_px,
            crop_pct=1.0,
            interpolation="bilinear",
            mean=(0.5, 0.5, 0.5),
            std=(0.25, 0.25, 0.25),
            crop_mode="squash",
        ),
        taps=(*stages, logits),
        digest=digest_weights(module),
        source=f"random weights, seed {seed}",
        licence="none needed",
        n_parameters=sum(p.numel() for p in module.parameters()),
    )


def _build() -> nn.Sequential:
    """The network with two logits, for which training puts its own output layer."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    n_inputs = 3
    for i, (channels, side, stride, is_halved) in enumerate(STAGES, start=1):
        parts[f"conv{i}"] = _stage(n_inputs, channels, side, stride, is_halved)
        n_inputs = channels
    parts["pool"] = nn.AdaptiveAvgPool2d(1)
    parts["flatten"] = nn.Flatten()
    parts["classifier"] = nn.Linear(n_inputs, 2)
    return nn.Sequential(parts)


def _stage(n_inputs: int, channels: int, side: int, stride: int, is_halved: bool) -> nn.Sequential:
    conv = nn.Conv2d(n_inputs, channels, side, stride=stride, padding=side // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    halving = [nn.MaxPool2d(2)] if is_halved else []
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(), *halving)
