"""From ``run.json`` and ``metrics.json`` to ``report.html``."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError
from markupsafe import Markup, escape

from headstart import plots
from headstart.errors import RunError, one_line
from headstart.files import write_atomically
from headstart.plots.svg import printable
from headstart.runs.folder import read_json
from headstart.runs.report import figures, objective, story, words
from headstart.runs.report.texts import text_plots
from headstart.runs.result import FitResult, read_metrics
from headstart.wording import without_repeats


def write_report(
    run_folder: Path,
    *,
    thumbnails: Mapping[str, bytes],
    out: Path | None = None,
    run_name: str | None = None,
) -> Path:
    """Write the report of a run; an older report stays whole until the new one is on the disk.

    Raises RunError where the run folder lacks one of the two files, or they cannot be read or are
    too new; OutputError where the page cannot be written.

    Parameters
    ----------
    run_folder : Path
        Holds ``run.json`` and ``metrics.json``.
    thumbnails : mapping of str to bytes
        Image digest -> small JPEG file, for the images named in the metrics. An image without
        one is shown by its name.
    out : Path or None
        Where to write; ``run_folder/report.html`` by default.
    run_name : str or None
        How the commands on the page name the run folder; as ``run_folder`` by default.
    """
    run, metrics = read_json(run_folder, "run.json", dict[str, Any]), read_metrics(run_folder)
    try:
        html = render(run, metrics, thumbnails, run_name=run_name or str(run_folder))
    except (KeyError, UndefinedError, TypeError, IndexError, ValueError) as error:
        raise RunError(
            f"The results in {one_line(str(run_folder))} are incomplete or damaged"
            f" ({one_line(repr(error), limit=120)}). Run fit again to renew them."
        ) from error
    target = out if out is not None else run_folder / "report.html"
    write_atomically(target, html.encode())
    return target


def render(
    run: Mapping[str, Any],
    metrics: FitResult,
    thumbnails: Mapping[str, bytes],
    *,
    run_name: str = "RUN",
) -> str:
    """The page as one self-contained HTML document; reads and writes nothing.

    The HTML loads nothing from anywhere: its policy forbids it.

    `run`: the contents of ``run.json``. `thumbnails`: image digest -> small JPEG file. `run_name`:
    how the commands on the page name the run folder.
    """
    if metrics.text is None:
        return fill("report.html.j2", run, metrics, thumbnails, run_name=run_name)
    plots_of_texts = text_plots(metrics.text)
    return fill("text.html.j2", run, metrics, thumbnails, run_name=run_name, **plots_of_texts)


def fill(
    template: str,
    run: Mapping[str, Any],
    metrics: FitResult,
    thumbnails: Mapping[str, bytes],
    *,
    run_name: str,
    **more: Any,
) -> str:
    """The page of a run by a template: this room's own, or one that extends it and takes `more`."""
    from headstart.runs.report.trust import trust_sections  # which this file's pages are made of

    templates = environment()
    script = source("page.js")
    return templates.get_template(template).render(
        run=run,
        m=metrics,
        tuned=metrics.finetuning,
        head=story.headline(metrics),
        is_judged=story.is_judged(metrics),
        balanced_over=story.balanced_over(metrics),
        notices=story.notices(metrics),
        suspected=story.suspected(metrics),
        choice=story.choice(metrics),
        cheap_line=story.cheap_line(metrics),
        members=story.members(metrics.chosen),
        ranked=story.ranked(metrics.candidates),
        confusions=story.confusions(metrics.classes, metrics.counts),
        duplicates=story.duplicates(metrics.data),
        figures=figures.figures(metrics),
        metric_rows=story.metric_rows(metrics),
        objective=objective,
        more_sections=[(s, Markup(s.figure)) for s in trust_sections(metrics)],
        pictures={digest: _data_uri(jpeg) for digest, jpeg in thumbnails.items()},
        run_name=shlex.quote(run_name),
        style=Markup(source("style.css") + plots.stylesheet()),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **more,
    )


@functools.cache
def environment() -> Environment:
    """The templates of this room, with their filters."""
    templates = Environment(
        loader=PackageLoader("headstart.runs.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    templates.filters.update(
        {
            "percent": words.percent,
            "bare_percent": words.bare_percent,
            "bounds": words.bounds,
            "points": words.points,
            "point_bounds": words.point_bounds,
            "count": words.count,
            "decimal": words.decimal,
            "plain": words.plain,
            "macs": words.macs,
            "duration": words.duration,
            "moment": words.moment,
            "small_interval": figures.small_interval,
            "breakable": _breakable,
            "prose": _prose,
            "base64": _base64,
            "without_repeats": without_repeats,
            "words": _words,
        }
    )
    templates.globals.update({"plural": words.plural, "about_data": words.about_data})
    return templates


def _printable(value: object) -> object:
    """Every piece of text that the template writes passes here; autoescaping comes after."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value


def _prose(text: str) -> Markup:
    """A sentence: parameters in backticks as code, and no line break before a unit."""
    if isinstance(text, Markup):
        return text
    parts = printable(re.sub(r" (?=(?:%|px|s|min)(?!\w))", "\u00a0", text)).split("`")
    if len(parts) % 2 == 0:  # a backtick without its second is one of a name
        return escape("`".join(parts))
    marked = (
        Markup("<code>{}</code>").format(_words(p)) if i % 2 else escape(p)
        for i, p in enumerate(parts)
    )
    return Markup("").join(marked)


def _words(command: str) -> Markup:
    """A command that may be broken between its words, and within one only where it is too long for a line."""
    word = Markup('<span class="word">{}</span>')
    parts = re.split(r"""((?:'[^']*'|"[^"]*"|\S)+)""", command)  # spaces and words in turn
    return Markup("").join(
        word.format(printable(part)) if i % 2 else escape(part) for i, part in enumerate(parts)
    )


def _breakable(name: str) -> Markup:
    """A path that may be broken after its slashes, before anywhere else."""
    return Markup("/<wbr>").join(printable(part) for part in name.split("/"))


@functools.cache
def source(name: str) -> str:
    """A file of this room, such as its style."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _base64(content: bytes) -> Markup:
    # Markup, for it needs no escaping and must not be shortened like a name.
    return Markup(base64.b64encode(content).decode())


def _data_uri(jpeg: bytes) -> Markup:
    return Markup("data:image/jpeg;base64,") + _base64(jpeg)
