"""What `baseline pixels` found."""

from __future__ import annotations

from headstart.experiments.pixels.settings import Settings
from headstart.experiments.sift.result import BaselineResult


class PixelsResult(BaselineResult, frozen=True, kw_only=True, tag="pixels"):
    """Tiny pixels, and the network where there is one."""

    settings: Settings
