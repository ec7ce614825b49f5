"""What is wrong with a command line, as one line that names the option, the value and what it may be."""

from __future__ import annotations

import difflib
import itertools
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from headstart.errors import one_line

N_RUNS = 5
# Verbs that work on runs of one kind alone.
OF_IMAGES = ("clean", "label-next", "map", "slices")
OF_CLASSES = ("push",)
# What Pydantic, by which Typer reads values, calls a wrong one.
KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}
BOUNDS = {
    "greater_than_equal": ("ge", "{:g} or more"),
    "less_than_equal": ("le", "{:g} or less"),
    "greater_than": ("gt", "more than {:g}"),
    "less_than": ("lt", "less than {:g}"),
}


def usage_message(error: Any, words: Sequence[str], whole: Any) -> str:
    """What is wrong, and what to do.

    Parameters
    ----------
    error : typer.exceptions.TyperException
    words : sequence of str
        The command line.
    whole : click.Command
        The command with all its verbs.
    """
    command, verb = _command(whole, words)
    param, name = getattr(error, "param", None), type(error).__name__
    if name == "MissingParameter" and param is not None:
        return _missing(param, command, verb)
    if param is not None and (said := _wrong_value(error, param)):
        return f"{said} (`{verb} --help` explains it)"
    if name == "NoSuchOption":
        return f"`{verb}` has no option {error.option_name}{_near(error.option_name, command)} {_help(verb)}"
    message = error.format_message().rstrip(".")
    if name == "BadOptionUsage":
        wants = "takes no value" if "does not take" in message else "needs a value"
        return f"{error.option_name} {wants} {_help(verb)}"
    if "unexpected extra argument" in message:
        extra = one_line(message.rpartition(" (")[2].rstrip(")"), limit=80)
        takes = " and ".join(_flag(p) for p in command.params if p.param_type_name == "argument")
        more = f"{takes} and nothing more" if takes else "options only"
        return f"`{verb}` takes {more}; got also {extra!r}. Put a name with spaces in quotes {_help(verb)}"
    if message.startswith("No such command") and (inner := _inner(message, whole)):
        return f"no such command {inner.rpartition(' ')[2]!r}: did you mean `{inner}`?"
    return f"{message} {_help(verb)}"


def missing_value(words: Sequence[str], whole: Any) -> str:
    """What is wrong where an option stands in the place of another one's value; else ""."""
    command, verb = _command(whole, words)
    options = {n: p for p in command.params for n in (*p.opts, *p.secondary_opts) if n[0] == "-"}
    for option, value in itertools.pairwise(words):
        if option == "--":
            break
        if option in options and not options[option].is_flag and value in options:
            return f"{option} needs a value; got the option {value} {_help(verb)}"
    return ""


def _inner(message: str, whole: Any) -> str:
    """``headstart transfer size`` where the verb of a group was typed without the group; else ""."""
    typed = message.partition("'")[2].partition("'")[0]
    for name, group in getattr(whole, "commands", {}).items():
        if typed in getattr(group, "commands", {}):
            return f"headstart {name} {typed}"
    return ""


def _help(verb: str) -> str:
    return f"(`{verb} --help` lists what there is)"


def _command(whole: Any, words: Sequence[str]) -> tuple[Any, str]:
    """The verb that is meant, and how it is typed."""
    command, typed = whole, ["headstart"]
    for word in words:
        inner = getattr(command, "commands", {}).get(word)
        if inner is None:
            break
        command, typed = inner, [*typed, word]
    return command, " ".join(typed)


def _near(option: str, command: Any) -> str:
    options = [param for param in command.params if param.param_type_name == "option"]
    known = [name for param in options for name in (*param.opts, *param.secondary_opts)]
    bare = {name.lstrip("-"): name for name in known}
    close = [bare[n] for n in difflib.get_close_matches(option.lstrip("-"), bare, n=1, cutoff=0.6)]
    close += [name for name in known if name.startswith(option) and name not in close]
    return f": did you mean {close[0]}?" if close else ""


def _flag(param: Any) -> str:
    """The option as it is typed, ``--seed``; an argument as the help writes it, ``RUN``."""
    if param.param_type_name == "argument":
        return str(param.metavar or str(param.name).upper())
    return str(max(param.opts, key=len))


def _wrong_value(error: Any, param: Any) -> str:
    """``--seed must be a whole number; got 'abc'``; "" of an error of another kind."""
    cause = error.__cause__
    found: dict[str, Any] = next(iter(cause.errors()), {}) if hasattr(cause, "errors") else {}
    kind = str(found.get("type", ""))
    legal = KINDS.get(kind.partition("_")[0], "")
    if kind in BOUNDS:
        bound, form = BOUNDS[kind]
        legal = form.format(found["ctx"][bound])
    given = str(found.get("input")) if kind in BOUNDS else repr(found.get("input"))
    return f"{_flag(param)} must be {legal}; got {given}" if legal else ""


def _missing(param: Any, command: Any, verb: str) -> str:
    """What is to be given; of a run the latest ones, with a command to copy."""
    flag, text = _flag(param), str(param.help or "").rstrip(".")
    text = f"{text[:1].lower()}{text[1:]}"
    if param.name not in ("run", "runs"):
        return f"`{verb}` needs {flag}{f': {text}' if text else ''} {_help(verb)}"
    found = [(run, _kind(run)) for run in _latest()]
    if not found:
        return f"`{verb}` needs {flag}, and runs/ has none yet: `headstart fit photos/` makes one"
    name = verb.rpartition(" ")[2]
    if name in (*OF_IMAGES, *OF_CLASSES):
        legal = ("image",) if name in OF_IMAGES else ("image", "text")
        found = [(run, kind) for run, kind in found if kind in legal]
    if not found:
        wanted = (
            "on images with one class each" if name in OF_IMAGES else "with one class per example"
        )
        return f"`{verb}` needs {flag}, a run {wanted}, and runs/ has none: `headstart fit photos/` makes one"
    found = found[:N_RUNS]
    runs = ", ".join(one_line(run) for run, _ in found)
    run, kind = found[0]
    rest = [
        '"SOME TEXT"' if kind == "text" and name == "similar" else _flag(p)
        for p in command.params
        if p is not param and p.param_type_name == "argument" and p.required
    ]
    if name == "predict":
        rest = ['"SOME TEXT"' if kind == "text" else "IMAGES..."]
    if name == "push":
        rest = ["--repo OWNER/NAME"]
    example = " ".join([verb, shlex.quote(run), *rest])
    return f"`{verb}` needs {flag}: {runs}, the latest first. Such as: {example}"


def _latest() -> list[str]:
    from headstart.runs.folder import latest_runs

    return [run.as_posix() for run in latest_runs()]


class _Targets(msgspec.Struct):
    multi_label: str | None = None
    label_columns: str | None = None
    target_column: str | None = None


class _Backbone(msgspec.Struct):
    kind: str = ""


class _RunFacts(msgspec.Struct):
    """What tells the kind of a run; all of ``run.json`` takes longer to import than a person waits."""

    settings: _Targets
    backbone: _Backbone


def _kind(run: str) -> str:
    """What a run is on: ``image`` or ``text``, with one class each; ``target`` of labels and numbers."""
    from headstart.errors import RunError
    from headstart.runs.folder import read_json

    try:
        made = read_json(Path(run), "run.json", _RunFacts)
    except RunError:
        return ""
    s = made.settings
    targets = (s.multi_label, s.label_columns, s.target_column)
    if any(name is not None for name in targets):
        return "target"
    return made.backbone.kind or "image"
