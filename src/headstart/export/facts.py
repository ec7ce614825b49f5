"""The description in an exported file."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

import headstart
from headstart.backbones import Preprocessing
from headstart.backbones.listed import base_name
from headstart.data.targets import Kind
from headstart.errors import require_choice
from headstart.home import expand
from headstart.runs.provenance import networks_of
from headstart.sources.saved import SavedBackbone

if TYPE_CHECKING:
    from headstart.export.network import Classifier
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


def source_of(network: SavedBackbone) -> str:
    """Origin of a pretrained network's weights; for a local file only its name."""
    return re.sub(r"^file .*[/\\]", "file ", network.source)


def portable_name(name: str) -> str:
    """A sentence encoder or word vectors: a name on a hub, or the last part of a path."""
    is_on_hub = name.count("/") == 1 and all(name.split("/")) and not expand(name).exists()
    return name if is_on_hub else PurePath(name).name


class Port(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An input or output of an exported file."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]  # a name stands for any number
    preprocessing: Preprocessing | None = None  # of an input that takes prepared images


class CautionFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When an exported file does not answer: what was asked for, and the thresholds that follow."""

    refuse_below: float | None = None
    target_accuracy: float | None = None
    label_sets: float | None = None
    novelty: float | None = None
    answer_from: float | None = None  # least probability of the predicted class
    set_from: float | None = None  # least probability of a class of a label set


class ExportFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The description in an exported file, JSON under the key ``headstart``."""

    schema: int
    headstart: str  # version of the package
    classes: tuple[str, ...]
    target: Kind = "classes"
    thresholds: tuple[float, ...] = ()  # of labels: each is given where its probability reaches it
    half_width: float | None = None  # of a number: half of the width of its interval
    inputs: tuple[Port, ...]
    output: Port
    more_outputs: tuple[Port, ...] = ()
    # Where confusions have costs, the class with the smallest of probabilities @ costs is predicted.
    costs: tuple[tuple[float, ...], ...] | None = None
    caution: CautionFacts | None = None
    precision: str = ""  # {"", "int8"}
    sentence: str  # how good the run is
    backbone: SavedBackbone
    backbones: tuple[SavedBackbone, ...] = ()  # all, where there are several
    weights_digest: str
    is_finetuned: bool
    data_digest: str

    @property
    def outputs(self) -> tuple[Port, ...]:
        """Every output, in order."""
        return (self.output, *self.more_outputs)


def _portable(net: SavedBackbone) -> SavedBackbone:
    return SavedBackbone(
        name=base_name(net.name),
        arch=base_name(net.arch),
        licence=net.licence,
        digest=net.digest,
        source=source_of(net),
    )


def facts_of(run: Run, classifier: Classifier, takes: str) -> ExportFacts:
    """Classes, inputs, output and origin."""
    model = run.model
    first, *others = map(_portable, networks_of(run))
    if takes == "pictures":
        pixels: tuple[int | str, ...] = ("n", "height", "width", 3)
        inputs = [Port(name="images", dtype="uint8", shape=pixels)]
    else:
        inputs = [
            Port(
                name=name,
                dtype="float32",
                shape=("n", 3, view.size_px, view.size_px),
                preprocessing=view,
            )
            for name, view in zip(classifier.inputs, classifier.views, strict=True)
        ]
    is_number = model.target == "numbers"
    output, dtype = (OUTPUT_OF_NUMBERS, "float64") if is_number else (OUTPUT, "float32")
    return ExportFacts(
        schema=SCHEMA,
        headstart=headstart.__version__,
        classes=model.classes,
        target=model.target,
        thresholds=model.thresholds,
        half_width=model.half_width,
        inputs=tuple(inputs),
        output=Port(name=output, dtype=dtype, shape=("n", len(model.classes))),
        costs=model.costs,
        sentence=run.sentence,
        backbone=first,
        backbones=(first, *others) if others else (),
        weights_digest=model.backbone.digest,
        is_finetuned=model.is_finetuned,
        data_digest=run.provenance.data.digest,
    )


def size_of_file(n_bytes: int) -> str:
    """``"13.2 MiB"``, or of a small file ``"12.3 KiB"``."""
    unit, name = (2**20, "MiB") if n_bytes >= 2**20 else (2**10, "KiB")
    return f"{n_bytes / unit:.1f} {name}"
