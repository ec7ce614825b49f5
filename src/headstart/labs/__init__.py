"""The tricks of training, each as an experiment of a minute: figures and a sentence from them.

Every experiment takes data, seeds and small settings, and gives a JSON-ready dict of figures with a
``sentence``. Nothing here imports torch before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.labs.batchnorm import batchnorm_trial
    from headstart.labs.dropout import dropout_trial
    from headstart.labs.gallery import draw_gallery, read_photographs
    from headstart.labs.landscape import Shift, Smoothness, covariate_shift, smoothness
    from headstart.labs.normalise import normalise_trial
    from headstart.labs.optimizers import optimizer_trial
    from headstart.labs.overfitting import overfitting_trial
    from headstart.labs.samples import Samples, Task, digits, draw_task, read_samples

_HOMES = {
    "Samples": "samples",
    "Shift": "landscape",
    "Smoothness": "landscape",
    "Task": "samples",
    "batchnorm_trial": "batchnorm",
    "covariate_shift": "landscape",
    "digits": "samples",
    "draw_task": "samples",
    "dropout_trial": "dropout",
    "draw_gallery": "gallery",
    "normalise_trial": "normalise",
    "optimizer_trial": "optimizers",
    "overfitting_trial": "overfitting",
    "read_photographs": "gallery",
    "read_samples": "samples",
    "smoothness": "landscape",
}

__all__ = [
    "Samples",
    "Shift",
    "Smoothness",
    "Task",
    "batchnorm_trial",
    "covariate_shift",
    "digits",
    "draw_gallery",
    "draw_task",
    "dropout_trial",
    "normalise_trial",
    "optimizer_trial",
    "overfitting_trial",
    "read_photographs",
    "read_samples",
    "smoothness",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
