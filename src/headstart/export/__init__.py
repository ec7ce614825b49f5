"""A run as one file that runs elsewhere, its model card, and its folder on a model hub."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.export.bundle import open_classifier
    from headstart.export.card import card_text
    from headstart.export.checking import Check
    from headstart.export.exporting import Exported, export
    from headstart.export.hub import Pushed, push, stage
    from headstart.export.network import Classifier, FromPictures

_HOMES = {
    "Check": "checking",
    "Classifier": "network",
    "Exported": "exporting",
    "FromPictures": "network",
    "Pushed": "hub",
    "card_text": "card",
    "export": "exporting",
    "open_classifier": "bundle",
    "push": "hub",
    "stage": "hub",
}

__all__ = [
    "Check",
    "Classifier",
    "Exported",
    "FromPictures",
    "Pushed",
    "card_text",
    "export",
    "open_classifier",
    "push",
    "stage",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
