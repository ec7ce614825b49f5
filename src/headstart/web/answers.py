"""How a tab's function answers: what it made, or one clear line of what was wrong."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, ParamSpec

from headstart.errors import HeadstartError, one_line, worded
from headstart.web import html

logger = logging.getLogger(__name__)

P = ParamSpec("P")


def answered(make: Callable[P, str]) -> Callable[P, str]:
    """The HTML that ``make`` returns, or the message of its error in its place."""

    @functools.wraps(make)
    def safe(*args: P.args, **kwargs: P.kwargs) -> str:
        try:
            return str(make(*args, **kwargs))
        except Exception as error:
            return html.alert(describe(error))

    return safe


def describe(error: Exception) -> str:
    """An error in one line; an unexpected one is logged with its traceback."""
    if isinstance(error, HeadstartError):
        return worded(str(error), as_field)
    logger.error("unexpected error on the page", exc_info=error)
    return one_line(f"unexpected {type(error).__name__}: {error} (a bug: please report it)")


# Where the label of a field is not the parameter's name with spaces.
FIELDS = {
    "backbone": "Pretrained networks",
    "budget_s": "Time budget",
    "classes_from": "Folders that name the classes",
    "data": "Folder of pictures on this computer",
    "group_by": "What groups pictures, as a pattern in their names",
    "group_column": "Column that groups pictures",
    "metric": "Metric to optimise",
    "prefer": "Prefer",
    "seed": "Seed",
    "image_column": "Image column",
    "kernel": "The same as text",
    "label_column": "Label column",
    "label_columns": "Label columns",
    "merge_labels": "Make labels that look the same one class",
    "multi_label": "What separates the labels",
    "out": "Name of the run",
    "resolutions": "Resolutions in pixels",
    "tap": "At the layer",
    "target_column": "Number column",
    "test_size": "Share held out for the test",
}


def as_field(name: str, value: str | None) -> str:
    """A parameter of the library as the page shows it: the label of its field, in quotes."""
    label = f"“{FIELDS[name]}”" if name in FIELDS else f"`{name}`"
    if value is None or (value == "True" and name in FIELDS):
        return label
    given = value.strip("'\"")
    return f"{label} {given}" if name in FIELDS else f"`{name}={value}`"


def quiet() -> dict[str, Any]:
    """Options of events that need no entry in an interface for programs."""
    return {"api_visibility": "private", "show_progress": "hidden"}


def at_once() -> dict[str, Any]:
    """Options of short events beside others: not queued.

    The answer of a queued event comes over a stream that the browser opens for it; where two start
    within a moment, the second's answer can be lost. One that is not queued is the response of its
    own request; but Gradio then shows no message where it refuses a field itself.
    """
    return quiet() | {"queue": False}
