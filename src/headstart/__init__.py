"""Headstart: transfer learning that measures.

>>> import headstart
>>> run = headstart.fit("photos/")                  # doctest: +SKIP
>>> run.predict(["new.jpg"])[0].label               # doctest: +SKIP
>>> headstart.predict_imagenet("cat.jpg")           # doctest: +SKIP
>>> headstart.transfer.size("photos/").gain         # doctest: +SKIP

Nothing heavy is imported before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from headstart import errors, transfer
    from headstart.backbones.imagenet import pred
    from headstart.backbones.imagenet import pred as predict_imagenet
    from headstart.backbones.loading import load as load_backbone
    from headstart.backbones.shortlist import list_backbones
    from headstart.comparison.comparing import compare
    from headstart.features.any_network import extract_features
    from headstart.features.transformer import Features
    from headstart.heads.svm import LinearSVM, LinearSVMPath
    from headstart.runs.fit import finetune, fit
    from headstart.runs.run import Run
    from headstart.runs.run import load as load_run
    from headstart.runs.zeroshot import predict_zero_shot

    load = load_run

# Public name: its module, and its name there where that is another.
_HOMES = {
    "Features": ("headstart.features.transformer",),
    "LinearSVM": ("headstart.heads.svm",),
    "LinearSVMPath": ("headstart.heads.svm",),
    "Run": ("headstart.runs.run",),
    "compare": ("headstart.comparison.comparing",),
    "extract_features": ("headstart.features.any_network",),
    "finetune": ("headstart.runs.fit",),
    "fit": ("headstart.runs.fit",),
    "list_backbones": ("headstart.backbones.shortlist",),
    "load": ("headstart.runs.run",),
    "load_backbone": ("headstart.backbones.loading", "load"),
    "load_run": ("headstart.runs.run", "load"),
    "pred": ("headstart.backbones.imagenet",),
    "predict_imagenet": ("headstart.backbones.imagenet", "pred"),
    "predict_zero_shot": ("headstart.runs.zeroshot",),
}
_MODULES = ("errors", "features", "transfer")

__all__ = [
    "Features",
    "LinearSVM",
    "LinearSVMPath",
    "Run",
    "__version__",
    "compare",
    "errors",
    "extract_features",
    "finetune",
    "fit",
    "list_backbones",
    "load",
    "load_backbone",
    "load_run",
    "pred",
    "predict_imagenet",
    "predict_zero_shot",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, *other = _HOMES[name]
        return getattr(import_module(module), *other or [name])
    if name in _MODULES:
        return import_module(f"headstart.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
