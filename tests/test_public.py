"""What `import headstart` offers."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import ModuleType

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
