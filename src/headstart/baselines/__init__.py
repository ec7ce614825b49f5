"""What came before the networks: dense SIFT in bags of words, and tiny pixels, judged alike.

The names are loaded on first use: OpenCV and scikit-learn take a while.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.baselines.comparison import compare_pixels, compare_sift
    from headstart.baselines.encoding import assign_words, chi2_map, fisher_vector, spatial_pyramid
    from headstart.baselines.pixels import tiny_images
    from headstart.baselines.settings import SiftSettings
    from headstart.baselines.sift import dense_sift, root_sift
    from headstart.baselines.vocabulary import fit_mixture, fit_vocabulary

_HOMES = {
    "SiftSettings": "settings",
    "assign_words": "encoding",
    "chi2_map": "encoding",
    "compare_pixels": "comparison",
    "compare_sift": "comparison",
    "dense_sift": "sift",
    "fisher_vector": "encoding",
    "fit_mixture": "vocabulary",
    "fit_vocabulary": "vocabulary",
    "root_sift": "sift",
    "spatial_pyramid": "encoding",
    "tiny_images": "pixels",
}

__all__ = [
    "SiftSettings",
    "assign_words",
    "chi2_map",
    "compare_pixels",
    "compare_sift",
    "dense_sift",
    "fisher_vector",
    "fit_mixture",
    "fit_vocabulary",
    "root_sift",
    "spatial_pyramid",
    "tiny_images",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
