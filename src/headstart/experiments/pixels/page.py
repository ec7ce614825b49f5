"""The page of `baseline pixels`: that of SIFT, with fewer methods."""

from __future__ import annotations

from headstart.experiments.pixels.result import PixelsResult
from headstart.experiments.sift.page import brief, detail, sections, sentence

__all__ = ["brief", "detail", "sections", "sentence", "title"]


def title(r: PixelsResult) -> str:
    """The question."""
    return "Tiny pixels against frozen features"
