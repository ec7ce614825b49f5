"""Whether JSON that was read has the form that the reader goes by; a run folder may be anybody's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headstart.errors import one_line


@dataclass(frozen=True)
class Maybe:
    """A value that may be absent or null."""

    shape: Any


TEXT, FLAG, COUNT, NUMBER = "a text", "true or false", "a whole number from 0", "a number"


def misfit(value: Any, shape: Any, at: str = "") -> str:
    """The first place where JSON is not of a form, in words; empty where all of it is.

    Parameters
    ----------
    shape : form
        One of `TEXT`, `FLAG`, `COUNT` and `NUMBER`; ``[form]``, a list of values of a form;
        ``{name: form}``, an object that has these names at least; or `Maybe`.
    at : str
        Where the value stands.

    Examples
    --------
    >>> misfit({"a": [1, "x"]}, {"a": [NUMBER]})
    'a[1] is not a number'
    """
    if isinstance(shape, Maybe):
        return "" if value is None else misfit(value, shape.shape, at)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{at or 'it'} is not a list"
        found = (misfit(v, shape[0], f"{at}[{i}]") for i, v in enumerate(value))
        return next(filter(None, found), "")
    if isinstance(shape, Mapping):
        if not isinstance(value, dict):
            return f"{at or 'it'} is not an object"
        return next(filter(None, (_member(value, n, s, at) for n, s in shape.items())), "")
    return "" if _is(value, shape) else f"{at or 'it'} is not {shape}"


def _member(value: Mapping[str, Any], name: str, shape: Any, at: str) -> str:
    where = f"{at}.{name}" if at else name
    if name not in value:
        return "" if isinstance(shape, Maybe) else f"{one_line(where)} is missing"
    return misfit(value[name], shape, where)


def _is(value: Any, kind: str) -> bool:
    if kind == TEXT:
        return isinstance(value, str)
    if kind == FLAG:
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) and value >= 0 if kind == COUNT else math.isfinite(value)


_ORIGIN = {name: Maybe(TEXT) for name in ("name", "arch", "source", "licence", "digest")}
_NAMED = dict.fromkeys(_ORIGIN, TEXT)

RUN = {
    "settings": {
        "data": TEXT,
        "split": Maybe(TEXT),
        "test_size": Maybe(NUMBER),
        "seed": Maybe(COUNT),
        "image_column": Maybe(TEXT),
        "label_column": Maybe(TEXT),
        "multi_label": Maybe(TEXT),
        "label_columns": Maybe(TEXT),
        "target_column": Maybe(TEXT),
        "backbone": Maybe(TEXT),
        "arch": Maybe(TEXT),
    },
    "backbone": Maybe(_ORIGIN),
    "backbones": Maybe([_NAMED]),
    "data": {"path": TEXT, "digest": TEXT},
    "versions": Maybe({}),
}
"""What is read of ``run.json``."""

_NETWORK = {
    "name": TEXT,
    "arch": Maybe(TEXT),
    "weights": Maybe(TEXT),
    "digest": TEXT,
    "finetuned": Maybe(TEXT),
    "kind": Maybe(TEXT),
    "taps": Maybe([[TEXT]]),
    "preprocessing": Maybe(
        {
            "size_px": COUNT,
            "crop_pct": NUMBER,
            "interpolation": TEXT,
            "mean": [NUMBER],
            "std": [NUMBER],
        }
    ),
}

_CELLS = [{"tap": TEXT, "size_px": COUNT}]

MODEL = {
    "classes": [TEXT],
    "taps": [TEXT],
    "resolutions_px": [COUNT],
    "precision": TEXT,
    "normalize": Maybe(TEXT),
    "has_partner": Maybe(FLAG),
    "backbone": _NETWORK,
    "only": Maybe(_CELLS),
    "beside": Maybe(
        [
            {
                "taps": [TEXT],
                "resolutions_px": [COUNT],
                "only": Maybe(_CELLS),
                "backbone": _NETWORK,
            }
        ]
    ),
    "costs": Maybe([[NUMBER]]),
    "target": Maybe(TEXT),
    "thresholds": Maybe([NUMBER]),
    "half_width": Maybe(NUMBER),
}
"""What is read of ``model/model.json``."""

TEXT_MODEL = {
    "name": TEXT,
    "parts": [TEXT],
    "layers": Maybe([TEXT]),
    "encoder_name": Maybe(TEXT),
    "tfidf": [{"kind": TEXT, "terms": [TEXT]}],
    "encoder": Maybe(TEXT),
    "is_network": FLAG,
    "embeddings": Maybe({"words": [TEXT], "source": TEXT, "coverage": NUMBER}),
}
"""What is read of ``model/text.json``."""
