"""Runs on several labels per image, and on a number, as one file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

import headstart
from headstart.export import FromPictures, export, open_classifier
from headstart.export.network import Classifier, load_backbones
from headstart.runs.run import Run
from headstart.runs.settings import FitSettings


@pytest.fixture(scope="module")
def table(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photographs with the labels red and light, and how light they are."""
    rows = ["image,is_red,is_light,light"]
    rng = np.random.default_rng(0)
    for path in sorted(photos.glob("*/*.png")):
        light = np.array(Image.open(path)).mean() + rng.normal(0, 2)
        rows.append(f"{path},{int(rng.random() < 0.4)},{int(light > 130)},{light:.2f}")
    file = tmp_path_factory.mktemp("table") / "photos.csv"
    file.write_text("\n".join(rows), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def labels(table: Path, run: Run, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fitted(table, run, store, tmp_path_factory, label_columns="is_*")


@pytest.fixture(scope="module")
def number(table: Path, run: Run, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fitted(table, run, store, tmp_path_factory, target_column="light")


def fitted(
    table: Path, run: Run, store: Path, factory: pytest.TempPathFactory, **targets: Any
) -> Run:
    """With the network of the run on classes."""
    kept = run.settings
    assert isinstance(kept, FitSettings)
    return headstart.fit(
        table, out=factory.mktemp("runs") / "targets", cache=store, weights=kept.weights,
        arch=kept.arch, resolutions=(64,), n_folds=3, precision="float32", **targets,
    )  # fmt: skip


@pytest.mark.slow
def test_onnx__has_a_probability_for_each_label(
    labels: Run, photos: Path, store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "labels.onnx"
    made = export(labels, out=out, images=photos, n_check=4, cache=store)
    assert "gives the labels of PyTorch for 4 of 4 images" in made.check.sentence
    session = onnxruntime.InferenceSession(out)
    facts = json.loads(session.get_modelmeta().custom_metadata_map["headstart"])
    assert facts["target"] == "labels"
    assert facts["thresholds"] == list(labels.model.thresholds)
    picture = sorted(photos.glob("*/0.png"))[0]
    [P] = session.run(None, {"images": np.array(Image.open(picture))[None]})
    [expected] = labels.predict(picture)
    for label, probability in expected.top:
        assert P[0, facts["classes"].index(label)] == pytest.approx(probability, abs=0.03)
    assert "average precision" in made.card.read_text(encoding="utf-8")


def test_classifier__keeps_the_digits_of_a_number_with_an_offset(number: Run) -> None:
    offset, networks = 20_240_115.25, load_backbones(number.model)
    moved = dataclasses.replace(number.model, intercept=number.model.intercept + offset)
    rng = np.random.default_rng(0)
    X = torch.from_numpy(rng.random((3, number.model.coef.shape[1]), dtype=np.float32))
    values = [Classifier(m, networks).probabilities([X]) for m in (number.model, moved)]
    assert values[1].dtype == torch.float64
    torch.testing.assert_close(values[1] - offset, values[0], atol=1e-6, rtol=0)


@pytest.mark.slow
def test_onnx__gives_a_number_in_whole_detail(
    number: Run, photos: Path, store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "number.onnx"
    made = export(number, out=out, images=photos, n_check=2, cache=store)
    assert made.facts.output.dtype == "float64"
    picture = sorted(photos.glob("*/0.png"))[0]
    [value] = onnxruntime.InferenceSession(out).run(
        None, {"images": np.array(Image.open(picture))[None]}
    )
    own = FromPictures(Classifier(number.model, load_backbones(number.model)))
    with torch.inference_mode():
        expected = own(torch.from_numpy(np.array(Image.open(picture)))[None])
    assert value.dtype == np.float64
    assert float(value[0, 0]) == pytest.approx(float(expected[0, 0]), rel=1e-3)


def test_safetensors__opens_as_what_it_was(
    labels: Run, number: Run, photos: Path, store: Path, tmp_path: Path
) -> None:
    picture = torch.from_numpy(np.array(Image.open(sorted(photos.glob("*/0.png"))[0])))[None]
    for output, run in (("probabilities", labels), ("value", number)):
        out = tmp_path / f"{output}.safetensors"
        made = export(
            run, to="safetensors", takes="tensors", out=out, images=photos, n_check=2, cache=store
        )
        assert made.facts.output.name == output
        again = FromPictures(open_classifier(out))
        own = FromPictures(Classifier(run.model, load_backbones(run.model)))
        with torch.inference_mode():
            torch.testing.assert_close(again(picture), own(picture))
            found = float(again(picture).flatten()[0])
    half_width, [expected] = (
        number.model.half_width,
        number.predict(sorted(photos.glob("*/0.png"))[0]),
    )
    assert half_width is not None
    assert found == pytest.approx(expected.value, abs=half_width / 20)  # type: ignore[attr-defined]
