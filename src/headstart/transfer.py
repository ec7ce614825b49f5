"""What transfers, measured on one's own data: every verb of ``headstart transfer`` as a function, and
those of ``headstart compare`` (`backbones`), ``headstart baseline`` (`sift`, `pixels`) and of a
finished run (`clean`, `label_next`, `map`, `slices`).

>>> import headstart
>>> found = headstart.transfer.size("photos/", more=50)     # doctest: +SKIP
>>> print(found.gain)                                       # doctest: +SKIP
+1.4 [+0.2, +2.9]
>>> found.plot()                                            # doctest: +SKIP

The parameters of a function are the settings of its experiment (``help(headstart.transfer.size)``); an
`Index` or a `Backbone` that was read already may stand for a name. A result is typed; a notebook shows
its sentence and its figure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headstart.experiments.experiment import EXPERIMENTS, function

__all__ = list(EXPERIMENTS)


def __getattr__(name: str) -> Callable[..., Any]:
    if name in __all__:
        return function(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
