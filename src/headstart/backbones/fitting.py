"""Build the network for a state dict, including state dicts with old key names and wrapped ones."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.backbones.archargs import constructor_args
from headstart.backbones.architectures import Architecture, build, classifier_path, timm_cfg
from headstart.backbones.hubmodels import hub_model
from headstart.backbones.transformersmodels import load_tower
from headstart.backbones.weights import find_misfit, fit_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

# timm's name of the position embeddings of a vision transformer.
POSITIONS = "pos_embed"
# torchvision's published DenseNets predate its rule against dots in names.
_OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:\w+))$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """A network with weights."""

    module: nn.Module
    arch: Architecture  # that of the network: without a classifier if the weights have none
    remarks: tuple[str, ...] = ()  # what of the file was not used, or was missing


def build_with(arch: Architecture, state: dict[str, Tensor], *, size_px: int, shown: str) -> Fitted:
    """The network of `arch` with the weights in `state`.

    Raises WeightsError if names or shapes differ.

    Parameters
    ----------
    arch : Architecture
        From `resolve`.
    state : dict of str to Tensor
        With the library's names, or with older or original names that the library converts. All may
        begin with the name of a wrapper (``module.``, ``backbone.``), beside which there may be
        other parts, such as a head for self-supervised training; the classifier may be missing.
    size_px : int
        Side of the input.
    shown : str
        Name of the weights in messages.
    """
    if arch.library == "transformers":
        return Fitted(module=load_tower(arch, state, shown=shown), arch=arch)
    module = build(arch, size_px=size_px)
    if arch.library == "torchvision" and arch.name.startswith("densenet"):
        state = {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}
    inner, remarks = unwrap(state, module.state_dict())
    for candidate, notes in ((state, ()), (inner, remarks)):
        fitted = _fit(arch, module, candidate, size_px)
        if fitted is not None:
            return dataclasses.replace(fitted, remarks=(*notes, *fitted.remarks))
    hint = advise(module, inner)
    fit_weights(module, inner, shown=shown, arch=arch.full_name, hint=hint)
    return Fitted(module=module, arch=arch, remarks=remarks)


def _fit(
    arch: Architecture, module: nn.Module, state: Mapping[str, Tensor], size_px: int
) -> Fitted | None:
    """The network with all of `state`, or None if it does not fit."""
    if not find_misfit(module, state):
        fit_weights(module, state, shown="", arch="")
        return Fitted(module=module, arch=arch)
    headless = _without_classifier(arch, module, state)
    if headless is not None:
        smaller = build(headless, size_px=size_px)
        if not find_misfit(smaller, state):
            fit_weights(smaller, state, shown="", arch="")
            return Fitted(module=smaller, arch=headless, remarks=("the file has no classifier",))
    if arch.library in ("timm", "hf-hub"):
        converted, remarks = _convert_by_timm(arch, state), _resampled(module, state)
        if converted is not None:
            return Fitted(module=converted, arch=arch, remarks=remarks)
        converted = _convert_by_timm(headless, state) if headless is not None else None
        if converted is not None and headless is not None:
            remarks = (*remarks, "the file has no classifier")
            return Fitted(module=converted, arch=headless, remarks=remarks)
    return None


def unwrap(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The part of a checkpoint whose names, after one prefix, are those of the network.

    Parameters
    ----------
    state, own : mapping of str to Tensor
        Of the checkpoint and of the network.

    Returns
    -------
    state : dict of str to Tensor
        The whole without a prefix, if no prefix fits more names than none does.
    remarks : tuple of str
        The prefix, and the number of other names.
    """
    found: Counter[str] = Counter()
    for key in state:
        parts = key.split(".")
        for i in range(min(len(parts), 6)):
            if ".".join(parts[i:]) in own:
                found["".join(f"{part}." for part in parts[:i])] += 1
    prefix = max(found, key=lambda p: (found[p], -len(p)), default="")
    if not prefix or found[prefix] == found.get("", 0):
        return dict(state), ()
    inner = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    rest = len(state) - len(inner)
    others = f"; {rest} others are not part of the network" if rest else ""
    return inner, (f"names begin with {prefix!r}{others}",)


def advise(module: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Constructor arguments that would make the network fit, as far as the weights tell."""
    own = module.state_dict()
    found = []
    if any(k.endswith(("ls1.gamma", "gamma_1")) and k not in own for k in state):
        found.append("init_values=1e-5")
    for key in ("reg_token", "register_tokens"):
        if key in state and "reg_token" not in own:
            found.append(f"reg_tokens={state[key].shape[1]}")
    if size_px := _trained_size(module, state):
        found.append(f"img_size={size_px}")
    head = classifier_path(module) if own else ""
    for part in ("weight", "bias"):
        theirs, ours = state.get(f"{head}.{part}"), own.get(f"{head}.{part}")
        if theirs is not None and ours is not None and len(theirs) != len(ours):
            found.append(f"num_classes={len(theirs)}")
            break
    return ";".join(found)


def _trained_size(module: nn.Module, state: Mapping[str, Tensor]) -> int | None:
    """The input size that position embeddings of another number were trained at; None where it cannot be told."""
    own, theirs = module.state_dict().get(POSITIONS), state.get(POSITIONS)
    patch = getattr(getattr(module, "patch_embed", None), "patch_size", None)
    if own is None or theirs is None or not patch or own.ndim != 3 or theirs.ndim != 3:
        return None
    if own.shape[1] == theirs.shape[1]:
        return None
    for n_before in (int(getattr(module, "num_prefix_tokens", 1)), 1, 0):  # class token, registers
        n = theirs.shape[1] - n_before
        side = math.isqrt(max(n, 0))
        if side and side**2 == n:
            return int(side * patch[0])
    return None


def _resampled(module: nn.Module, state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """A remark on position embeddings of another size, which timm resamples."""
    size_px = _trained_size(module, state)
    if size_px is None:
        return ()
    return (f"position embeddings for {size_px} px were resampled, img_size={size_px} keeps them",)


def _without_classifier(
    arch: Architecture, module: nn.Module, state: Mapping[str, Tensor]
) -> Architecture | None:
    """The architecture without a classifier, if `state` has none and `arch` has one."""
    if arch.library not in ("timm", "torchvision") or "num_classes" in dict(arch.args):
        return None
    path = classifier_path(module)
    own = [key for key in module.state_dict() if path and key.startswith(f"{path}.")]
    if not own or any(key.startswith(f"{path}.") for key in state):
        return None
    return dataclasses.replace(arch, args=tuple(sorted((*arch.args, ("num_classes", 0)))))


def _convert_by_timm(arch: Architecture, state: Mapping[str, Tensor]) -> nn.Module | None:
    """timm's conversion of foreign checkpoints, or None if it does not apply."""
    import timm

    if arch.library == "hf-hub":
        model = hub_model(arch)
        name, cfg = model.base, dict(model.cfg)
        args = {**model.args, **constructor_args(arch.args)}
        known: Any = timm.get_pretrained_cfg(name)
        cfg = (known.to_dict() if known else {}) | cfg
    else:
        name, args = arch.timm_name, constructor_args(arch.args)
        record: Any = timm_cfg(arch)
        cfg = record.to_dict()
    # A classifier of another length would be left out in silence.
    cfg["num_classes"] = args.get("num_classes", cfg.get("num_classes", 1000))
    overlay = cfg | {"state_dict": dict(state), "custom_load": False}
    try:
        module: nn.Module = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, **args
        )
    # timm's filters index and reshape the tensors they expect.
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError):
        return None
    return module.eval()
