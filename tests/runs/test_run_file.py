"""The files of a run as types: what is written, what is tolerated, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import headstart
from headstart.errors import RunError
from headstart.results import json_schema
from headstart.runs.heldout import HeldOutFile
from headstart.runs.model_file import ModelFile
from headstart.runs.run import Run
from headstart.runs.run_file import ImageRunFile
from headstart.runs.settings import FitSettings, Settings

FILES: dict[str, type[msgspec.Struct]] = {
    "run.json": ImageRunFile,
    "model/model.json": ModelFile,
    "model/reliability.json": HeldOutFile,
}


@pytest.fixture
def changed(
    run: Run, tmp_path: Path, older: Callable[[Path], Path]
) -> Callable[[str, Callable[[Any], object]], Path]:
    """``changed(name, change)``: a copy of the run, with one of its JSON files changed."""
    copy = older(Path(shutil.copytree(run.folder, tmp_path / "run")))

    def make(name: str, change: Callable[[Any], object]) -> Path:
        facts = json.loads((copy / name).read_text("utf-8"))
        change(facts)
        (copy / name).write_text(json.dumps(facts), "utf-8")
        return copy

    return make


@pytest.mark.parametrize("name", FILES)
def test_json_schema__holds_for_the_files_of_a_run(run: Run, name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    facts = json.loads((run.folder / name).read_text("utf-8"))
    jsonschema.validate(facts, json_schema(FILES[name]))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**facts, "schema": "one"}, json_schema(FILES[name]))


def test_run__holds_its_settings_and_where_it_comes_from(run: Run, shapes: Path) -> None:
    assert isinstance(run.settings, FitSettings)
    assert run.settings.data == run.provenance.data.path == str(shapes)
    assert run.provenance.headstart == headstart.__version__
    assert run.provenance.backbone.digest == run.model.backbone.digest


@pytest.mark.parametrize("name", FILES)
def test_load__fields_of_a_newer_version_are_passed_over(
    run: Run, changed: Callable[..., Path], name: str
) -> None:
    def add(facts: Any) -> None:
        facts["novel"] = {"a": [1, None]}
        facts.get("backbone", facts)["novel"] = 1.5
        facts.get("settings", facts)["novel"] = "x"

    assert headstart.load(changed(name, add)).sentence == run.sentence


def test_load__settings_that_an_older_version_did_not_have_take_their_defaults(
    changed: Callable[..., Path],
) -> None:
    usual: Settings = FitSettings(data="x")

    def remove(facts: Any) -> None:
        facts["settings"] = {"data": "x", "backbone": "embedded"}
        for name in ("features", "machine", "training", "backbones"):
            del facts[name]

    assert headstart.load(changed("run.json", remove)).settings == usual


def test_load__numbers_of_another_kind_in_older_settings(changed: Callable[..., Path]) -> None:
    folder = changed("run.json", lambda f: f["settings"].update(finetune=1, n_folds=5.0))
    settings = headstart.load(folder).settings
    assert (settings.finetune, settings.n_folds) == (True, 5)
    assert type(settings.finetune) is bool


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("run.json", lambda f: f["backbone"].update(kind="text"), "another kind of examples"),
        ("run.json", lambda f: f["settings"].update(n_folds=1), "n_folds.* must be at least 2"),
        ("run.json", lambda f: f.pop("backbone"), "missing required field `backbone`"),
        ("model/model.json", lambda f: f["backbone"]["preprocessing"].update(blur=1), "blur"),
        ("model/model.json", lambda f: f["backbone"]["preprocessing"].update(size_px=0), "size_px"),
        ("model/model.json", lambda f: f["backbone"]["preprocessing"].update(mean=[1]), "mean"),
        ("model/model.json", lambda f: f["backbone"].update(taps=[["a", "b", "c"]]), "taps"),
        ("model/model.json", lambda f: f.update(target="labels"), "0 thresholds of 2 labels"),
        ("model/model.json", lambda f: f.update(half_width=-1), "half_width"),
        ("model/model.json", lambda f: f.update(taps=[]), "taps"),
        ("model/model.json", lambda f: f.update(resolutions_px=[], only=[]), "0 resolutions"),
        ("model/model.json", lambda f: f.update(classes=["a", "a"]), "a class is named twice"),
        ("model/model.json", lambda f: f.update(has_partner=True), "it has no partner"),
        (
            "model/model.json",
            lambda f: f.update(target="labels", thresholds=[0.5, 0.5]),
            "something else than its metrics",
        ),
        ("model/model.json", lambda f: f.update(normalize="l3"), "normalize"),
        ("model/reliability.json", lambda f: f.update(names="all"), "names"),
    ],
)
def test_load__a_file_of_another_form_is_one_line(
    changed: Callable[..., Path], name: str, change: Callable[[Any], object], said: str
) -> None:
    with pytest.raises(RunError, match=said) as caught:
        _ = headstart.load(changed(name, change)).held_out
    assert str(caught.value).isprintable()
