"""What `baseline pixels` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from headstart.experiments.sift.settings import Against


@dataclass(frozen=True, kw_only=True)
class Settings(Against):
    """Measure a lower baseline: images of 16 x 16 pixels with nearest neighbours.

    Examples:

        headstart baseline pixels photos/
    """

    why_images: ClassVar[str] = "the baseline compares the pixels of images"
