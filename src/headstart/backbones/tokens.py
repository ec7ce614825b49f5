"""What the features of a transformer's block are: class token and patches, after the head's norm.

The head of a transformer normalises the tokens of the last block and takes the class token or the
average of the patches. The features of every block are read in the same way, since linear probes on
tokens that are not normalised are worse, and class token and patches together are better than either
(M. Oquab et al., "DINOv2: Learning robust visual features without supervision", TMLR 2024).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headstart.backbones.backbone import Tap, Token

if TYPE_CHECKING:
    from torch import nn

    from headstart.backbones.tracing import Call

_CLASS_TOKEN = re.compile(r"(cls|class)_(token|embedding)s?(_\d+)?$")


def read_tokens(
    module: nn.Module, calls: Sequence[Call], taps: Sequence[Tap], last: Call | None
) -> tuple[list[Tap], bool]:
    """Taps of tokens as the taps of their class token and of their patches, after the head's norm.

    Parameters
    ----------
    calls : sequence of Call
        Of one pass.
    taps : sequence of Tap
        Without those of the head.
    last : Call, optional
        That of the classifier.

    Returns
    -------
    taps : list of Tap
        A block of a network with a class token is two taps, ``blocks.7.cls`` and ``blocks.7.mean``,
        that which the network's own head sees being the second.
    is_head : bool
        Whether the features of the last tap are the head's input.
    """
    if not any(tap.kind == "tokens" for tap in taps):
        return [*taps], False
    order = [call.module for call in calls]
    end = max(order.index(tap.module) for tap in taps if tap.kind == "tokens")
    block = order[end]
    after = [
        call
        for call in calls[end + 1 :]
        if call is not last and not block.startswith(f"{call.module}.") and call.module
    ]
    norms = [call for call in after if _is_norm(module.get_submodule(call.module))]
    norms.sort(
        key=lambda call: call.module.count(".")
    )  # that of the head before those of its parts
    token = _head_token(module, after, taps[-1])
    has_class = _has_class_token(module)
    found: list[Tap] = []
    for tap in taps:
        found += (
            _of_block(_after_norm(tap, norms), has_class, token) if tap.kind == "tokens" else [tap]
        )
    is_read = token is not None and bool(found[-1].norm) and taps[-1].kind == "tokens"
    return found, is_read and found[-1].token == token


def _is_norm(layer: nn.Module) -> bool:
    return "norm" in type(layer).__name__.lower()


def _after_norm(tap: Tap, norms: Sequence[Call]) -> Tap:
    """The tap with the first of the norms that fits its tokens or their average."""
    for call in norms:
        shape = call.output_shape
        if shape[-1] == tap.n_features and (len(shape) == 2 or (len(shape) == 3 and shape[1] > 1)):
            return dataclasses.replace(tap, norm=call.module, norm_first=len(shape) == 3)
    return tap


def _of_block(tap: Tap, has_class: bool, token: Token | None) -> list[Tap]:
    if not (has_class and tap.n_prefix):
        return [tap]
    cls = dataclasses.replace(tap, name=f"{tap.name}.cls", token="cls")
    mean = dataclasses.replace(tap, name=f"{tap.name}.mean")
    return [cls, mean] if token == "mean" else [mean, cls]


def _has_class_token(module: nn.Module) -> bool:
    return any(_CLASS_TOKEN.search(name) for name, _ in module.named_parameters())


def _head_token(module: nn.Module, after: Sequence[Call], tap: Tap) -> Token | None:
    """What the head takes of the tokens of the last block, if it does no more than normalise them.

    None if it does more, such as pooling with attention, or if it is not known what it does.
    """
    working = [call for call in after if _has_own_parameters(module.get_submodule(call.module))]
    if len(working) != 1 or getattr(module, "pool_include_prefix", False):
        return None
    pooling = getattr(module, "global_pool", None)
    if pooling is None:
        is_vit = type(module).__module__ == "torchvision.models.vision_transformer"
        return "cls" if is_vit else None
    named: dict[str, Token] = {"token": "cls", "avg": "mean"}
    found = named.get(pooling) if isinstance(pooling, str) else None
    # With a single row of tokens, such as that of class attention, they are not the patches.
    return found if tap.kind == "tokens" else None


def _has_own_parameters(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))
