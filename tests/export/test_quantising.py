"""ONNX in 8 bits: smaller, described as such, and its loss measured on the test images."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data import read_rgb
from headstart.errors import InputError
from headstart.export import export
from headstart.export.network import Classifier, load_backbones
from headstart.export.quantising import measure_loss
from headstart.runs.retrieval import index_of
from headstart.runs.run import Run

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def test_export__int8_measures_its_loss(run: Run, tmp_path: Path) -> None:
    made = export(run, to="onnx", out=tmp_path / "int8.onnx", n_check=2, precision="int8")
    loss = made.loss
    assert loss is not None
    session = onnxruntime.InferenceSession(made.path)
    facts = json.loads(session.get_modelmeta().custom_metadata_map["headstart"])
    assert facts["precision"] == "int8"
    assert facts["classes"] == list(run.model.classes)
    test = index_of(run).test
    n_right = 0
    for record in test:
        [p] = session.run(None, {"images": np.array(read_rgb(record.path))[None]})
        assert p.sum() == pytest.approx(1, abs=1e-5)
        n_right += facts["classes"][p[0].argmax()] == record.label
    assert loss.n_images == len(test)
    assert loss.accuracy == pytest.approx(n_right / len(test))
    assert loss.difference.value == pytest.approx(loss.accuracy - loss.accuracy_float32)
    assert loss.cpu_time_ratio > 0
    assert loss.sentence in made.card.read_text("utf-8")
    assert made.to_dict()["loss"]["are_test_images"] is True

    graph = onnx.load(made.path).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("DequantizeLinear") >= kinds.count("Conv") > 0
    quantised = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert all({node.input[0], node.input[1]} <= quantised for node in convolutions)
    heads = [n for n in graph.node if any(i.endswith(".coef") for i in n.input)]
    assert heads  # in float32: scores decide by small differences
    constants = [c.SerializeToString() for c in map(_nameless, graph.initializer)]
    assert len(set(constants)) == len(constants)


@pytest.mark.slow
def test_measure_loss__of_groups_speaks_of_new_groups(run: Run, tmp_path: Path) -> None:
    """Two files that are one never differ: what could be told of fewer is less certain."""
    path = export(run, to="onnx", out=tmp_path / "float32.onnx", n_check=1).path
    classifier = Classifier(run.model, load_backbones(run.model))
    some = index_of(run).records[:12]
    half = [dataclasses.replace(r, group=str(i // 2)) for i, r in enumerate(some * 2)]
    alone, grouped = (
        measure_loss(
            path, path.read_bytes(), run, classifier, records,
            takes="pictures", are_test_images=True,
        ).difference
        for records in (some * 2, half)
    )  # fmt: skip
    assert alone.value == grouped.value == 0
    assert grouped.high - grouped.low > 1.2 * (alone.high - alone.low)


def _nameless(constant: Any) -> Any:
    copy = onnx.TensorProto()
    copy.CopyFrom(constant)
    copy.name = ""
    return copy


@pytest.mark.parametrize(
    ("to", "precision", "says"),
    [
        ("torchscript", "int8", "take `to='onnx'`, got 'torchscript'"),
        ("onnx", "int4", "must be float32 or int8; got 'int4'"),
    ],
)
def test_export__precision_that_a_format_lacks(
    run: Run, tmp_path: Path, to: str, precision: str, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        export(run, to=to, precision=precision, out=tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_export__int8_has_no_outputs_of_caution(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"refuse_below.* measured in float32"):
        export(run, precision="int8", refuse_below=0.5, out=tmp_path / "x.onnx")
