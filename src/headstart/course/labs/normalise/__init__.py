"""``lab normalise``: what normalising the inputs does to gradient descent."""

from __future__ import annotations

from headstart.course.labs.normalise.descent import NormaliseResult, measure
from headstart.course.labs.normalise.sections import page

__all__ = ["NormaliseResult", "measure", "page"]
