"""The prediction service: a run behind HTTP."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.serve.app import make_app
    from headstart.serve.server import serve
    from headstart.serve.settings import ServeSettings

_HOMES = {"ServeSettings": "settings", "make_app": "app", "serve": "server"}

__all__ = ["ServeSettings", "make_app", "serve"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
