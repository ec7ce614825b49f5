"""A backbone with a new output layer."""

from __future__ import annotations

import copy
import dataclasses
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from headstart.backbones import Backbone, Tap, TappedModule, at_size, load
from headstart.backbones.backbone import OUTPUTS
from headstart.errors import BackboneError, InputError

if TYPE_CHECKING:
    from headstart.training.settings import TrainSettings

HEAD = "head"
"""Name of the output layer within the network."""


class UnitLength(nn.Module):
    """Scale rows to Euclidean length 1; rows of zeros are unchanged."""

    def forward(self, features: Tensor) -> Tensor:
        """Rows (B, d), float32."""
        return nn.functional.normalize(features.float(), eps=1e-12)


class Network(nn.Module):
    """Pooled features of a backbone, dropout, and a linear layer.

    Attributes
    ----------
    body : torch.nn.Module
        The backbone without its classifier: normalised images (B, 3, H, W) to features (B, d).
    head : torch.nn.Sequential
        ``norm`` (unit length, or nothing), ``dropout`` and ``linear``: features to logits (B, K).
    """

    def __init__(
        self,
        body: nn.Module,
        n_features: int,
        n_classes: int,
        *,
        dropout: float = 0.0,
        normalise: bool = False,
    ) -> None:
        super().__init__()
        self.body = body
        parts = {
            "norm": UnitLength() if normalise else nn.Identity(),
            "dropout": nn.Dropout(dropout),
            "linear": nn.Linear(n_features, n_classes),
        }
        self.head = nn.Sequential(OrderedDict(parts))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of normalised images (B, 3, H, W)."""
        logits: Tensor = self.head(self.body(images))
        return logits


class _PooledTap(nn.Module):
    """The body of a network whose classifier is not a linear layer: up to its last features."""

    def __init__(self, backbone: Backbone, tap: Tap) -> None:
        super().__init__()
        self.tapped = TappedModule(backbone, [tap.name])

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.tapped(images)[0]
        return features


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """A network to train, with the location of its backbone's layers."""

    network: Network  # in evaluation mode, with gradients off
    backbone: Backbone  # its origin, at the size of the crops; the module is the network's own copy
    prefix: str  # path of the backbone's module in the network
    features_tap: Tap  # the tap whose pooled output is the head's input

    def path(self, module: str) -> str:
        """The path in the network of a submodule of the backbone."""
        return f"{self.prefix}.{module}" if module else self.prefix


def prepare(
    backbone: Backbone,
    n_classes: int,
    settings: TrainSettings,
    head: tuple[ArrayLike, ArrayLike] | None = None,
) -> Prepared:
    """Copy the backbone, and replace its classifier with a new output layer.

    Raises BackboneError where the backbone has no features before its output, or does not support
    the size; InputError where the head has a wrong shape or values that are not finite.

    Parameters
    ----------
    backbone : Backbone
        It is not changed.
    n_classes : int
        `K`.
    head : (array (K, d), array (K,)), optional
        Initial weights and intercepts of the output layer, from a linear classifier on the same
        features (A. Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
        Out-of-Distribution", ICLR 2022); default random.
    """
    if settings.regime == "scratch":
        fresh = load(backbone.arch, pretrained=False, seed=settings.seed)
        backbone = dataclasses.replace(
            backbone, module=fresh.module, taps=fresh.taps, digest=fresh.digest
        )
    if settings.size_px not in (None, backbone.preprocessing.size_px):
        backbone = at_size(backbone, settings.size_px or 0)
    backbone = dataclasses.replace(backbone, module=copy.deepcopy(backbone.module))
    tap = features_tap(backbone)
    body, prefix = _without_classifier(backbone, tap)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = Network(
            body,
            tap.n_features,
            n_classes,
            dropout=settings.dropout,
            normalise=settings.normalise,
        )
    if head is not None:
        _set_head(network, *head)
    network.eval().requires_grad_(False)
    return Prepared(network=network, backbone=backbone, prefix=prefix, features_tap=tap)


def features_tap(backbone: Backbone) -> Tap:
    """The last tap before the logits, whose pooled output is the input of a new output layer.

    Raises BackboneError where there is none.
    """
    last = backbone.taps[-1]
    if last.name not in OUTPUTS:
        return last
    if len(backbone.taps) < 2:
        raise BackboneError(
            f"{backbone.name} has no tap before its output, so there is nothing to put a new output "
            "layer on: choose another backbone"
        )
    return backbone.taps[-2]


def _without_classifier(backbone: Backbone, tap: Tap) -> tuple[nn.Module, str]:
    """The network up to the features, and the path of the backbone's module in `Network`."""
    last = backbone.taps[-1]
    module = backbone.module
    if last is tap and (tap.module == "" or getattr(module, "num_classes", None) == 0):
        return module, "body"
    classifier = module.get_submodule(last.module) if last.module else None
    if isinstance(classifier, nn.Linear) and classifier.in_features == tap.n_features:
        module.set_submodule(last.module, nn.Identity())
        return module, "body"
    return _PooledTap(backbone, tap), "body.tapped.module"


def _set_head(network: Network, coef: ArrayLike, intercept: ArrayLike) -> None:
    """Copy a linear classifier's arrays into the output layer."""
    linear = network.head.get_submodule("linear")
    assert isinstance(linear, nn.Linear)
    given = {"coef": np.asarray(coef), "intercept": np.asarray(intercept)}
    parameters = {"coef": linear.weight, "intercept": linear.bias}
    for name, values in given.items():
        shape = tuple(parameters[name].shape)
        if values.shape != shape:
            raise InputError(f"the head's {name} must have shape {shape}, got {values.shape}")
        if not np.isfinite(values).all():
            raise InputError(f"the head's {name} has values that are not finite")
        with torch.no_grad():
            parameters[name].copy_(torch.from_numpy(values.astype(np.float32)))
