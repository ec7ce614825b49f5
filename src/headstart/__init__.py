"""Headstart: transfer learning that measures.

>>> import headstart
>>> run = headstart.fit("photos/")                  # doctest: +SKIP
>>> run.predict(["new.jpg"])[0].label               # doctest: +SKIP
>>> headstart.pred("cat.jpg")                       # doctest: +SKIP

Nothing heavy is imported before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from headstart.backbones.imagenet import pred
    from headstart.features.any_module import features
    from headstart.features.transformer import Features
    from headstart.runs.fit import fit
    from headstart.runs.run import Run, load

_HOMES = {
    "Features": "headstart.features.transformer",
    "Run": "headstart.runs.run",
    "fit": "headstart.runs.fit",
    "load": "headstart.runs.run",
    "pred": "headstart.backbones.imagenet",
}

__all__ = ["Features", "Run", "__version__", "features", "fit", "load", "pred"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "features":  # the package, which can be called
        return import_module("headstart.features")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
