"""Build the network for a state dict, including state dicts with old key names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headstart.backbones.architectures import Architecture, build, timm_cfg
from headstart.backbones.weights import find_misfit, fit_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

# torchvision's published DenseNets predate its rule against dots in names.
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
        With the library's names, or with older or original names that the library converts.
    size_px : int
        Side of the input.
    shown : str
        Name of the weights in messages.

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
    """timm's conversion of foreign checkpoints, or None if it does not apply."""
    import timm

    overlay = timm_cfg(arch).to_dict() | {"state_dict": dict(state), "custom_load": False}
    try:
        module: nn.Module = timm.create_model(
            arch.timm_name, pretrained=True, pretrained_cfg_overlay=overlay
        )
    # timm's filters index and reshape the tensors they expect.
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError):
        return None
    return module.eval()
