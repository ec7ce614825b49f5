"""Which columns of a table hold what is to be predicted: one label, several, or a number."""

from __future__ import annotations

from typing import Any

import gradio as gr

from headstart.data.offered import Offered, offered_columns
from headstart.data.targets import joined_names
from headstart.errors import InputError

ONE, SEVERAL, FLAGS, NUMBER = "one", "several", "flags", "number"
TASKS = {
    "One label": ONE,
    "Several labels, in one column": SEVERAL,
    "Several labels, a column each": FLAGS,
    "A number": NUMBER,
}
SEPARATOR, N_FIELDS = ";", 5


def columns_form() -> tuple[gr.Column, list[Any]]:
    """The form, hidden until a table is named, and its fields in the order that `column_settings` takes."""
    with gr.Column(visible=False, elem_id="columns") as form:
        task = gr.Radio(list(TASKS.items()), value=ONE, label="What to predict for each picture")
        column = gr.Dropdown([], value=None, label="Label column")
        separator = gr.Textbox(
            SEPARATOR,
            label="What separates the labels",
            visible=False,
            info="The ; of dog;sofa.",
        )
        labels = gr.Dropdown(
            [],
            value=[],
            multiselect=True,
            visible=False,
            label="Label columns",
            info="1 where a picture has the label, else 0.",
        )
        image = gr.Dropdown(
            [],
            value=None,
            visible=False,
            label="Image column",
            info="Paths start at the folder of the table.",
        )
    return form, [task, column, separator, labels, image]


def usual_choice(found: Offered | None) -> tuple[str, str | None, str, list[str], str | None]:
    """The values that the fields begin with."""
    if found is None:
        return ONE, None, SEPARATOR, [], None
    task = ONE
    if found.separator and found.label in ("", found.several):
        task = SEVERAL
    elif found.columns and not found.label and len(found.flags) > 1:
        task = FLAGS
    return task, _usual_column(found, task), found.separator or SEPARATOR, list(found.flags), None


def offer(folder: str) -> list[Any]:
    """The form for the data that was typed: shown, with the columns of the table, or hidden."""
    found = offered_columns(folder.strip())
    task, column, separator, flags, image = usual_choice(found)
    if found is None:
        return [gr.Column(visible=False), task, column, separator, flags, image]
    tasks = [
        (said, name) for said, name in TASKS.items() if found.columns or name in (ONE, SEVERAL)
    ]
    return [
        gr.Column(visible=True),
        gr.Radio(choices=tasks, value=task),
        *_fields(found, task, column),
        gr.Dropdown(choices=list(found.columns), value=image, visible=not found.has_images),
    ]


def turn(folder: str, task: str) -> list[Any]:
    """Column, separator and columns of labels for another task."""
    found = offered_columns(folder.strip())
    if found is None:
        return [gr.skip()] * 3
    return _fields(found, task, _usual_column(found, task))


def _fields(found: Offered, task: str, column: str | None) -> list[Any]:
    choices = found.numbers if task == NUMBER else found.columns
    return [
        gr.Dropdown(
            choices=list(choices),
            value=column,
            label="Number column" if task == NUMBER else "Label column",
            visible=bool(found.columns) and task != FLAGS,
        ),
        gr.Textbox(found.separator or SEPARATOR, visible=bool(found.columns) and task == SEVERAL),
        gr.Dropdown(
            choices=list(found.columns),
            value=list(found.flags),
            multiselect=True,
            visible=task == FLAGS,
        ),
    ]


def _usual_column(found: Offered, task: str) -> str | None:
    if task == NUMBER:
        return found.numbers[0] if len(found.numbers) == 1 else None
    return (found.several if task == SEVERAL else found.label) or None


def column_settings(
    folder: str,
    task: str | None,
    column: str | None,
    separator: str,
    labels: list[str] | None,
    image: str | None,
) -> dict[str, Any]:
    """What was chosen, as parameters of the library; nothing where the data is not a table.

    Raises InputError where no column is chosen.
    """
    found = offered_columns(folder)
    if found is None:
        return {}
    settings: dict[str, Any] = {"image_column": image} if image else {}
    if task == SEVERAL:
        settings["multi_label"] = separator if found.columns else SEPARATOR
        if column:
            settings["label_column"] = column
    elif task == FLAGS:
        if not labels:
            raise InputError("choose the columns of labels, under “Label columns”")
        settings["label_columns"] = joined_names(labels)
    elif task == NUMBER:
        if not column:
            raise InputError("choose the column to predict, under “Number column”")
        settings["target_column"] = column
    elif column and column != found.label:
        settings["label_column"] = column
    return settings
