"""Which parts of a network a regime trains, and the check that the others do not change."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from headstart.backbones import Tap
from headstart.backbones.backbone import layer_of
from headstart.errors import HeadstartError, InputError, did_you_mean, one_line
from headstart.training.network import HEAD, Prepared, features_tap
from headstart.training.order import Order, trace_order

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.training.settings import TrainSettings


class FrozenError(HeadstartError):
    """A frozen part of a network has changed."""


@dataclass(frozen=True, kw_only=True)
class Division:
    """The trained and the frozen parts of a network."""

    # parameter name to int; the trained parameters, each with its stage: 0 is the lowest trained
    # stage, the highest is the output layer. Stages end at the backbone's taps.
    stages: dict[str, int]
    frozen: tuple[str, ...]  # names of the frozen parameters
    # paths of frozen modules without children, whose buffers are also frozen
    frozen_modules: frozenset[str]
    cut: Tap | None  # the tap between the frozen part below and the trained part above

    @property
    def n_stages(self) -> int:
        """Number of trained stages, including the output layer."""
        return max(self.stages.values()) + 1


def divide(prepared: Prepared, settings: TrainSettings) -> Division:
    """Divide a network according to the regime.

    A parameter belongs to the side of the tap on which one traced pass uses it first; a module
    without children, and the buffers in it, to the side on which it is called first.

    Raises BackboneError where the backbone has no such tap; InputError where the tap is the
    network's output, which has nothing above it.

    `settings`: of which regime and tap are used.
    """
    network, backbone = prepared.network, prepared.backbone
    if settings.regime in ("all", "scratch"):
        tap, frozen_side = None, "none"
    elif settings.regime == "output":
        tap, frozen_side = prepared.features_tap, "all"
    else:
        tap = find_tap(backbone, settings.tap or "")
        frozen_side = "below" if settings.regime == "upper" else "above"
    order = trace_order(network, _probe(backbone))
    at = moment(order, prepared, tap) if tap is not None and frozen_side != "all" else 0

    def is_frozen(path: str, when: int | None) -> bool:
        if path.startswith(f"{HEAD}."):
            return False
        if frozen_side in ("none", "all") or when is None:
            return frozen_side == "all" or when is None
        return (when < at) == (frozen_side == "below")

    names = [name for name, _ in network.named_parameters()]
    moments = order.parameters
    frozen = tuple(n for n in names if is_frozen(n, moments.get(n)))
    starts = {path: calls[0][0] for path, calls in order.calls.items()}
    leaves = [p for p, m in network.named_modules() if not any(m.children())]
    return Division(
        stages=_stages(set(names) - set(frozen), order, prepared),
        frozen=frozen,
        frozen_modules=frozenset(p for p in leaves if is_frozen(p, starts.get(p))),
        cut=tap if frozen_side in ("below", "all") else None,
    )


def find_tap(backbone: Backbone, name: str) -> Tap:
    """The tap at which a backbone is divided.

    Raises InputError where there is no such tap, or it is the output that the new layer replaces.
    """
    names = [tap.name for tap in backbone.taps]
    usable = names[: names.index(features_tap(backbone).name) + 1]
    for known in usable:
        if name in (known, layer_of(known)):
            return backbone.tap(known)
    if name in names:
        raise InputError(
            f"the tap {name!r} is the output of {backbone.name}, which a new layer replaces; "
            f"divide at one of: {', '.join(usable)}"
        )
    raise InputError(
        f"{backbone.name} has no tap {one_line(name)!r}.{did_you_mean(name, usable)} "
        f"It has: {', '.join(usable)}"
    )


def moment(order: Order, prepared: Prepared, tap: Tap) -> int:
    """The moment at which the value of a tap is available."""
    call = order.calls[prepared.path(tap.module)][0]
    return call[0] if tap.side == "input" else call[1]


def _probe(backbone: Backbone) -> torch.Tensor:
    size = backbone.preprocessing.size_px
    return torch.zeros(1, 3, size, size)


def _stages(trained: set[str], order: Order, prepared: Prepared) -> dict[str, int]:
    """Stage of each trained parameter: the number of taps finished before its first use."""
    ends = [
        moment(order, prepared, tap)
        for tap in prepared.backbone.taps
        if prepared.path(tap.module) in order.calls
    ]
    raw = {
        name: len(ends) + 1
        if name.startswith(f"{HEAD}.")
        else sum(end < order.parameters[name] for end in ends)
        for name in trained
    }
    numbers = {stage: i for i, stage in enumerate(sorted(set(raw.values())))}
    names = [name for name, _ in prepared.network.named_parameters() if name in trained]
    return {name: numbers[raw[name]] for name in names}


def set_modes(network: nn.Module, division: Division) -> None:
    """Enable gradients of trained parameters, and training mode of their modules.

    Frozen parts are in eval mode: no dropout, no batch statistics.
    """
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in division.stages)
    network.eval()
    for path, module in network.named_modules():
        if any(module.children()):
            trained = f"{path}." if path else ""
            module.training = any(name.startswith(trained) for name in division.stages)
        else:
            module.training = path not in division.frozen_modules


def without_untrained(network: nn.Module, division: Division) -> Division:
    """The division, with parameters that have no gradient in `network` counted as frozen."""
    trains = {name for name, p in network.named_parameters() if p.requires_grad}
    stages = {name: stage for name, stage in division.stages.items() if name in trains}
    numbers = {stage: i for i, stage in enumerate(sorted(set(stages.values())))}
    return dataclasses.replace(
        division,
        stages={name: numbers[stage] for name, stage in stages.items()},
        frozen=tuple(name for name, _ in network.named_parameters() if name not in stages),
    )


def frozen_state(network: nn.Module, division: Division) -> Iterator[tuple[str, torch.Tensor]]:
    """The frozen parameters and buffers by name."""
    parameters = dict(network.named_parameters())
    for name in division.frozen:
        yield name, parameters[name]
    for name, buffer in network.named_buffers():
        owner = name.rpartition(".")[0]
        is_leaf = not any(network.get_submodule(owner).children())
        inside = any(n.startswith(f"{owner}.") for n in division.stages)
        if owner in division.frozen_modules or not (is_leaf or inside):
            yield name, buffer


def changing_names(network: nn.Module, division: Division) -> list[str]:
    """The names in the state that training may change."""
    kept = {name for name, _ in frozen_state(network, division)}
    return [name for name in network.state_dict() if name not in kept]


def hash_frozen(network: nn.Module, division: Division) -> Mapping[str, str]:
    """SHA-256 of each frozen parameter and buffer, by name."""
    return {
        name: hashlib.sha256(_bytes(value)).hexdigest()
        for name, value in frozen_state(network, division)
    }


def require_unchanged(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Check that frozen parameters and buffers have not changed.

    Raises FrozenError where a hash differs, or a name was added or removed.
    """
    changed = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise FrozenError(
            f"training changed parts that the regime keeps: {', '.join(changed[:3])}{more}. "
            "This is a fault in Headstart or in the network's own code; the result is not kept"
        )


def _bytes(value: torch.Tensor) -> bytes:
    flat = value.detach().cpu().contiguous().view(-1)
    return bytes(flat.view(torch.uint8).numpy())
