"""The ``headstart`` command: its verbs, and how an error reaches a person."""

from __future__ import annotations

import functools
import json
import logging
import os
import sys

import typer
from typer.exceptions import TyperException

import headstart
from headstart.errors import HeadstartError

app = typer.Typer(
    name="headstart",
    help="The best classifier that a pretrained network allows, measured.\n\n"
    "Start with a folder that has a sub-folder of images for each class:\n\n"
    "    headstart fit photos/\n\n"
    "    headstart predict runs/photos new-pictures/",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

GLOBAL_FLAGS = ("--debug", "--quiet")
STOPPED = "stopped; what was finished is kept, the same command goes on from there"


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"headstart {headstart.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress, only results."),
) -> None:
    """Global options; they may stand anywhere on the line."""


@functools.cache  # again and again, a program's calls would pile up the same verbs
def _register() -> None:
    from headstart.cli import (
        augment,
        backbones,
        baseline,
        compare,
        complexity,
        describe,
        doctor,
        export,
        finetune,
        fit,
        kernels,
        lab,
        predict,
        serve,
        similar,
        transfer,
        web,
    )

    for module in (
        fit, predict, similar, finetune, augment, transfer, compare, baseline, kernels, describe,
        complexity, lab, export, serve, web, backbones, doctor,
    ):  # fmt: skip
        module.register(app)


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with 0 (done), 2 (bad input) or 1 (failure)."""
    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))


def run(argv: list[str]) -> int:
    """Run the command line and return its exit code."""
    words = [w for w in argv if w not in GLOBAL_FLAGS]
    debug = "--debug" in argv or bool(os.environ.get("HEADSTART_DEBUG"))
    os.environ["HEADSTART_QUIET"] = "1" if "--quiet" in argv else ""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING, force=True)
    logging.getLogger().handlers[0].setFormatter(_PlainFormatter())
    logging.getLogger().handlers[0].setLevel(logging.WARNING)
    _register()
    try:
        code = app(words, prog_name="headstart", standalone_mode=False)
        return _fail(STOPPED, 130) if code == 130 else code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _fail(STOPPED, 130)
    except TyperException as error:
        if not error.format_message():  # a group without a verb, which has shown its help
            return 2
        message = f"{error.format_message()} (`headstart --help` lists what there is)"
        return _fail(message, 2, as_json="--json" in argv)
    except HeadstartError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code, as_json="--json" in argv)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # the last net: a person is not shown a traceback unasked
        if debug:
            raise
        text = f"unexpected {type(error).__name__}: {error}".splitlines()[0]
        return _fail(f"{text} (a bug: please report it with the output of --debug)", 1)


def _fail(message: str, code: int, *, as_json: bool = False) -> int:
    if as_json:
        typer.echo(json.dumps({"error": message, "exit_code": code}, ensure_ascii=False))
    typer.echo(f"headstart: {message}", err=True)
    return code


class _PlainFormatter(logging.Formatter):
    """Warnings of the library as one line each."""

    def format(self, record: logging.LogRecord) -> str:
        return f"headstart: {record.levelname.lower()}: {record.getMessage()}"
