"""Settings of the SIFT baseline."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from headstart.errors import InputError, argument

N_BINS = 4  # a SIFT descriptor has 4 x 4 cells of 8 directions
MIN_PATCH_PX = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class SiftSettings:
    """Settings of descriptors and encodings."""

    step_px: int = 8  # distance of neighbouring descriptors (Lazebnik 2006)
    # sides of the square patches described at every point of the grid
    patches_px: tuple[int, ...] = (16, 24, 32)
    longest_px: int = 480  # larger images are first reduced to this longer side
    n_words: tuple[int, ...] = (200, 400)  # candidate sizes of the vocabulary
    n_levels: int = 3  # levels of the spatial pyramid: level ``l`` has ``2**l x 2**l`` cells
    n_sampled: int = 100_000  # number of training descriptors from which vocabularies are learnt
    # n_gaussians, n_components: size of the Fisher vector's mixture, and of the descriptors after
    # PCA
    n_gaussians: int = 64
    n_components: int = 64
    seed: int = 0  # random seed for the sample, k-means, the mixture and the folds

    def __post_init__(self) -> None:
        _at_least(argument("step_px"), self.step_px, 1)
        for patch in self.patches_px or (0,):
            _at_least(argument("patches_px"), patch, MIN_PATCH_PX)
        _at_least("longest_px", self.longest_px, max(self.patches_px))
        for words in self.n_words or (0,):
            _at_least(argument("n_words"), words, 2)
        _at_least(argument("n_levels"), self.n_levels, 1)
        _at_least(argument("n_gaussians"), self.n_gaussians, 1)

    def grid(self) -> dict[str, Any]:
        """The settings of the descriptors, JSON-able."""
        return {
            "step_px": self.step_px,
            "patches_px": list(self.patches_px),
            "longest_px": self.longest_px,
        }

    def to_dict(self) -> dict[str, Any]:
        """All settings, JSON-able."""
        return dataclasses.asdict(self) | {
            "patches_px": list(self.patches_px),
            "n_words": list(self.n_words),
        }


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name} must be {least} or more; got {value}")
