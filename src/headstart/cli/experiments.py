"""Verbs of experiments: their options come from the settings class, what they show from the page."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer

from headstart.cli import options
from headstart.cli.console import answer_with_page, parse_numbers, print_prose, progress_bars
from headstart.cli.fitting import fitted
from headstart.cli.flags import flag_of
from headstart.errors import worded
from headstart.experiments.experiment import Experiment, call
from headstart.experiments.settings import Option
from headstart.experiments.settings import options as options_of
from headstart.files import write_atomically

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from headstart.runs.report import pages


def verb(
    experiment_name: str, name: str | None = None, *, folder: str | None = None
) -> Callable[..., None]:
    """An experiment as a function from whose signature Typer makes the verb `name`."""
    experiment = Experiment(experiment_name)
    name = name or experiment_name
    asked = options_of(experiment.settings)
    subject = "RUN" if any(o.name == "run" for o in asked) else "DATA"
    default = options.default_folder(subject, folder or name)

    def run(*, out: Path | None = None, as_json: bool = False, **given: Any) -> None:
        values = {o.name: _parsed(o, given[o.name]) for o in asked}
        with progress_bars(quiet=as_json) as progress:
            found = call(
                experiment,
                values,
                progress=progress,
                on_index=lambda index: options.show_data(index, progress),
                say=progress.say,
            )
            target = out or options.default_folder(*found.settings.folder)
            files: Callable[..., dict[str, bytes]] = getattr(
                experiment.page, "files", lambda *_: {}
            )
            made = {target / file: content for file, content in files(found, progress).items()}
            for file, content in made.items():
                write_atomically(file, content)
        answer_with_page(
            target,
            name,
            found,
            lambda _, console: show(experiment.page.brief(found), console),
            title=found.title,
            sections=found.sections(),
            as_json=as_json,
            files=tuple(made),
        )

    parameters = [*map(_parameter, asked)]
    for own, kind, value in (
        ("out", Annotated[Path | None, options.results(str(default))], None),
        ("as_json", options.AsJson, False),
    ):
        parameters.append(
            inspect.Parameter(own, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=value)
        )
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    run.__doc__, run.__name__ = experiment.settings.__doc__, name
    return run


def show(sections: Sequence[pages.Section], out: Console) -> None:
    """Sections in the terminal: the table with its caption, then the texts."""
    tables = iter(fitted([_table(s.table, s.caption) for s in sections if s.table], out))
    for section in sections:
        if section.table:
            out.print(next(tables))
        for line in section.text:
            print_prose(line, out)


def _table(table: pages.Table, caption: str) -> Table:
    from rich import box
    from rich.table import Table

    from headstart.errors import one_line

    shown = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption, caption_justify="left"
    )
    for column, is_numeric in zip(table.header, table.numeric, strict=True):
        shown.add_column(column, justify="right" if is_numeric else "left")
    for i, row in enumerate(table.rows):
        cells = (one_line(cell.replace("\u00a0", " ")) for cell in row)
        shown.add_row(*cells, style="bold" if i == table.chosen else None)
    return shown


def _parameter(option: Option) -> inspect.Parameter:
    """A setting as a parameter with Typer's annotation."""
    kind, default = option.type, option.default
    if _is_list(option):
        kind = list[str] | None if default == () else str | None if default is None else str
        default = ",".join(map(str, default)) if default else None
    elif not {int, float, bool} & {kind, *get_args(kind)}:
        kind = str if NoneType not in get_args(kind) else str | None
    text = worded(option.help, lambda name, _: flag_of(name))
    how: dict[str, Any] = {
        "help": f"{text} Separated by commas."
        if _is_list(option) and option.default != ()
        else text
    }
    if option.panel:
        how["rich_help_panel"] = option.panel
    if option.is_argument:
        if option.name == "run":
            how["autocompletion"] = options.complete_run
        info = typer.Argument(**how)
    elif kind is bool:
        flag = flag_of(option.name)
        info = typer.Option(f"{flag}/--no-{flag[2:]}" if default else flag, **how)
    else:
        info = typer.Option(flag_of(option.name), **how)
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[kind, info],
        default=inspect.Parameter.empty if default is dataclasses.MISSING else default,
    )


def _is_list(option: Option) -> bool:
    return any(get_origin(t) is tuple for t in (option.type, *get_args(option.type)))


def _parsed(option: Option, value: Any) -> Any:
    """A list from its text with commas, or from an option that was repeated."""
    if not _is_list(option) or value is None:
        return option.default if value is None else value
    if isinstance(value, list):
        return tuple(value)
    inner = next(t for t in (option.type, *get_args(option.type)) if get_origin(t) is tuple)
    item = get_args(inner)[0]
    if item in (int, float):
        return parse_numbers(value, flag_of(option.name), item)
    return tuple(word.strip() for word in value.split(","))
