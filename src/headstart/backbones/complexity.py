"""What a backbone costs: parameters and multiply-accumulates, up to each tap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.backbones.backbone import Tap
from headstart.backbones.tracing import trace_calls

if TYPE_CHECKING:
    from torch import nn

    from headstart.backbones.backbone import Backbone


@dataclass(frozen=True, kw_only=True, slots=True)
class Complexity:
    """The cost of one image.

    Attributes
    ----------
    n_parameters : int
        Number of parameters of the whole network.
    macs : int
        Multiply-accumulates of the whole network: those of convolutions and matrix products,
        attention included, as torchvision counts them.
    tap_macs : dict of str to int
        Multiply-accumulates from the input up to each tap, its own included.
    """

    n_parameters: int
    macs: int
    tap_macs: dict[str, int]


def measure_complexity(backbone: Backbone, size_px: int | None = None) -> Complexity:
    """The cost of `backbone` for one image.

    Parameters
    ----------
    backbone : Backbone
        Only shapes are propagated; nothing is computed.
    size_px : int, optional
        Side of the input; the backbone's own by default.

    Raises
    ------
    BackboneError
        If the network cannot take inputs of this side.
    """
    size_px = backbone.preprocessing.size_px if size_px is None else size_px
    return measure_module(backbone.module, size_px, backbone.taps)


def measure_module(module: nn.Module, size_px: int, taps: Sequence[Tap] = ()) -> Complexity:
    """The cost of a network that is not a backbone, on any device including meta."""
    calls = {call.module: call for call in trace_calls(module, size_px, count_macs=True)}
    return Complexity(
        n_parameters=sum(p.numel() for p in module.parameters()),
        macs=calls[""].macs,
        tap_macs={tap.name: _macs_until(tap, calls[tap.module].macs, module) for tap in taps},
    )


def _macs_until(tap: Tap, macs: int, module: nn.Module) -> int:
    """Without the linear layer itself if the tap is its input."""
    if tap.side == "output":
        return macs
    return macs - module.get_submodule(tap.module).get_parameter("weight").numel()
