from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import headstart
from headstart import fit
from headstart.errors import DataError, RunError, WeightsError
from headstart.runs.run import Run


def test_predict__agrees_with_the_test_of_the_fit(run: Run, shapes: Path) -> None:
    import csv

    with (run.folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    made = run.predict([shapes / row["name"] for row in rows])
    assert [p.label for p in made] == [row["predicted"] for row in rows]
    for p, row in zip(made, rows, strict=True):
        assert p.probability == pytest.approx(float(row[f"p({p.label})"]), abs=1e-3)


def test_predict__probabilities_sum_to_one_and_fall(run: Run, shapes: Path) -> None:
    for p in run.predict(shapes / "bars"):
        if p.error is None:
            values = [v for _, v in p.top]
            assert sum(values) == pytest.approx(1)
            assert values == sorted(values, reverse=True)


def test_predict__a_bad_file_is_reported_and_the_rest_predicted(run: Run, shapes: Path) -> None:
    made = run.predict([shapes / "bars"])
    [bad] = [p for p in made if p.error is not None]
    assert "<script>" in bad.name
    assert bad.label is None
    assert len(made) == 17


def test_predict__takes_one_path_and_patterns(run: Run, shapes: Path) -> None:
    assert len(run.predict(str(shapes / "dots" / "0*.png"))) == 10
    assert len(run.predict(shapes / "dots" / "01.png", top=1)[0].top) == 1


def test_predict__no_such_path_is_one_line(run: Run) -> None:
    with pytest.raises(DataError):
        run.predict("no/such/file.jpg")


def test_load__opens_what_fit_wrote(run: Run, shapes: Path) -> None:
    again = headstart.load(run.folder)
    path = shapes / "dots" / "05.png"
    assert again.predict(path) == run.predict(path)
    assert again.sentence == run.sentence


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("run.json", None, "not a run folder"),
        ("run.json", b"{", "damaged"),
        ("metrics.json", b"[]", "damaged"),
        ("run.json", b'{"schema": 99}', "newer Headstart"),
        ("model/head.safetensors", b"junk", "damaged"),
        ("model/head.safetensors", None, "damaged"),
        ("model/model.json", b'{"schema": 1}', "damaged"),
    ],
)
def test_load__damaged_runs_are_one_line(
    run: Run, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run.folder, copy)
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    with pytest.raises(RunError, match=said):
        headstart.load(copy)


def test_load__no_such_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        headstart.load(tmp_path / "nothing")


def test_predict__other_weights_than_those_of_the_fit_are_refused(
    run: Run, tmp_path: Path, shapes: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run.folder, copy)
    facts = json.loads((copy / "model" / "model.json").read_text())
    facts["backbone"]["digest"] = "0" * 64
    (copy / "model" / "model.json").write_text(json.dumps(facts))
    with pytest.raises(WeightsError, match="not those that the run was made with"):
        headstart.load(copy).predict(shapes / "dots" / "05.png")


def test_predict__a_converted_network_needs_no_timm(
    make_shapes: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    images = make_shapes(tmp_path / "many", n=64)
    cache = tmp_path / "cache"
    made = fit(images, out=tmp_path / "run", cache=cache, resolutions=(64,), Cs=(1.0,), n_folds=2)
    paths = sorted(images.rglob("*.png"))[:3]
    code = (
        "import sys, headstart\n"
        "for p in headstart.load(sys.argv[1]).predict(sys.argv[2:]): print(p.label, p.probability)\n"
        "print(sorted({'timm', 'torchvision', 'scipy'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(made.folder), *map(str, paths)],
        env={**os.environ, "HEADSTART_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert said[-1] == "[]"
    assert [line.split()[0] for line in said[:-1]] == [p.parent.name for p in paths]


def test_model__scores_are_the_linear_form_of_unit_rows(run: Run) -> None:
    model = run.model
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4, model.coef.shape[1])).astype(np.float32)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    np.testing.assert_allclose(model.scores(X), unit @ model.coef.T + model.intercept, rtol=1e-5)
    np.testing.assert_allclose(model.probabilities(X).sum(axis=1), 1)
