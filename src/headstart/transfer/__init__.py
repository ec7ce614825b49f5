"""Transfer, measured: which regime, layer, backbone or augmentation suits the data, and by how much.

>>> from headstart.backbones import load
>>> from headstart.data import index
>>> from headstart.transfer import measure_profile
>>> measure_profile(index("photos/"), load()).best.accuracy     # doctest: +SKIP

Nothing here imports torch before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.transfer.arms import Arm, augment_arms, bn_arms, regime_arms
    from headstart.transfer.backbones import BackboneComparison, compare_backbones
    from headstart.transfer.comparison import Comparison, Outcome, compare
    from headstart.transfer.datasize import DataSize, measure_datasize
    from headstart.transfer.generality import Generality, measure_generality
    from headstart.transfer.likeness import Likeness, place
    from headstart.transfer.profile import measure_profile
    from headstart.transfer.profiled import Profile
    from headstart.transfer.ranking import Ranking, rank
    from headstart.transfer.scores import h_score, leep, logme, nce, shrunk_h_score
    from headstart.transfer.shift import Shift, measure_shift
    from headstart.transfer.similarity import measure_distance, source_statistics

_HOMES = {
    "Arm": "arms",
    "BackboneComparison": "backbones",
    "Comparison": "comparison",
    "DataSize": "datasize",
    "Generality": "generality",
    "Likeness": "likeness",
    "Outcome": "comparison",
    "Profile": "profiled",
    "Ranking": "ranking",
    "Shift": "shift",
    "augment_arms": "arms",
    "bn_arms": "arms",
    "compare": "comparison",
    "compare_backbones": "backbones",
    "h_score": "scores",
    "leep": "scores",
    "logme": "scores",
    "measure_datasize": "datasize",
    "measure_distance": "similarity",
    "measure_generality": "generality",
    "measure_profile": "profile",
    "measure_shift": "shift",
    "nce": "scores",
    "place": "likeness",
    "rank": "ranking",
    "regime_arms": "arms",
    "shrunk_h_score": "scores",
    "source_statistics": "similarity",
}

__all__ = [
    "Arm",
    "BackboneComparison",
    "Comparison",
    "DataSize",
    "Generality",
    "Likeness",
    "Outcome",
    "Profile",
    "Ranking",
    "Shift",
    "augment_arms",
    "bn_arms",
    "compare",
    "compare_backbones",
    "h_score",
    "leep",
    "logme",
    "measure_datasize",
    "measure_distance",
    "measure_generality",
    "measure_profile",
    "measure_shift",
    "nce",
    "place",
    "rank",
    "regime_arms",
    "shrunk_h_score",
    "source_statistics",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
