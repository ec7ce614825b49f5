"""Transfer, measured: which regime, policy or augmentation suits the data, and by how much.

Nothing here imports torch before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.transfer.arms import Arm, augment_arms, bn_arms, regime_arms
    from headstart.transfer.comparison import Comparison, Outcome, compare

_HOMES = {
    "Arm": "arms",
    "Comparison": "comparison",
    "Outcome": "comparison",
    "augment_arms": "arms",
    "bn_arms": "arms",
    "compare": "comparison",
    "regime_arms": "arms",
}

__all__ = [
    "Arm",
    "Comparison",
    "Outcome",
    "augment_arms",
    "bn_arms",
    "compare",
    "regime_arms",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
