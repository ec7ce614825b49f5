"""From a state dict to the network that it fits, old key names included."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headstart.backbones.architectures import Architecture, build, timm_cfg
from headstart.backbones.weights import find_misfit, fit_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

# torchvision's published DenseNets are older than its rule against dots inside names.
_OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:\w+))$")


def build_with(
    arch: Architecture, state: dict[str, Tensor], *, size_px: int, shown: str
) -> nn.Module:
    """The network of `arch` with the weights in `state`.

    Parameters
    ----------
    arch : Architecture
        From `resolve`.
    state : dict of str to Tensor
        Under the library's names, or under older or original ones that the library converts.
    size_px : int
        Side of the input.
    shown : str
        What the weights are called in messages.

    Raises
    ------
    WeightsError
        If names or shapes differ.
    """
    module = build(arch, size_px=size_px)
    if arch.library == "torchvision" and arch.name.startswith("densenet"):
        state = {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}
    if find_misfit(module, state) and arch.library == "timm":
        converted = _convert_by_timm(arch, state)
        if converted is not None:
            return converted
    fit_weights(module, state, shown=shown, arch=arch.full_name)
    return module


def _convert_by_timm(arch: Architecture, state: dict[str, Tensor]) -> nn.Module | None:
    """timm's own conversion of foreign checkpoints; None where these are not ones it knows."""
    import timm

    overlay = timm_cfg(arch).to_dict() | {"state_dict": dict(state), "custom_load": False}
    try:
        module: nn.Module = timm.create_model(
            arch.timm_name, pretrained=True, pretrained_cfg_overlay=overlay
        )
    # Its filters index and reshape what they expect to find.
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError):
        return None
    return module.eval()
