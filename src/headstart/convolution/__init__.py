"""Convolution to look at: kernels on a picture, a network's first filters, and its feature maps."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.convolution.correlation import (
        correlate,
        explain_formula,
        explain_size,
        output_size,
    )
    from headstart.convolution.filters import FeatureMaps, feature_maps, first_filters
    from headstart.convolution.gallery import GALLERY, Kernel, parse_kernel
    from headstart.convolution.sheets import filter_sheet, kernel_sheet, map_sheet, variant_sheet

_HOMES = {
    "GALLERY": "gallery",
    "FeatureMaps": "filters",
    "Kernel": "gallery",
    "correlate": "correlation",
    "explain_formula": "correlation",
    "explain_size": "correlation",
    "feature_maps": "filters",
    "filter_sheet": "sheets",
    "first_filters": "filters",
    "kernel_sheet": "sheets",
    "map_sheet": "sheets",
    "output_size": "correlation",
    "parse_kernel": "gallery",
    "variant_sheet": "sheets",
}

__all__ = [
    "GALLERY",
    "FeatureMaps",
    "Kernel",
    "correlate",
    "explain_formula",
    "explain_size",
    "feature_maps",
    "filter_sheet",
    "first_filters",
    "kernel_sheet",
    "map_sheet",
    "output_size",
    "parse_kernel",
    "variant_sheet",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
