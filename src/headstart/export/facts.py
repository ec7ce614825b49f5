"""The description in an exported file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, get_args

import headstart
from headstart.backbones.listed import base_name
from headstart.errors import require_choice
from headstart.home import expand
from headstart.runs.provenance import networks_of

if TYPE_CHECKING:
    from headstart.export.network import Classifier
    from headstart.runs.model import Model
    from headstart.runs.run import Run

SCHEMA = 1
Takes = Literal["pictures", "tensors"]
SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt", "safetensors": ".safetensors"}
# Of a model that predicts a number, the number.
OUTPUT, OUTPUT_OF_NUMBERS = "probabilities", "value"


def check_choices(to: str, takes: str) -> None:
    """Raise InputError for an unknown format or input."""
    require_choice("to", to, SUFFIXES)
    require_choice("takes", takes, get_args(Takes))


def source_of(network: Mapping[str, Any]) -> str:
    """Origin of a pretrained network's weights; for a local file only its name."""
    return re.sub(r"^file .*[/\\]", "file ", str(network["source"]))


def portable_name(name: str) -> str:
    """A sentence encoder or word vectors: a name on a hub, or the last part of a path."""
    is_on_hub = name.count("/") == 1 and all(name.split("/")) and not expand(name).exists()
    return name if is_on_hub else PurePath(name).name


def _network(net: Mapping[str, Any]) -> dict[str, Any]:
    names = {key: base_name(str(net[key])) for key in ("name", "arch")}
    return {**names, "licence": net["licence"], "digest": net["digest"], "source": source_of(net)}


def _target_facts(model: Model) -> dict[str, Any]:
    """Of labels or a number: which, the thresholds of labels, half of the width of a number's interval."""
    if model.target == "classes":
        return {}
    if model.target == "numbers":
        return {"target": model.target, "half_width": model.half_width}
    return {"target": model.target, "thresholds": list(model.thresholds)}


def outputs_of(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The description of every output, in order."""
    return [facts["output"], *facts.get("more_outputs", ())]


def facts_of(run: Run, classifier: Classifier, takes: str) -> dict[str, Any]:
    """Classes, inputs, output and origin, JSON-able."""
    settings = run.settings
    first, *others = [_network(net) for net in networks_of(settings, run.model)]
    if takes == "pictures":
        shape = ["n", "height", "width", 3]
        inputs: list[dict[str, Any]] = [{"name": "images", "dtype": "uint8", "shape": shape}]
    else:
        inputs = [
            {
                "name": name,
                "dtype": "float32",
                "shape": ["n", 3, view.size_px, view.size_px],
                "preprocessing": view.to_dict(),
            }
            for name, view in zip(classifier.inputs, classifier.views, strict=True)
        ]
    is_number = run.model.target == "numbers"
    output, dtype = (OUTPUT_OF_NUMBERS, "float64") if is_number else (OUTPUT, "float32")
    return {
        "schema": SCHEMA,
        "headstart": headstart.__version__,
        "classes": list(run.model.classes),
        **_target_facts(run.model),
        "inputs": inputs,
        "output": {"name": output, "dtype": dtype, "shape": ["n", len(run.model.classes)]},
        # Where confusions have costs, the class with the smallest of probabilities @ costs is predicted.
        **({} if run.model.costs is None else {"costs": run.model.costs}),
        "sentence": run.sentence,
        "backbone": first,
        **({"backbones": [first, *others]} if others else {}),
        "weights_digest": run.model.backbone["digest"],
        "is_finetuned": run.model.is_finetuned,
        "data_digest": settings["data"]["digest"],
    }


def size_of_file(n_bytes: int) -> str:
    """``"13.2 MiB"``, or of a small file ``"12.3 KiB"``."""
    unit, name = (2**20, "MiB") if n_bytes >= 2**20 else (2**10, "KiB")
    return f"{n_bytes / unit:.1f} {name}"
