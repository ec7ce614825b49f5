"""What `import headstart` offers."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import headstart
from headstart.errors import InputError

PUBLIC = {
    "Features",
    "LinearSVM",
    "LinearSVMPath",
    "Run",
    "__version__",
    "compare",
    "errors",
    "extract_features",
    "finetune",
    "fit",
    "list_backbones",
    "load",
    "load_backbone",
    "load_run",
    "pred",
    "predict_imagenet",
    "predict_zero_shot",
    "transfer",
}


def test_package__exports_what_is_listed() -> None:
    assert set(headstart.__all__) == PUBLIC
    assert set(dir(headstart)) == PUBLIC | {"features"}
    for name in headstart.__all__:
        assert getattr(headstart, name) is not None
    assert headstart.load is headstart.load_run
    assert headstart.pred is headstart.predict_imagenet
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        headstart.lod  # noqa: B018


def test_package__features_is_a_module() -> None:
    assert isinstance(headstart.features, ModuleType)
    assert headstart.features.extract_features is headstart.extract_features
    assert not callable(headstart.features)


def test_package__imports_nothing_heavy() -> None:
    code = "import sys, headstart; print([m for m in ('torch', 'timm', 'sklearn') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_fit__shows_every_setting_as_a_parameter() -> None:
    shown = inspect.signature(headstart.fit).parameters
    assert {"data", "out", "seed", "test_size", "resolutions", "backbone", "text"} <= set(shown)
    assert shown["test_size"].default == 0.2
    assert not any(p.kind is p.VAR_KEYWORD for p in shown.values())


def test_fit__an_unknown_parameter_is_answered_with_the_legal_ones() -> None:
    with pytest.raises(InputError, match=r"'resolution' .* Did you mean 'resolutions'.* seed"):
        headstart.fit("photos", resolution=96)


def test_list_backbones__by_part_of_the_name() -> None:
    assert "embedded" in headstart.list_backbones()
    found = headstart.list_backbones("ResNet18")
    assert "resnet18" in found
    assert all("resnet18" in name for name in found)


def test_finetune__shows_every_setting_as_a_parameter() -> None:
    shown = inspect.signature(headstart.finetune).parameters
    assert {"data", "regime", "tap", "lr", "augment", "bn", "split", "backbone"} <= set(shown)
    assert shown["epochs"].default == 6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"learning_rate": 0.1}, "finetune has no parameter 'learning_rate'"),
        ({"regime": "uper"}, "got 'uper'. Did you mean 'upper'"),
        ({"tap": "blocks.1"}, "tap goes with the regimes lower and upper; regime is 'all'"),
        ({"lr": -1.0}, "lr must be a finite rate above 0"),
        ({"precision": "bfloat16"}, "float32 or bf16-mixed; got 'bfloat16'"),
        ({"backbone": ["embedded", "resnet18"]}, "backbone names several: embedded,resnet18"),
    ],
)
def test_finetune__refuses_what_it_does_not_have(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        headstart.finetune("photos/", **given)


def test_finetune__refuses_a_table_of_texts(tmp_path: Path) -> None:
    table = tmp_path / "reviews.csv"
    table.write_text("text,label\n" + "a fine film,good\na poor film,bad\n" * 10)
    with pytest.raises(InputError, match="is a table of texts"):
        headstart.finetune(table)
