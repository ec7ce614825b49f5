"""A page of sections: sentences, figures and tables, as HTML, Markdown and JSON.

What a verb measured becomes sections; here they are written, the same way for every verb.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from headstart import plots
from headstart.files import write_atomically
from headstart.plots.svg import printable
from headstart.runs.folder import write_json
from headstart.runs.report import words
from headstart.runs.report.page import environment, source

if TYPE_CHECKING:
    pass

_NUMBER = re.compile(r"[+\-−≤<>~⌊\[\s]*\d")


def _is_figure(cell: str) -> bool:
    """Whether it begins with a number and has no more words than a unit: ``1 min 42 s``."""
    return _NUMBER.match(cell) is not None and sum(c.isalpha() for c in cell) <= 6


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text under a header; the first column names the row, numbers stand to the right."""

    header: Sequence[str]  # length n_columns
    rows: Sequence[Sequence[str]]  # length n_columns
    chosen: int | None = None  # the row to set in bold

    @property
    def numeric(self) -> list[bool]:
        """Of each column, whether figures stand in it: most of its cells are numbers, with a unit or not."""
        columns = ([c for c in cells if c] for cells in zip(*self.rows, strict=True))
        shares = [[_is_figure(cell) for cell in cells] for cells in columns]
        found = [i > 0 and 2 * sum(s) >= max(len(s), 1) for i, s in enumerate(shares)]
        return found or [False] * len(self.header)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, then what is there of text, figure, caption and table, in this order."""

    heading: str
    text: Sequence[str] = ()  # paragraphs
    # an ``<svg>`` element of `headstart.plots`; its ``name`` is unique in the page
    figure: str = ""
    caption: str = ""
    table: Table | None = None
    # a PNG picture, where pixels are to be seen; needs ``caption``, which is its alt text too
    image: bytes = b""


def facts_section(name: str, classes: Sequence[str], notes: Sequence[str] = ()) -> Section:
    """What was taken as the classes of a data set, and the notes on it."""
    heading = f"What was found in {name}"
    return Section(heading=heading, text=words.about_data(classes, notes))


def write_page(
    folder: Path,
    name: str,
    *,
    title: str,
    sentence: str,
    sections: Sequence[Section],
    found: Mapping[str, Any],
    detail: str = "",
) -> Path:
    """Write ``<name>.html``, ``<name>.md`` with its figures as files beside it, and ``<name>.json``.

    Raises OutputError where the folder cannot be written. Returns the path of the page.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    name : str
        Stem of the files: letters, digits and hyphens.
    title : str
        What the page is about.
    sentence : str
        The headline: the answer in at most 25 words.
    found : mapping
        The figures, JSON-able.
    detail : str, optional
        A paragraph below the headline.
    """
    write_json(folder / f"{name}.json", found)
    for i, section in enumerate(sections):
        for path, content in _files(name, i, section):
            write_atomically(folder / path, content)
    text = _markdown(name, title, sentence, sections, detail)
    write_atomically(folder / f"{name}.md", text.encode())
    page = folder / f"{name}.html"
    write_atomically(page, render_page(name, title, sentence, sections, detail).encode())
    return page


def _files(name: str, i: int, section: Section) -> list[tuple[str, bytes]]:
    """The pictures of a section as files: their names and contents."""
    files = []
    if section.figure:
        files.append((f"{name}-{i}.svg", plots.standalone(section.figure).encode()))
    if section.image:
        files.append((f"{name}-{i}.png", section.image))
    return files


def _markdown(
    name: str, title: str, sentence: str, sections: Sequence[Section], detail: str
) -> str:
    lines = [f"# {_cell(title)}", "", _cell(sentence), ""]
    lines += [_cell(detail), ""] if detail else []
    for i, section in enumerate(sections):
        lines += [f"## {_cell(section.heading)}", ""]
        for paragraph in section.text:
            lines += [_cell(paragraph), ""]
        for path, _ in _files(name, i, section):
            lines += [f"![{_cell(section.caption or section.heading)}]({path})", ""]
        if section.caption:
            lines += [_cell(section.caption), ""]
        if section.table:
            lines += [*_pipes(section.table), ""]
    return "\n".join(lines)


def _pipes(table: Table) -> list[str]:
    rules = ["---:" if numeric else "---" for numeric in table.numeric]
    rows = [table.header, rules, *table.rows]
    return ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]


def _cell(content: str) -> str:
    return printable(content).replace("|", "\\|")


def render_with_script(package: str, template: str, script: str, **values: Any) -> bytes:
    """A page of its own, whose content security policy allows one script by its digest.

    `package`: holds both files. `template`, `script`: names of files. The template is given
    `style`, `script` and `digest` besides `values`.
    """
    loader = PackageLoader(package, ".")
    templates = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    code = loader.get_source(templates, script)[0]
    html = templates.get_template(template).render(
        **values,
        style=Markup(source("style.css") + plots.stylesheet()),
        script=Markup(code),
        digest=base64.b64encode(hashlib.sha256(code.encode()).digest()).decode(),
    )
    return html.encode("utf-8", "surrogateescape")


def render_page(
    name: str, title: str, sentence: str, sections: Sequence[Section], detail: str = ""
) -> str:
    """The page as one self-contained HTML document; `name` is "" where no JSON lies beside it."""
    template = environment().get_template("page.html.j2")
    return template.render(
        name=name,
        title=title,
        sentence=sentence,
        detail=detail,
        sections=[(section, Markup(section.figure)) for section in sections],
        style=Markup(source("style.css") + plots.stylesheet()),
    )
