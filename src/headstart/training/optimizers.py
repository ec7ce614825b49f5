"""Parameter groups (one rate per stage, no decay for norms and biases) and torch's optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from headstart.training.settings import TrainSettings

MOMENTUM = 0.9
# torch's default for RMSprop averages over 100 steps, most of a short fine-tuning.
RMSPROP_ALPHA = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Parameters that share a rate and a weight decay."""

    stage: int  # 0 is the lowest trained stage
    names: tuple[str, ...]
    factor: float  # in (0, 1]; their learning rate relative to that of the output layer
    weight_decay: float


def make_groups(
    network: nn.Module, stages: dict[str, int], *, layer_decay: float, weight_decay: float
) -> tuple[Group, ...]:
    """Groups by stage and by whether weight decay applies.

    `stages` (parameter name to int): the trained parameters; the output layer has the highest
    stage. `layer_decay` (in (0, 1]): ``factor = layer_decay ** (highest stage - stage)``.
    `weight_decay`: for matrices and kernels, not for vectors (norms, biases, layer scales), class
    tokens and position embeddings.
    """
    parameters = dict(network.named_parameters())
    top = max(stages.values())
    found: dict[tuple[int, bool], list[str]] = {}
    for name, stage in stages.items():
        found.setdefault((stage, is_decayed(name, parameters[name])), []).append(name)
    return tuple(
        Group(
            stage=stage,
            names=tuple(names),
            factor=layer_decay ** (top - stage),
            weight_decay=weight_decay if decays else 0.0,
        )
        for (stage, decays), names in sorted(found.items())
    )


def is_decayed(name: str, parameter: torch.Tensor) -> bool:
    """Whether weight decay applies: to matrices and kernels, not to norms, biases, embeddings."""
    last = name.rpartition(".")[2]
    return parameter.squeeze().ndim > 1 and not last.endswith(("_token", "embed", "_embedding"))


def make_optimizer(
    network: nn.Module,
    groups: Iterable[Group],
    settings: TrainSettings,
    *,
    is_fused: bool = False,
) -> torch.optim.Optimizer:
    """torch's optimizer of the settings' name, with one parameter group for each of `groups`.

    With `is_fused`, torch's fused implementation is used if there is one (not for RMSprop).
    """
    parameters = dict(network.named_parameters())
    grouped = [
        {
            "params": [parameters[name] for name in group.names],
            "weight_decay": group.weight_decay,
            "lr": settings.lr * group.factor,
        }
        for group in groups
    ]
    optimizer = _MAKERS[settings.optimizer](grouped)
    if is_fused and "fused" in optimizer.defaults:
        for group in optimizer.param_groups:
            group["fused"], group["foreach"] = True, False
    return optimizer


_MAKERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda g: torch.optim.SGD(g, lr=0.0),
    "momentum": lambda g: torch.optim.SGD(g, lr=0.0, momentum=MOMENTUM),
    "nesterov": lambda g: torch.optim.SGD(g, lr=0.0, momentum=MOMENTUM, nesterov=True),
    "rmsprop": lambda g: torch.optim.RMSprop(g, lr=0.0, alpha=RMSPROP_ALPHA, momentum=MOMENTUM),
    "adam": lambda g: torch.optim.Adam(g, lr=0.0),
    "adamw": lambda g: torch.optim.AdamW(g, lr=0.0),
}


def set_rates(
    optimizer: torch.optim.Optimizer, groups: Iterable[Group], rate: float, lowest_stage: int = 0
) -> None:
    """Set the rate of every group; stages below `lowest_stage` have rate 0."""
    for target, group in zip(optimizer.param_groups, groups, strict=True):
        target["lr"] = rate * group.factor if group.stage >= lowest_stage else 0.0
