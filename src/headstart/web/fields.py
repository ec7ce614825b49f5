"""What the fields of the page send to the functions behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from headstart.web.answers import describe


class Page(gr.Blocks):
    """Blocks whose functions get a field's default in place of null, and whose errors are one line.

    Gradio sends null for every field that was never shown (such as those of a closed accordion) and
    for every field that was cleared. Here it becomes the default that the field declares, for all
    events of all tabs, so a function gets null only from a field whose default is null.
    """

    async def preprocess_data(
        self, block_fn: Any, inputs: Sequence[Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Inputs as the function gets them."""
        fields = block_fn.inputs
        if len(fields) == len(inputs):  # else Gradio says what is missing
            inputs = [sent(field, value) for field, value in zip(fields, inputs, strict=True)]
        return await super().preprocess_data(block_fn, list(inputs), *args, **kwargs)

    async def process_api(self, *args: Any, **kwargs: Any) -> Any:
        """The answer to one event."""
        try:
            return await super().process_api(*args, **kwargs)
        except gr.Error as error:
            error.print_exception = False  # its message is for the user; it has no bug to trace
            raise
        except Exception as error:
            raise gr.Error(describe(error), print_exception=False) from error


def picture_field(**options: Any) -> gr.Image:
    """A field for a picture, which arrives as the file it is, so that a tab says what is wrong with it.

    Gradio's own reads the file first, and of one that is not an image it names its component. It is no
    subclass, for which Gradio would write a file into this folder.
    """
    field = gr.Image(type="filepath", **options)
    field.preprocess = _path  # type: ignore[method-assign, assignment]
    return field


def _path(sent: Any) -> str | None:
    return None if sent is None else str(sent.path)


def sent(field: Any, value: Any) -> Any:
    """The value of a field, or its default where the field was never shown or is empty.

    Raises gr.Error where a number is outside the range of its field.
    """
    if value is None:
        is_text = isinstance(field, gr.Textbox)
        return "" if is_text and field.value is None else field.value
    low, high = getattr(field, "minimum", None), getattr(field, "maximum", None)
    if isinstance(value, int | float):
        is_low, is_high = low is not None and value < low, high is not None and value > high
        if is_low or is_high:
            legal = f"at least {low}" if high is None else f"from {low} to {high}"
            raise gr.Error(f"{field.label}: must be {legal}; got {value}", print_exception=False)
    return value
