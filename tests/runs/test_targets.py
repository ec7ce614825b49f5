"""A fit of several labels per image, and of a number, from the table to the exported file."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file
from sklearn.metrics import average_precision_score, f1_score, r2_score

import headstart
from headstart.backbones import load
from headstart.cli.app import run as run_command
from headstart.cli.targets import target_lines
from headstart.data.records import Example
from headstart.errors import DataError, InputError, RunError
from headstart.runs.model import Model
from headstart.runs.predictions import (
    LabelsPrediction,
    NumberPrediction,
    predictions_csv,
    rounded,
    write_target_predictions,
    written_number,
)
from headstart.runs.report.target import write_target_report
from headstart.runs.result import read_metrics
from headstart.runs.target_run import TargetRun

ARCH = "timm:test_efficientnet"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small random network, whose first layers see ink as well as any."""
    weights = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(load(ARCH, pretrained=False, seed=1).module.state_dict(), weights)
    return {
        "weights": str(weights),
        "arch": ARCH,
        "resolutions": (64,),
        "precision": "float32",
        "test_size": 0.3,
    }


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 pictures of up to four handwritten digits, 0 to 2; their table has labels, flags and counts."""
    from sklearn.datasets import load_digits

    folder, digits = tmp_path_factory.mktemp("tiles"), load_digits()
    rng = np.random.default_rng(0)
    of = [np.flatnonzero(digits.target == k) for k in range(3)]
    rows = [["image", "tags", "n_ink", "is_0", "is_1", "is_2"]]
    for i in range(90):
        shown = [int(k) for k in rng.integers(-2, 3, 4)]
        tiles = [digits.images[rng.choice(of[k])] if k >= 0 else np.zeros((8, 8)) for k in shown]
        grey = 255 - np.block([tiles[:2], tiles[2:]]) * (255 / 16)
        Image.fromarray(grey.astype(np.uint8)).resize((64, 64)).save(folder / f"{i:02d}.png")
        labels = sorted({k for k in shown if k >= 0})
        flags = [str(int(k in labels)) for k in range(3)]
        n = sum(k >= 0 for k in shown)
        rows.append([f"{i:02d}.png", ";".join(f"digit {k}" for k in labels), str(n), *flags])
    with (folder / "tiles.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return folder / "tiles.csv"


@pytest.fixture(scope="module")
def labels(
    tiles: Path, settings: dict[str, Any], store: Path, tmp_path_factory: pytest.TempPathFactory
) -> TargetRun:
    out = tmp_path_factory.mktemp("runs") / "labels"
    return cast(TargetRun, headstart.fit(tiles, out=out, cache=store, multi_label=";", **settings))


@pytest.fixture(scope="module")
def number(
    tiles: Path, settings: dict[str, Any], store: Path, tmp_path_factory: pytest.TempPathFactory
) -> TargetRun:
    out = tmp_path_factory.mktemp("runs") / "number"
    return cast(
        TargetRun, headstart.fit(tiles, out=out, cache=store, target_column="n_ink", **settings)
    )


def written(run: TargetRun) -> list[dict[str, str]]:
    """Rows of ``predictions.csv``."""
    with (run.folder / "predictions.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_fit__of_labels_has_the_figures_of_scikit_learn(labels: TargetRun) -> None:
    found = labels.metrics.labels
    assert found is not None
    rows, names = written(labels), labels.metrics.names
    assert names == ("digit 0", "digit 1", "digit 2")
    assert len(rows) == found.n == labels.metrics.data.n_test
    has = np.array([[name in json.loads(row["labels"]) for name in names] for row in rows])
    given = np.array([[name in json.loads(row["predicted"]) for name in names] for row in rows])
    P = np.array([[float(row[f"p({name})"]) for name in names] for row in rows])
    assert found.mean_average_precision is not None
    assert found.mean_average_precision.value == pytest.approx(
        average_precision_score(has, P), abs=1e-3
    )
    assert found.micro_f1 is not None
    assert found.micro_f1.value == pytest.approx(f1_score(has, given, average="micro"))
    assert found.trivial_map is not None
    assert found.mean_average_precision.value > found.trivial_map
    assert labels.metrics.cv_labels is None
    few = [f.name for f in found.labels if f.n < 10]
    assert bool(few) == any("fewer than 10 test" in note for note in labels.metrics.notes)
    page = labels.report().read_text(encoding="utf-8")
    assert labels.sentence in page.replace("\u00a0", " ")
    assert bool(labels.metrics.worst) == ("data:image/png" in page)
    assert all(w.truth != w.predicted for w in labels.metrics.worst)


def test_fit__averages_candidates_unless_one_is_preferred(
    labels: TargetRun, tiles: Path, settings: dict[str, Any], store: Path, tmp_path: Path
) -> None:
    [mean] = [c for c in labels.metrics.candidates if c.n_averaged]
    assert mean.C is None
    assert mean.cv.value > min(c.cv.value for c in labels.metrics.candidates)
    assert "a third of the weight" in labels.metrics.selection.rule
    assert "mean of" in labels.report().read_text(encoding="utf-8")
    if mean.chosen:
        assert sum(m.weight for m in labels.metrics.chosen.members) == pytest.approx(1)
    single = headstart.fit(
        tiles, out=tmp_path / "run", cache=store, multi_label=";", prefer="single", **settings
    )
    assert not any(c.n_averaged for c in cast(TargetRun, single).metrics.candidates)


def test_fit__of_a_number_has_the_figures_of_scikit_learn(number: TargetRun) -> None:
    found = number.metrics.number
    assert found is not None
    rows = written(number)
    y, predicted = (np.array([float(r[c]) for r in rows]) for c in ("truth", "predicted"))
    assert found.r2 is not None
    assert found.r2.value == pytest.approx(r2_score(y, predicted), abs=1e-3)
    assert found.r2.value > 0.5
    assert found.mae.value < found.trivial_mae
    between = [float(r["low"]) <= float(r["truth"]) <= float(r["high"]) for r in rows]
    assert found.coverage is not None
    assert found.coverage.value == pytest.approx(np.mean(between))
    assert "R²" in number.sentence


def test_predict__gives_the_labels_over_their_thresholds(labels: TargetRun, tiles: Path) -> None:
    rows = written(labels)
    files: list[Any] = [tiles.parent / row["image" if "image" in row else "name"] for row in rows]
    found = labels.predict([*files[:5], b"no image"], top=2)
    for p, row in zip(found[:5], rows, strict=False):
        assert isinstance(p, LabelsPrediction)
        assert {label for label, _ in p.labels} == set(json.loads(row["predicted"]))
        assert len(p.top) == 2
        assert dict(p.top)[p.top[0][0]] == pytest.approx(float(row[f"p({p.top[0][0]})"]), abs=1e-3)
    assert found[5].error is not None
    assert found[5].to_dict()["labels"] is None
    has = [json.loads(row["labels"]) for row in rows]
    metrics = labels.metrics.labels
    assert metrics is not None
    assert metrics.mean_average_precision is not None
    assert labels.score(files, has) == pytest.approx(metrics.mean_average_precision.value, abs=0.01)


def test_predict__gives_a_number_with_an_interval(number: TargetRun, tiles: Path) -> None:
    row = written(number)[0]
    [p] = number.predict(tiles.parent / row["name"])
    assert isinstance(p, NumberPrediction)
    assert p.value == pytest.approx(float(row["predicted"]), abs=1e-2)
    assert p.low is not None
    assert p.high is not None
    assert p.low < p.value < p.high


def test_predict__refuses_what_classes_alone_have(labels: TargetRun, tiles: Path) -> None:
    with pytest.raises(InputError, match="refuse_below"):
        labels.predict(tiles.parent / "00.png", refuse_below=0.5)
    with pytest.raises(RunError, match="several labels per image"):
        labels.mistakes()
    with pytest.raises(RunError, match="several labels per image"):
        read_metrics(labels.folder)


def test_load__opens_what_was_fitted(labels: TargetRun, number: TargetRun) -> None:
    for run in (labels, number):
        again = headstart.load(run.folder)
        assert isinstance(again, TargetRun)
        assert again.metrics == run.metrics
        assert again.to_dataframe().shape[0] == run.metrics.data.n_test
    assert labels.model.thresholds == Model.read(labels.folder / "model").thresholds
    assert number.model.classes == ("n_ink",)


def test_model__refuses_thresholds_that_do_not_fit(labels: TargetRun, tmp_path: Path) -> None:
    labels.model.save(tmp_path)
    file = tmp_path / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"thresholds": [0.5]}))
    with pytest.raises(RunError, match="thresholds"):
        Model.read(tmp_path)


def test_fit__never_looks_at_the_test_labels(
    labels: TargetRun, tiles: Path, settings: dict[str, Any], store: Path, tmp_path: Path
) -> None:
    rows = list(csv.DictReader(tiles.read_text(encoding="utf-8").splitlines()))
    tested = {row["name"] for row in written(labels)}
    table = tiles.with_name("changed.csv")
    lines = ["image,tags,split"]
    for row in rows:
        is_test = row["image"] in tested
        tags = "digit 0" if is_test and int(row["image"][:2]) % 2 else row["tags"]
        lines.append(f"{row['image']},{tags},{'test' if is_test else 'train'}")
    table.write_text("\n".join(lines), encoding="utf-8")
    changed = headstart.fit(table, out=tmp_path / "run", cache=store, multi_label=";", **settings)
    assert np.array_equal(changed.model.coef, labels.model.coef)
    assert changed.model.thresholds == labels.model.thresholds


@pytest.mark.parametrize(
    "asked",
    [
        {"multi_label": ";", "metric": "macro_f1"},
        {"target_column": "n_ink", "merge_labels": True},
        {"target_column": "n_ink", "label_column": "tags"},
        {"label_columns": ["is_0", "is_1"], "crop": "auto"},
        {"label_columns": "is_*", "multi_label": ";"},
    ],
)
def test_fit__refuses_settings_for_classes(tiles: Path, asked: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        headstart.fit(tiles, **asked)


def test_command__shows_and_predicts(
    labels: TargetRun, number: TargetRun, tiles: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    image = str(tiles.parent / "00.png")
    assert run_command(["report", str(labels.folder)]) == 0
    assert "digit 1" in capfd.readouterr().out
    assert run_command(["predict", str(labels.folder), image, "--json"]) == 0
    [found] = json.loads(capfd.readouterr().out)
    assert set(found) == {"name", "labels", "top", "error"}
    assert run_command(["predict", str(number.folder), image, "--csv"]) == 0
    header, row = capfd.readouterr().out.splitlines()
    assert header == "name,value,low,high,error"
    assert float(row.split(",")[2]) < float(row.split(",")[1])
    assert run_command(["predict", str(labels.folder), image]) == 0
    assert "%" in capfd.readouterr().out


@pytest.mark.parametrize("verb", ["similar", "clean", "map", "slices", "push", "label-next"])
def test_command__refuses_questions_on_classes_in_one_line(
    labels: TargetRun, tiles: Path, verb: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    more = {
        "similar": [str(tiles.parent / "00.png")],
        "push": ["--only-write", str(tmp_path / "pushed")],
        "label-next": [str(tiles.parent)],
    }
    assert run_command([verb, str(labels.folder), *more.get(verb, [])]) == 2
    captured = capfd.readouterr()
    [line] = captured.err.splitlines()[-1:]
    assert "several labels per image" in line


def test_service__answers_with_labels_or_the_number(
    labels: TargetRun, number: TargetRun, tiles: Path, store: Path
) -> None:
    from fastapi.testclient import TestClient

    from headstart.runs.predictor import Predictor
    from headstart.serve.app import Service, make_app
    from headstart.serve.settings import ServeSettings

    image = (tiles.parent / "00.png").read_bytes()
    for run in (labels, number):
        predictor = Predictor(run.model, cache=store)
        service = Service("run", predictor, ServeSettings(), run.careful())
        client = TestClient(make_app(service), base_url="http://127.0.0.1")
        answered = client.post("/predict", files={"images": ("a.png", image)})
        assert answered.status_code == 200, answered.text
        [found] = answered.json()["predictions"]
        [expected] = run.predict(image)
        if isinstance(expected, NumberPrediction):
            assert found["value"] == pytest.approx(expected.value, abs=1e-3)
            assert found["low"] < found["value"] < found["high"]
        else:
            given = [x["label"] for x in expected.to_dict()["labels"]]
            assert [x["label"] for x in found["labels"]] == given
        assert client.post("/predict", files={"images": ("a.png", b"x")}).status_code == 422
        service.close()


def test_page__opens_runs_on_labels_and_on_a_number(
    labels: TargetRun, number: TargetRun, tiles: Path, tmp_path: Path
) -> None:
    for name, run in (("labels", labels), ("number", number)):
        shutil.copytree(run.folder, tmp_path / "runs" / name)
    from headstart.web.tabs import compare, layers
    from headstart.web.tabs.predict import RANKS, _predictor, _sure_from
    from headstart.web.workspace import Workspace

    both = Workspace(tmp_path / "runs")
    assert set(both.run_names()) == {"labels", "number"}
    picture = sorted(tiles.parent.glob("*.png"))[0]
    shown = _predictor(both)("labels", [str(picture)], None, RANKS[0], 100, 99)
    [said] = labels.predict([picture])
    assert isinstance(said, LabelsPrediction)
    assert f"<b>{', '.join(label for label, _ in said.labels) or '(no label)'}</b>" in shown
    assert "hs-verdict" not in shown
    shown = _predictor(both)("number", [str(picture)], None, RANKS[0], 100, 99)
    [counted] = number.predict([picture])
    assert isinstance(counted, NumberPrediction)
    value, low, high = (written_number(v) for v in counted.rounded() if v is not None)
    assert f"n_ink: <b>{value}</b> [{low}, {high}]" in shown
    assert _sure_from(both, "labels") == 50
    assert "mean average precision of every layer" in layers._profiler(both)("labels")
    assert "needs a run with one class per image" in compare._comparer(both)(["labels", "number"])


def test_fit__says_what_the_test_images_do_not_tell(
    tiles: Path, settings: dict[str, Any], store: Path, tmp_path: Path
) -> None:
    rows = list(csv.DictReader(tiles.read_text(encoding="utf-8").splitlines()))
    table = tiles.with_name("blank.csv")
    lines = ["image,tags,n_ink,one_test,blank_test"]
    for i, row in enumerate(rows):
        sides = ["test" if is_test else "train" for is_test in (i == 5, i < 5)]
        tags = "" if i < 5 else row["tags"]
        lines.append(f"{row['image']},{tags},{row['n_ink']},{','.join(sides)}")
    table.write_text("\n".join(lines), encoding="utf-8")
    untold = headstart.fit(
        table, out=tmp_path / "labels", cache=store, multi_label=";", split_column="blank_test",
        **settings,
    )  # fmt: skip
    assert isinstance(untold, TargetRun)
    found = untold.metrics.labels
    assert found is not None
    assert found.mean_average_precision is None
    assert "not defined" in untold.sentence
    assert "not defined" in untold.report().read_text(encoding="utf-8")
    one = headstart.fit(
        table, out=tmp_path / "number", cache=store, target_column="n_ink", split_column="one_test",
        **settings,
    )  # fmt: skip
    assert isinstance(one, TargetRun)
    assert one.metrics.number is not None
    assert one.metrics.number.r2 is None
    assert "R²" not in one.sentence
    assert "R² is not defined" in one.detail
    for run in (untold, one):
        assert run_command(["report", str(run.folder)]) == 0


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ("digit 0", "one target per image"),
        (["digit 0"], "list of labels"),
        ([["digit 9"]], "'digit 9'.*Did you mean"),
        ([3], "list of labels"),
        ([[]], "a label at least"),
        ([["digit 0"], ["digit 1"]], "got 2 for 1"),
    ],
)
def test_score__refuses_what_are_no_labels(
    labels: TargetRun, tiles: Path, y: Any, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        labels.score(tiles.parent / "00.png", y)


@pytest.mark.parametrize(
    ("y", "said"),
    [(["old"], "must hold numbers"), ([2.0], "two different"), ([np.nan, 1.0], "finite")],
)
def test_score__refuses_what_are_no_numbers(
    number: TargetRun, tiles: Path, y: Any, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        number.score(tiles.parent / "00.png", y)


def test_rounded__keeps_the_digits_that_the_interval_warrants() -> None:
    assert rounded(20_240_115.37214, 12.0) == 20_240_115.37
    assert rounded(-1_234_567.891, 40_000) == -1_234_570
    assert rounded(0.123456789, 1e-3) == 0.123457
    assert rounded(20_240_115.37214, None) == 20_240_115.37
    assert written_number(20_240_115.0) == "20240115"
    p = NumberPrediction(name="a", value=20_240_115.37214, low=20_240_103.4, high=20_240_127.4)
    assert predictions_csv([p]).splitlines()[1] == "a,20240115.37,20240103.4,20240127.4,"
    assert list(target_lines(p)) == ["20240115.37  [20240103.4, 20240127.4]"]


def test_predictions__of_thousands_of_labels_stay_small(labels: TargetRun, tmp_path: Path) -> None:
    n_labels, names = 2_000, tuple(f"label {k}" for k in range(2_000))
    rng = np.random.default_rng(0)
    record = Example(name="a", label="", digest="", split="test", target=())
    many: Any = SimpleNamespace(
        test=[dataclasses.replace(record, target=names[:2])] * 3,
        names=names,
        predictions=rng.random((3, n_labels)),
        test_truth=None,
        is_number=False,
        model=SimpleNamespace(thresholds=(0.999,) * n_labels),
    )
    write_target_predictions(tmp_path / "predictions.csv", many)
    with (tmp_path / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        filled = {name for name in names if row[f"p({name})"]}
        assert set(json.loads(row["predicted"])) <= filled
        assert len(filled) < 20
    found = labels.metrics
    assert found.labels is not None
    each = tuple(msgspec.structs.replace(found.labels.labels[0], name=name) for name in names)
    wide = msgspec.structs.replace(found.labels, labels=each)
    html = write_target_report(
        tmp_path, msgspec.structs.replace(found, labels=wide), b"", run_name="many"
    ).read_text(encoding="utf-8")
    assert html.count("label 1") < 500
    assert "metrics.json has all 2,000" in html
