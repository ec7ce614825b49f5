from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture(scope="module")
def cat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = pytest.importorskip("skimage.data")
    path = tmp_path_factory.mktemp("cat") / "cat.jpg"
    Image.fromarray(data.chelsea()).save(path, quality=95)
    return path


def test_predict__imagenet_says_a_cat(headstart: Callable, cat: Path) -> None:
    said = headstart("predict", "imagenet", cat)
    assert said.code == 0
    first = said.out.splitlines()[1]
    assert any(word in first.lower() for word in ("cat", "tabby", "lynx")), said.out
    assert len(said.out.splitlines()) == 6


def test_predict__imagenet_with_local_weights(headstart: Callable, cat: Path, shared: Path) -> None:
    weights = shared / "weights" / "squeezenet1_0.safetensors"
    words = ("predict", "imagenet", cat, "--weights", weights, "--arch", "squeezenet1_0")
    said = headstart(*words, "--json")
    assert said.code == 0
    [answer] = json.loads(said.out)
    assert "cat" in answer["label"].lower() or "tabby" in answer["label"].lower()


def test_predict__with_a_run(headstart: Callable, finished: tuple[Path, Path]) -> None:
    data, run = finished
    said = headstart("predict", run, data / "dark")
    assert said.code == 0
    assert said.out.count("dark/") == 6


def test_predict__json_and_csv_agree(headstart: Callable, finished: tuple[Path, Path]) -> None:
    data, run = finished
    by_json = json.loads(headstart("predict", run, data / "bright", "--json").out)
    by_csv = list(
        csv.DictReader(io.StringIO(headstart("predict", run, data / "bright", "--csv").out))
    )
    assert [a["label"] for a in by_json] == [row["label"] for row in by_csv]
    assert len(by_json) == 6
    assert sum(t["probability"] for t in by_json[0]["top"]) == pytest.approx(1)


def test_predict__fiftyone_reads_back(
    headstart: Callable,
    finished: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from headstart.data import index

    data, run = finished
    monkeypatch.chdir(data)
    said = headstart("predict", run, "bright", "dark", "--fiftyone")
    (tmp_path / "labels.json").write_text(said.out, "utf-8")
    (tmp_path / "data").symlink_to(data)
    predicted = json.loads(headstart("predict", run, "bright", "dark", "--json").out)
    known = {p["name"]: p["label"] for p in predicted}
    assert {r.name: r.label for r in index(tmp_path).records} == {
        f"data/{name}": label for name, label in known.items()
    }


def test_predict__a_bad_file_is_told_and_the_rest_done(
    headstart: Callable, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = finished
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"text")
    said = headstart("predict", run, bad, data / "dark" / "0.png", "--csv")
    assert said.code == 2
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert rows[0]["error"]
    assert rows[1]["label"] in ("dark", "bright")
    assert "files that could not be read: 1" in said.err


def test_predict__formulas_in_names_are_made_harmless(
    headstart: Callable,
    finished: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, run = finished
    (tmp_path / "=1+1.png").write_bytes((data / "dark" / "0.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    said = headstart("predict", run, "=1+1.png", "--csv")
    assert said.out.splitlines()[1].startswith("'=1+1.png,")


def test_predict__no_such_run(fails: Callable, cat: Path, tmp_path: Path) -> None:
    assert "no such run folder" in fails("predict", tmp_path / "no-run", cat)


def test_predict__no_such_image(fails: Callable, finished: tuple[Path, Path]) -> None:
    assert "nothing.jpg" in fails("predict", finished[1], "nothing.jpg")
    assert "nothing.jpg" in fails("predict", "imagenet", "nothing.jpg")


def test_predict__json_and_csv_together(
    fails: Callable, finished: tuple[Path, Path], cat: Path
) -> None:
    assert "--csv" in fails("predict", finished[1], cat, "--json", "--csv").split("(")[0]


def test_backbones__lists_sizes_licences_and_what_is_here(headstart: Callable) -> None:
    said = headstart("backbones")
    assert said.code == 0
    assert "138 M" in said.out
    assert "embedded" in said.out
    rows = json.loads(headstart("backbones", "--json").out)
    vgg = next(row for row in rows if row["name"] == "vgg16")
    assert vgg["n_parameters"] == 138_357_544


def test_backbones__finds_by_text(headstart: Callable, fails: Callable) -> None:
    assert "convnext_tiny" in headstart("backbones", "convnext").out
    assert "no backbone" in fails("backbones", "qqqq")


def test_predict__zero_shot_needs_classes_and_a_text_tower(headstart: Callable, cat: Path) -> None:
    said = headstart("predict", "zero-shot", cat, "--classes", "cat,dog")
    assert said.code == 2
    assert "embedded has no text tower" in said.err
    assert "--classes cat,dog" in headstart("predict", "zero-shot", cat).err
    said = headstart("predict", "imagenet", cat, "--classes", "cat,dog")
    assert said.code == 2
    assert "--classes is for `headstart predict zero-shot`" in said.err
