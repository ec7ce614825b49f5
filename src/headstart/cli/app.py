"""The ``headstart`` command: its verbs, and how an error reaches a person."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shutil
import sys
from typing import Any

import typer
from typer.exceptions import TyperException

import headstart
from headstart.cli import several, streams
from headstart.cli.console import echo_json
from headstart.cli.flags import as_flag
from headstart.cli.narrow import fit_help
from headstart.cli.usage import missing_value, usage_message
from headstart.errors import HeadstartError, visible, worded
from headstart.home import provide_home

app = typer.Typer(
    name="headstart",
    help="The best classifier that a pretrained network allows, measured.\n\n"
    "Start with a folder that has a sub-folder of images for each class:\n\n"
    "    headstart fit photos/\n\n"
    "    headstart predict runs/photos new-pictures/\n\n"
    "Without images at hand: `headstart fit digits`.",
    epilog="`headstart VERB --help` explains a verb and shows examples of it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

# What `headstart --help` shows, in this order; a verb that stands nowhere here comes last.
PANELS = {
    "Start here": ("demo", "fit", "predict", "report", "web"),
    "Ask more of your data": ("compare", "finetune", "transfer", "augment", "baseline"),
    "Use a run": ("similar", "clean", "label-next", "map", "slices", "export", "push", "serve"),
    "See how it works": ("kernels", "describe", "complexity", "lab"),
    "This computer": ("doctor", "store", "backbones", "extract", "frames"),
}
GLOBAL_FLAGS = ("--debug", "--quiet")
STOPPED = "stopped; what was finished is kept, the same command goes on from there"


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"headstart {headstart.__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress, only results."),
) -> None:
    """Global options; they may stand anywhere on the line."""
    if context.invoked_subcommand not in several.IN_SEVERAL:
        several.require_one(f"headstart {context.invoked_subcommand}")


@functools.cache  # again and again, a program's calls would pile up the same verbs
def _register() -> None:
    from headstart.cli import (
        after,
        augment,
        backbones,
        baseline,
        compare,
        complexity,
        demo,
        describe,
        doctor,
        export,
        extract,
        finetune,
        fit,
        frames,
        kernels,
        lab,
        predict,
        serve,
        similar,
        store,
        transfer,
        web,
    )

    for module in (
        demo, fit, predict, similar, after, finetune, augment, transfer, compare, baseline, kernels, describe,
        complexity, lab, export, serve, web, backbones, extract, frames, store, doctor,
    ):  # fmt: skip
        module.register(app)
    _arrange()


def _arrange() -> None:
    """Put the verbs into their panels."""
    places = {verb: panel for panel, verbs in PANELS.items() for verb in verbs}
    order = list(places)
    for command in app.registered_commands:
        assert command.callback is not None
        command.name = command.name or command.callback.__name__
        command.rich_help_panel = places.get(command.name)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        name = group.name or group.typer_instance.info.name
        group.rich_help_panel = places.get(str(name))
    app.registered_commands.sort(
        key=lambda c: order.index(str(c.name)) if c.name in places else len(order)
    )


@functools.cache
def whole_command() -> Any:
    """The whole command line; its help has no type after a switch, and arguments in capitals."""
    _register()
    command = typer.main.get_command(app)

    def tidy(one: Any, parent: Any) -> None:
        context = one.context_class(one, parent=parent, **one.context_settings)
        for param in one.get_params(context):  # with --help among them
            if getattr(param, "is_flag", False):
                param.metavar = ""
            elif param.param_type_name == "argument" and param.metavar is None:
                param.metavar = str(param.name).upper()
                if param.nargs != 1:  # the type of one of them, rather than <list[str]>
                    one_type = param.display_type(context).replace("list[", "").replace("]", "")
                    param.display_type = functools.partial(_shown_type, one_type.lower())
            elif param.multiple and param.metavar is None:
                param.metavar = "<str>"  # rather than <list[str]>
        for inner in getattr(one, "commands", {}).values():
            tidy(inner, context)

    tidy(command, None)
    return command


def _shown_type(label: str, _context: Any = None, **_: Any) -> str:
    return label


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with 0 (done), 2 (bad input) or 1 (failure)."""
    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))


def run(argv: list[str]) -> int:
    """Run the command line and return its exit code."""
    streams.make_safe()
    provide_home()
    words = [w for w in argv if w not in GLOBAL_FLAGS]
    debug = "--debug" in argv or bool(os.environ.get("HEADSTART_DEBUG"))
    rank = several.own_rank()
    os.environ["HEADSTART_QUIET"] = "1" if "--quiet" in argv or rank else ""
    level = logging.ERROR if rank else logging.WARNING
    warnings = _Warnings()
    warnings.setLevel(level)
    warnings.setFormatter(_PlainFormatter())
    logging.basicConfig(handlers=[warnings], level=level, force=True)
    fit_help(whole_command(), shutil.get_terminal_size().columns)
    if said := missing_value(words, whole_command()):
        return _fail(said, 2, as_json="--json" in argv)
    try:
        with several.speaking_for_all():
            code = whole_command()(words, prog_name="headstart", standalone_mode=False, obj=argv)
        return _fail(STOPPED, 130) if code == 130 else code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _fail(STOPPED, 130)
    except TyperException as error:
        # A group without a verb: it has shown its help, or in few columns has it for its message.
        text = error.format_message()
        if type(error).__name__ == "NoArgsIsHelpError" or not text:
            with contextlib.suppress(BrokenPipeError):
                typer.echo(text, nl=bool(text))
            return 2
        message = usage_message(error, words, whole_command())
        return _fail(message, 2, as_json="--json" in argv)
    except HeadstartError as error:
        if debug:
            raise
        return _fail(
            worded(str(error), as_flag),
            error.exit_code,
            as_json="--json" in argv,
            is_own=not error.is_shared,
        )
    except SystemExit as ended:  # other processes did the work, and told it
        return ended.code if isinstance(ended.code, int) else 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # the last net: a person is not shown a traceback unasked
        if debug:
            raise
        text = f"unexpected {type(error).__name__}: {error}".splitlines()[0]
        return _fail(f"{text} (a bug: please report it with the output of --debug)", 1, is_own=True)


def _fail(message: str, code: int, *, as_json: bool = False, is_own: bool = False) -> int:
    """Tell what went wrong; of several processes the first tells it, unless it is another's own."""
    rank = several.own_rank()
    if rank and not is_own:
        return code
    if as_json and not rank:
        echo_json({"error": message, "exit_code": code}, indent=None)
    typer.echo(f"headstart: {visible(message)}", err=True)
    return code


class _Warnings(logging.StreamHandler[Any]):
    """Writes to what is standard error at the time: while bars are drawn, lines appear above them."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _PlainFormatter(logging.Formatter):
    """Warnings of the library as one line each; below an unexpected error stands its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"headstart: {record.levelname.lower()}: {visible(worded(record.getMessage(), as_flag))}"
        if not record.exc_info:
            return line
        traceback = self.formatException(record.exc_info).splitlines()
        return "\n".join([line, *map(visible, traceback)])
