"""Pages of the experiments of `headstart.labs`: sections from what each found."""

from __future__ import annotations

from headstart.runs.report.labs.augmentation import augmentation_sections
from headstart.runs.report.labs.batchnorm import batchnorm_sections
from headstart.runs.report.labs.dropout import dropout_sections
from headstart.runs.report.labs.normalise import normalise_sections
from headstart.runs.report.labs.optimizers import optimizers_sections
from headstart.runs.report.labs.overfitting import overfitting_sections

__all__ = [
    "augmentation_sections",
    "batchnorm_sections",
    "dropout_sections",
    "normalise_sections",
    "optimizers_sections",
    "overfitting_sections",
]
