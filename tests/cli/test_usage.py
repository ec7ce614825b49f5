"""Wrong command lines: the option, the value, what it may be; and which runs there are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RUN_VERBS = [
    ("predict",), ("report",), ("similar",), ("clean",), ("label-next",), ("map",), ("slices",),
    ("export",), ("push",), ("serve",),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fit", "x", "--seed", "abc"), "--seed must be a whole number; got 'abc'"),
        (("fit", "x", "--seed", "1.5"), "--seed must be a whole number; got '1.5'"),
        (("fit", "x", "--test-size", "x"), "--test-size must be a number; got 'x'"),
        (("finetune", "x", "--epochs", "0"), "--epochs must be 1 or more; got 0"),
        (("similar", "r", "i", "--k", "1000"), "--k must be 100 or less; got 1000"),
        (("fit", "x", "--seed"), "--seed needs a value (`headstart fit --help`"),
        (
            ("fit", "x", "--multi-label", "--force"),
            "--multi-label needs a value; got the option --force",
        ),
        (("fit", "x", "--force=1"), "--force takes no value"),
        (("fit", "x", "--backbne", "y"), "has no option --backbne: did you mean --backbone?"),
        (("fit", "x", "--dat", "y"), "has no option --dat (`headstart fit --help`"),
        (("fit", "my", "photos"), "`headstart fit` takes DATA and nothing more; got also 'photos'"),
        (("fit",), "`headstart fit` needs DATA: folder of class folders"),
        (("transfer", "size"), "`headstart transfer size` needs DATA"),
        (("size", "runs/x"), "did you mean `headstart transfer size`?"),
        (("similarity", "runs/x"), "did you mean `headstart transfer similarity`?"),
        (("fit", "x", "--budget", "10"), "--budget needs a unit, such as 10s or 10m; got '10'"),
        (
            ("fit", "x", "--C", "0"),
            "--C must be one or more numbers above 0, at most 1,000,000,000; got 0.0",
        ),
        (("fit", "x", "--prefer", "y"), "--prefer must be accurate, single or cheap; got 'y'"),
        (("fit", "x", "--metric", "acuracy"), "got 'acuracy'. Did you mean 'accuracy'"),
        (("finetune", "x", "--bn", "y"), "--bn must be source"),
        (("describe", "embedded", "--format", "y"), "--format must be text"),
    ],
)
def test_usage__is_one_line_in_our_words(
    fails: Callable[..., str], words: tuple[str, ...], said: str
) -> None:
    line = fails(*words)
    assert said in line
    assert "Input should" not in line
    assert "Invalid value" not in line


TEXTS = {"backbone": {"kind": "text", "name": "Linear SVM on TF-IDF"}, "settings": {}}
LABELS = {"backbone": {"name": "embedded"}, "settings": {"label_columns": "is_*"}}
IMAGES = {"backbone": {"name": "embedded"}, "settings": {"multi_label": None}}


def _write_run(name: str, made: dict[str, Any], age_s: int) -> None:
    file = Path("runs", name, "run.json")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"schema": 1, **made}))
    os.utime(file, (1_700_000_000 - age_s, 1_700_000_000 - age_s))


@pytest.mark.parametrize("verb", RUN_VERBS)
def test_usage__without_a_run_the_latest_are_named_with_a_command_to_copy(
    fails: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "runs/ has none yet" in fails(*verb)
    for age, name in enumerate(["newest one", "b", "c", "d", "e", "oldest"]):
        _write_run(name, IMAGES, age)
    line = fails(*verb)
    assert "oldest" not in line
    assert line.index("runs/newest one, runs/b") < line.index("runs/e")
    assert f"Such as: headstart {verb[0]} 'runs/newest one'" in line


def test_usage__suggests_a_run_of_the_kind_that_the_verb_takes(
    fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _write_run("reviews", TEXTS, 0)
    _write_run("labels", LABELS, 1)
    assert "runs/ has none" in fails("map")
    _write_run("photos", IMAGES, 2)
    for verb in ("clean", "label-next", "map", "slices"):
        assert "needs RUN: runs/photos, the latest first" in fails(verb)
    assert fails("predict").endswith('headstart predict runs/reviews "SOME TEXT"')
    assert fails("similar").endswith('headstart similar runs/reviews "SOME TEXT"')
    assert fails("push").endswith("headstart push runs/reviews --repo OWNER/NAME")
    assert "runs/labels" in fails("export")
    assert "runs/labels" not in fails("push")
    os.utime("runs/photos/run.json")
    assert fails("predict").endswith("headstart predict runs/photos IMAGES...")


def test_usage__a_run_that_is_not_there_names_the_latest(
    fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "flowers").mkdir(parents=True)
    (tmp_path / "runs" / "flowers" / "run.json").write_text("{}")
    assert "The latest runs are 'runs/flowers'" in fails("export", "xyz")
