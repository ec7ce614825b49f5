"""Prompts: what classes are called in the words that a text tower was trained on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from headstart.data.sources import counted, shown, some
from headstart.data.tables import LABEL_NAMES, usual_form
from headstart.data.weights import csv_rows, known_class, read_small
from headstart.errors import DataError, argument

TEMPLATES = ("a photo of a {}.", "a photo of the {}.", "{}.")
"""Where nothing else is asked for. ``{}`` stands for the class."""

Prompts = Mapping[str, tuple[str, ...]]
"""Of each class."""

_PROMPT_NAMES = frozenset(["prompt", "prompts", "text", "template", "description", "caption"])
# The first cell of a CSV line: in a sentence, a space follows the comma.
_FIRST_CELL = re.compile(r"""\s*("[^"{}]*"|[^"{},;\t]+)[,;\t]\S""")


def fill(templates: Sequence[str], classes: Sequence[str]) -> Prompts:
    """The prompts of classes from templates; underscores in names are read as spaces."""
    names = {name: " ".join(name.replace("_", " ").split()) for name in classes}
    return {name: tuple(t.replace("{}", said) for t in templates) for name, said in names.items()}


def read_prompts(path: str, classes: Sequence[str] | None = None) -> Prompts:
    """Prompts from a file: templates, or the prompts of each class.

    Raises DataError where the file cannot be read, is empty, or holds templates and there are no
    classes; or a class has no prompt, or is unknown.

    `path`: lines that all hold ``{}`` are templates, of every class, unless they name classes in
    their first cell. Otherwise it is a CSV file of lines ``class,prompt``, several for a class;
    that, or another usual pair of names such as ``label,text``, may be its first line. `classes`:
    default: those that a CSV file names.
    """
    option = argument("prompts")
    lines = [line.strip() for line in read_small(path, option).splitlines() if line.strip()]
    if not lines:
        raise DataError(
            f"{option}: {shown(path)} is empty: give templates such as 'a photo of a {{}}.', a line "
            "each, or lines class,prompt"
        )
    if all("{}" in line for line in lines) and not _name_classes(lines, path, option, classes):
        if classes is None:
            raise DataError(
                f"{option}: {shown(path)} holds templates, which need the names of the classes: give "
                f"{argument('classes', 'cat,dog')}, or lines class,prompt without a space after the comma"
            )
        return fill(lines, classes)
    found: dict[str, list[str]] = {}
    for i, (place, cells) in enumerate(csv_rows(path, option)):
        if len(cells) != 2 or not all(cells):
            raise DataError(
                f"{place} has {counted(len(cells), 'cell')}: expected a class and one prompt, such as "
                'cat,"a photo of a cat, a pet"; or templates, which all hold {}'
            )
        name, prompt = cells
        if i == 0 and _is_header(name, prompt) and name not in (classes or ()):
            continue
        if classes is not None:
            known_class(name, classes, place)
        found.setdefault(name, []).extend(fill([prompt], [name])[name])
    missing = [name for name in classes or () if name not in found]
    if missing:
        raise DataError(
            f"{option}: {shown(path)} has no prompt for {counted(len(missing), 'class')} "
            f"({some(missing, is_counted=True)}): add a line class,prompt for each"
        )
    return {name: tuple(found[name]) for name in classes or found}


def _name_classes(
    lines: Sequence[str], path: str, option: str, classes: Sequence[str] | None
) -> bool:
    """Whether lines that all hold ``{}`` are nevertheless lines ``class,prompt``."""
    first = [cells[0] for _, cells in csv_rows(path, option) if len(cells) > 1]
    return any(name in (classes or ()) for name in first) or all(map(_FIRST_CELL.match, lines))


def _is_header(name: str, prompt: str) -> bool:
    names = {"name", *LABEL_NAMES}
    return usual_form(name) in names and usual_form(prompt) in _PROMPT_NAMES


def same_prompts(prompts: Prompts) -> list[tuple[str, ...]]:
    """Groups of classes that a text tower cannot tell apart: their prompts differ in case and spaces at most."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, texts in prompts.items():
        key = tuple(sorted(" ".join(text.lower().split()) for text in texts))
        groups.setdefault(key, []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]
