"""Convolution: kernels on an image, a network's first filters, and its feature maps."""

from __future__ import annotations

from headstart.course.kernels.correlation import (
    correlate,
    explain_formula,
    explain_size,
    output_size,
)
from headstart.course.kernels.filters import FeatureMaps, feature_maps, first_filters
from headstart.course.kernels.gallery import GALLERY, Kernel, parse_kernel
from headstart.course.kernels.sheets import filter_sheet, kernel_sheet, map_sheet, variant_sheet

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
