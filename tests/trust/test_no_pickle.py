"""Nothing that is read can run code: every import and every call of the project is looked at.

`pickle` and what is built on it, ``eval``, shells and guessable temporary names are nowhere, with the
exceptions below, each with its reason. A finding is told by file and line.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("src", "bench", "examples", "tools")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

# Modules that build objects from files, run text, or write temporary files under guessable names.
FORBIDDEN_MODULES = frozenset(
    {
        "_pickle", "cPickle", "cloudpickle", "code", "codeop", "commands", "dbm", "dill", "jsonpickle",
        "joblib", "marshal", "pickle", "pickletools", "ruamel", "shelve", "telnetlib", "xmlrpc", "yaml",
    }
)  # fmt: skip
# Calls by the last parts of their name, whatever the module was imported as.
FORBIDDEN_CALLS = {
    "eval": "runs text", "exec": "runs text", "compile": "runs text", "__import__": "imports by text",
    "os.system": "a shell", "os.popen": "a shell", "subprocess.getoutput": "a shell",
    "subprocess.getstatusoutput": "a shell", "asyncio.create_subprocess_shell": "a shell",
    "tempfile.mktemp": "a name that somebody else may take", "np.fromregex": "reads by pattern",
    "pd.read_pickle": "a pickle", "pandas.read_pickle": "a pickle", "to_pickle": "a pickle",
    "read_pickle": "a pickle", "torch.jit.load": "code", "torch.hub.load": "code from the network",
    "torch.hub.load_state_dict_from_url": "a pickle", "torch.package": "code",
    "shutil.unpack_archive": "an archive unpacked unchecked", "extractall": "an archive unpacked unchecked", "exec_module": "runs a file",
    "pq.read_pickle": "a pickle", "ssl._create_unverified_context": "an unchecked certificate",
}  # fmt: skip
# (file, what is called): why it is not a danger there.
ALLOWED = {
    ("src/headstart/data/archives.py", "extractall"): "after every member was checked",
    ("src/headstart/export/checking.py", "torch.jit.load"): (
        "the bytes that this very export has made a moment ago; no command opens such a file that "
        "somebody else made"
    ),
    ("bench/peers/serve_plain.py", "torch.jit.load"): (
        "the peer loads what the bench has exported a moment ago, as such scripts do"
    ),
    ("tools/figures.py", "exec_module"): "a script of this repository, by a path that is written there",
}  # fmt: skip
# `pickle` is imported for the name of an exception that ``torch.load(weights_only=True)`` raises.
ALLOWED_NAMES = {("src/headstart/backbones/weights.py", "pickle"): {"UnpicklingError"}}


def name_of(node: ast.expr) -> str:
    """``a.b.c`` of an attribute chain; the last names alone where it begins with an expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = name_of(node.value)
        return f"{left}.{node.attr}" if left else node.attr
    return ""


def findings(source: str, file: str) -> Iterator[str]:
    """What is not allowed in a file, with its line."""
    tree = ast.parse(source)
    aliases = dict(_aliases(tree))
    reads_archives = {"zipfile", "tarfile"} & {w for n in ast.walk(tree) for w in _imported(n)}
    for node in ast.walk(tree):
        for what in _imported(node):
            if what.partition(".")[0] in FORBIDDEN_MODULES and (file, what) not in ALLOWED_NAMES:
                yield f"{file}:{getattr(node, 'lineno', 0)}: imports {what}"
        if isinstance(node, ast.Call):
            if reads_archives and name_of(node.func).endswith(".extract"):
                yield f"{file}:{node.lineno}: unpacks a member of an archive"
            yield from (f"{file}:{node.lineno}: {f}" for f in _called(node, aliases, file))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = aliases.get(node.value.id, node.value.id)
            known = ALLOWED_NAMES.get((file, module))
            if known is not None and node.attr not in known:
                yield f"{file}:{node.lineno}: uses {module}.{node.attr}"


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    # importlib.import_module("pickle"), importorskip("dill")
    if isinstance(node, ast.Call) and name_of(node.func).endswith(
        ("import_module", "importorskip")
    ):
        return [str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant)]
    return []


def _aliases(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Local names of imported things: ``from numpy import load as l`` gives ``l: numpy.load``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    yield alias.asname, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _called(node: ast.Call, aliases: dict[str, str], file: str) -> Iterator[str]:
    written = name_of(node.func)
    first, _, rest = written.partition(".")
    full = ".".join(filter(None, (aliases.get(first, first), rest)))
    given = {k.arg: k.value for k in node.keywords}
    is_method = isinstance(node.func, ast.Attribute)
    for what, why in FORBIDDEN_CALLS.items():
        hit = full == what or full.endswith("." + what) if "." in what or not is_method else (
            written.rpartition(".")[2] == what and what not in _BUILTINS
        )  # fmt: skip
        if hit and (file, what) not in ALLOWED:
            yield f"calls {written}: {why}"
    if full in ("numpy.load", "np.load") and not _is(given.get("allow_pickle"), False):
        yield f"calls {written} without allow_pickle=False"
    if full == "torch.load" and not _is(given.get("weights_only"), True):
        yield f"calls {written} without weights_only=True"
    if "shell" in given and not _is(given["shell"], False):
        yield f"calls {written} with a shell"
    if "allow_pickle" in given and not _is(given["allow_pickle"], False):
        yield f"calls {written} with allow_pickle"
    if "trust_remote_code" in given and not _is(given["trust_remote_code"], False):
        yield f"calls {written} with trust_remote_code"
    if _is(given.get("verify"), False):
        yield f"calls {written} without checking certificates"


_BUILTINS = frozenset({"eval", "exec", "compile", "__import__"})


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("folder", FOLDERS)
def test_source__reads_nothing_that_can_run_code(folder: str) -> None:
    files = [p for p in SOURCES if p.is_relative_to(ROOT / folder)]
    assert files
    found = [
        finding
        for path in files
        for finding in findings(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
    ]
    assert found == []


def test_allowed__is_all_needed() -> None:
    """An exception that nothing needs any more would hide the next finding."""
    for (file, what), _ in ALLOWED.items():
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        calls = [name_of(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)]
        assert any(call.endswith(what) for call in calls), (file, what)


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "import cPickle as c", "from pickle import loads", "import joblib",
        "from sklearn.externals import joblib; import dill", "import importlib; importlib.import_module('shelve')",
        "import numpy as np; np.load('a')", "from numpy import load; load('a', allow_pickle=True)",
        "import numpy as n; n.load('a', allow_pickle=x)", "import torch; torch.load('a')",
        "from torch import load as get; get('a', weights_only=False)", "import torch as t; t.jit.load('a')",
        "import yaml; yaml.load('a')", "eval('1')", "exec('1')", "__import__('os')",
        "import os; os.system('ls')", "from os import system as s; s('ls')",
        "import subprocess; subprocess.run('ls', shell=True)", "import tempfile; tempfile.mktemp()",
        "archive.extractall('x')", "import tarfile; a.extract('x')", "import pandas as pd; pd.read_pickle('a')", "frame.to_pickle('a')",
        "import shutil; shutil.unpack_archive('a')", "load(trust_remote_code=True)", "import marshal",
        "requests.get(url, verify=False)",
    ],
)  # fmt: skip
def test_findings__each_of_these_is_found(line: str) -> None:
    assert list(findings(line, "x.py")), line


@pytest.mark.parametrize(
    "line",
    [
        "import numpy as np; np.load('a', allow_pickle=False)", "import re; re.compile('a')", "model.eval()",
        "import torch; torch.load('a', weights_only=True)", "import subprocess; subprocess.run(['ls'])",
        "from headstart.features import extract; extract(1)", "import json; json.load(f)",
    ],
)  # fmt: skip
def test_findings__and_none_of_these(line: str) -> None:
    assert list(findings(line, "x.py")) == []
