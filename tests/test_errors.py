from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch

from headstart.cli.app import run
from headstart.cli.flags import as_flag, known_flags
from headstart.errors import (
    HeadstartError,
    InputError,
    argument,
    did_you_mean,
    explain_full_memory,
    require_choice,
    worded,
)
from headstart.web.answers import as_field

SOURCE = Path(__file__).resolve().parents[1] / "src" / "headstart"
FACES = {"cli", "web", "serve"}
FLAG = re.compile(r"--[a-z][a-z-]+( .*)?", re.DOTALL)


def test_worded__shows_arguments_as_each_face_writes_them() -> None:
    text = (
        f"{argument('test_size')} must be between 0 and 1; got 2: leave it out, or add "
        f"{argument('force', True)} and {argument('finetune', False)}, or take "
        f"{argument('backbone', 'embedded')} and {argument('n_folds')}"
    )
    assert text == (
        "`test_size` must be between 0 and 1; got 2: leave it out, or add `force=True` and "
        "`finetune=False`, or take `backbone='embedded'` and `n_folds`"
    )
    assert worded(text, as_flag) == (
        "--test-size must be between 0 and 1; got 2: leave it out, or add --force and "
        "--no-finetune, or take --backbone embedded and --folds"
    )
    assert worded(text, as_field).startswith("“Share held out for the test” must be between")


@pytest.mark.parametrize(
    "text",
    ["", "--x", "100 % = 1", "a{b}c", "`my file`", "`headstart export RUN --to onnx`", "`zzz`"],
)
def test_worded__leaves_other_text_alone(text: str) -> None:
    assert worded(text, as_flag) == text == worded(text, as_field)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fit", "x", "--test-size", "2"], "--test-size must be between 0 and 1; got 2"),
        (["fit", "x", "--folds", "1"], "--folds must be at least 2; got 1"),
        (["kernels", "x.jpg", "--kernel", "[[1, 2]]"], "--kernel must be square"),
    ],
)
def test_command__names_the_flag_where_the_library_names_the_parameter(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("legal", "value", "said"),
    [
        (["onnx"], "pb", "`to` must be onnx; got 'pb'"),
        (["onnx", "pt2"], "pb", "`to` must be onnx or pt2; got 'pb'"),
        (["text", "markdown", "html"], "latex", "`to` must be text, markdown or html; got 'latex'"),
        (["text", "html"], "txt", "`to` must be text or html; got 'txt'. Did you mean 'text'?"),
    ],
)
def test_require_choice__names_the_values_and_near_ones_only(
    legal: list[str], value: str, said: str
) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        require_choice("to", value, legal)


def named_arguments() -> set[str]:
    """Every parameter that an error of the package names."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "argument":
                [first, *_] = node.args
                if isinstance(first, ast.Constant):
                    found.add(str(first.value))
    return found


def test_did_you_mean__a_whole_part_of_a_name_comes_before_names_that_are_spelled_alike() -> None:
    known = ["embedded", "embedded:lite1", "lite", "lite10", "runs/lite1"]
    assert did_you_mean("lite1", known) == " Did you mean 'runs/lite1' or 'embedded:lite1'?"
    assert "embedded:lite1" in did_you_mean("Lite1", known)
    assert did_you_mean("embeded", known[:1]) == " Did you mean 'embedded'?"
    assert did_you_mean("", ["a::b"]) == did_you_mean("nothing like it", known) == ""


def test_argument__every_name_is_an_option_of_the_command() -> None:
    assert len(named_arguments()) > 40
    assert {n for n in named_arguments() if as_flag(n, None) not in known_flags()} == set()


def test_library__names_no_flag_in_a_text() -> None:
    """Flag names exist in the faces only; commands of other programs are quoted with backticks."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        room = path.relative_to(SOURCE).parts[0]
        # The command that repeats a run is one of the facts that a run folder keeps; an exported program
        # has a command line of its own.
        if room in FACES or path.name in ("provenance.py", "text_program.py"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant):
                continue
            text = node.value
            if isinstance(text, str) and FLAG.fullmatch(text) and id(node) not in documented:
                found.append(f"{path.relative_to(SOURCE)}:{node.lineno}: {text[:40]}")
    assert found == []


def test_explain_full_memory__says_what_to_do() -> None:
    with (
        pytest.raises(HeadstartError, match=r"^the memory of cuda:1 is full: .*`device='cpu'`$"),
        explain_full_memory("cuda:1"),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has...")
    with pytest.raises(RuntimeError, match="shapes"), explain_full_memory("cuda"):
        raise RuntimeError("shapes differ")
