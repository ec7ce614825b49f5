"""Fine-tuning: regimes, rates, batch normalisation, one training loop and what it gives.

Nothing here imports torch before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headstart.finetune.bn_policies import POLICIES
from headstart.finetune.history import Epoch
from headstart.finetune.settings import REGIMES, TrainSettings

if TYPE_CHECKING:
    from headstart.finetune.loop import DivergedError
    from headstart.finetune.rate_finding import find_rate
    from headstart.finetune.regimes import FrozenError
    from headstart.finetune.trained import Trained, load_trained
    from headstart.finetune.training import train

__all__ = [
    "POLICIES",
    "REGIMES",
    "DivergedError",
    "Epoch",
    "FrozenError",
    "TrainSettings",
    "Trained",
    "find_rate",
    "load_trained",
    "train",
]

_HOMES = {
    "DivergedError": "loop",
    "FrozenError": "regimes",
    "Trained": "trained",
    "find_rate": "rate_finding",
    "load_trained": "trained",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
