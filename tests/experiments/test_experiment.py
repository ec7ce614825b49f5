"""What is derived from an experiment's settings, and that every experiment has all its parts."""

from __future__ import annotations

import importlib.util
import inspect
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import headstart
from headstart.backbones import Backbone
from headstart.errors import DataError, InputError
from headstart.experiments.experiment import (
    EXPERIMENTS,
    TRANSFER,
    Experiment,
    Inputs,
    result_types,
)
from headstart.experiments.settings import options

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "docs" / "results.schema.json"
_spec = importlib.util.spec_from_file_location("schema", ROOT / "tools" / "schema.py")
assert _spec is not None
assert _spec.loader is not None
schema = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(schema)


@pytest.mark.parametrize("name", TRANSFER)
def test_experiment__is_a_folder_with_settings_measurement_result_and_page(name: str) -> None:
    experiment = Experiment(name)
    assert f"headstart transfer {name}" in (experiment.settings.__doc__ or "")
    assert all(option.help for option in options(experiment.settings))
    for part in ("title", "sentence", "detail", "sections", "brief"):
        assert callable(getattr(experiment.page, part))
    assert importlib.util.find_spec(f"headstart.experiments.{name}.measure")


@pytest.mark.parametrize("name", TRANSFER)
def test_function__has_the_settings_as_keyword_parameters(name: str) -> None:
    run = getattr(headstart.transfer, name)
    shown = inspect.signature(run).parameters
    asked = {f.name for f in fields(Experiment(name).settings)}
    assert set(shown) == asked | {"cache", "progress"}
    assert all(f"{option} : " in run.__doc__ for option in asked)
    assert "headstart transfer" not in run.__doc__


@pytest.mark.parametrize(("name", "given"), [("profile", "backbone"), ("backbones", "backbones")])
def test_inputs__networks_have_the_crop_that_was_asked_for(
    name: str, given: str, tiny: Backbone
) -> None:
    settings = Experiment(name).settings(data="photos", crop="squash")  # type: ignore[call-arg]
    inputs = Inputs(settings=settings, given={given: tiny if given == "backbone" else [tiny]})
    [net] = [inputs.backbone()] if given == "backbone" else inputs.backbones()
    assert (tiny.preprocessing.crop_mode, net.preprocessing.crop_mode) == ("center", "squash")


def test_function__refuses_unknown_parameters() -> None:
    with pytest.raises(InputError, match=r"no parameter 'mroe'\. Did you mean 'more'"):
        headstart.transfer.size("x", mroe=1)
    with pytest.raises(TypeError, match="positional"):
        headstart.transfer.size("x", 1)


def test_call__data_that_are_not_there_are_refused_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Experiment, "run", lambda *_: pytest.fail("it began"))
    with pytest.raises(DataError, match="nope"):
        headstart.transfer.size("nope")


def test_transfer__an_unknown_name_says_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'unknown'"):
        _ = headstart.transfer.unknown


def test_transfer__importing_it_does_not_import_torch() -> None:
    code = "import sys, headstart; headstart.transfer.size; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_result_types__each_has_the_name_of_its_folder_and_the_schema_in_the_docs_is_theirs() -> (
    None
):
    kinds = result_types()
    assert {str(kind.__struct_config__.tag) for kind in kinds} == set(EXPERIMENTS)
    written = json.loads(SCHEMA.read_text("utf-8"))
    assert written == json.loads(json.dumps(schema.schema())), "run tools/schema.py"


def test_schema__describes_each_field_of_a_result_by_itself() -> None:
    for name, definition in json.loads(SCHEMA.read_text("utf-8"))["$defs"].items():
        said = [p.get("description", "") for p in definition.get("properties", {}).values()]
        own = [text for text in said if text and not text.startswith("as in ")]
        assert len(set(own)) == len(own), name
