"""What holds of every verb: examples in its help, `--json`, 80 columns, no colour where none is wanted."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from headstart.cli.app import PANELS, _register, app

ESCAPE = "\x1b"
START = [sys.executable, "-c", "from headstart.cli import main; main()"]


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from walk(inner, (*path, name))
    else:
        yield path, command


def options_of(command: Any) -> set[str]:
    return {option for p in command.params for option in p.opts}


_register()
VERBS = dict(walk(typer.main.get_command(app)))
NAMES = [" ".join(path) for path in VERBS]


def test_verbs__are_found() -> None:
    assert len(VERBS) > 25
    assert {"fit", "transfer profile", "lab dropout"} <= set(NAMES)


@pytest.mark.parametrize("path", VERBS, ids=NAMES)
def test_help__has_an_example_that_names_the_verb_and_its_own_options(
    path: tuple[str, ...],
) -> None:
    command = VERBS[path]
    help_text = command.help or ""
    _, colon, examples = help_text.partition("Example")
    assert colon, "no example"
    start = "headstart " + " ".join(path)
    lines = [line.strip() for line in examples.splitlines() if line.strip().startswith(start)]
    assert lines
    options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
    used = set(re.findall(r"(?<!\S)--[a-z0-9-]+", " ".join(lines)))
    assert used <= options


@pytest.mark.parametrize(
    "name",
    [name for name, c in zip(NAMES, VERBS.values(), strict=True) if "--device" in options_of(c)],
)
def test_device__is_checked_before_data_are_read(
    fails: Callable[..., str],
    finished: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    data, run = finished
    image = next(data.rglob("*.png"))
    given = {"run": run, "image": image, "images": image, "data": data, "unlabelled": data}
    words = [given[p.name] for p in VERBS[tuple(name.split())].params if p.required]
    if name == "transfer shift":
        words.append(data)  # a target, which --corrupt would make
    said = fails(*name.split(), *words, "--device", "warp9")
    assert said == "headstart: --device must be auto, cpu, cuda, cuda:N or mps; got 'warp9'"
    assert not (tmp_path / "cache" / "images").exists()


@pytest.mark.parametrize("path", VERBS, ids=NAMES)
def test_verb__has_json(path: tuple[str, ...]) -> None:
    assert "--json" in options_of(VERBS[path])


@pytest.mark.parametrize("path", VERBS, ids=NAMES)
def test_help__fits_eighty_columns(
    path: tuple[str, ...], headstart: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = headstart(*path, "--help")
    assert said.code == 0
    assert said.err == ""
    assert max(map(len, said.out.splitlines())) <= 80


@pytest.mark.parametrize("path", VERBS, ids=NAMES)
def test_bad_option__is_one_line_and_one_json_object(
    path: tuple[str, ...], headstart: Callable[..., Any]
) -> None:
    said = headstart(*path, "--no-such-option", "--json")
    assert said.code == 2
    assert len(said.err.strip().splitlines()) == 1
    assert json.loads(said.out)["exit_code"] == 2


def test_help__has_every_verb_in_a_panel_on_one_line(
    headstart: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = headstart("--help")
    lines = said.out.splitlines()
    first = {path[0] for path in VERBS}
    assert {verb for verbs in PANELS.values() for verb in verbs} == first
    places = [next(i for i, line in enumerate(lines) if f"─ {p} ─" in line) for p in PANELS]
    assert places == sorted(places)
    for (panel, verbs), start in zip(PANELS.items(), places, strict=True):
        shown = [line.split()[1] for line in lines[start + 1 : start + 1 + len(verbs)]]
        assert set(shown) == set(verbs), panel
        assert lines[start + 1 + len(verbs)].startswith("╰"), panel


def test_help__a_switch_takes_no_value(headstart: Callable[..., Any]) -> None:
    said = headstart("fit", "--help")
    assert "<bool>" not in said.out
    assert "-h" in said.out


@pytest.mark.parametrize(
    ("words", "hints"),
    [
        (("fti", "x"), ("fit", "`headstart --help`")),
        (("transfer", "shfit"), ("shift", "`headstart transfer --help`")),
        (("fit", "x", "--bugdet", "3m"), ("--budget", "`headstart fit --help`")),
        (("lab", "dropout", "--sede", "1"), ("--seed", "`headstart lab dropout --help`")),
    ],
)
def test_mistyped__is_answered_with_what_was_meant(
    words: tuple[str, ...], hints: tuple[str, str], fails: Callable[..., str]
) -> None:
    said = fails(*words)
    assert all(hint in said for hint in hints)


@pytest.mark.skipif(os.name != "posix", reason="no pseudo-terminals")
@pytest.mark.parametrize("wanted", [True, False])
def test_terminal__has_colours_unless_no_color(wanted: bool) -> None:
    """On a pseudo-terminal, as a person sees it."""
    import pty

    master, slave = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    env.pop("NO_COLOR", None)
    done = subprocess.Popen(
        [*START, "fit", "--help"], stdout=slave, stderr=slave, stdin=subprocess.DEVNULL,
        env=env if wanted else env | {"NO_COLOR": "1"},
    )  # fmt: skip
    os.close(slave)
    written = b""
    with contextlib.suppress(OSError):  # Linux says so where the other end is closed
        while data := os.read(master, 65536):
            written += data
    os.close(master)
    assert done.wait() == 0
    assert b"--budget" in written
    assert bool(re.search(rb"\x1b\[[\d;]*3[0-7]", written)) == wanted


def test_piped__has_no_escape_codes() -> None:
    done = subprocess.run(
        [*START, "backbones"], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert ESCAPE not in done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("headstart tra", "transfer"),
        ("headstart transfer pro", "profile"),
        ("headstart fit --bud", "--budget"),
    ],
)
def test_completion__in_bash(words: str, expected: str) -> None:
    env = {
        **os.environ,
        "_HEADSTART_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(START, capture_output=True, text=True, check=True, env=env)
    assert expected in done.stdout.split()
