from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, level: int) -> Path:
    rng = np.random.default_rng(9)
    Image.fromarray(rng.normal(level, 25, (48, 48, 3)).clip(0, 255).astype(np.uint8)).save(path)
    return path


def test_similar__gives_the_nearest_and_what_was_measured(
    headstart: Callable, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    _, run = finished
    out = tmp_path / "out"
    query = picture(tmp_path / "new.png", 190)
    said = headstart("similar", run, query, "--k", 3, "--out", out, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert len(found["neighbours"]) == 3
    distances = [n["distance"] for n in found["neighbours"]]
    assert distances == sorted(distances)
    assert {n["label"] for n in found["neighbours"]} == {"bright"}
    assert found["measured"]["precision"][0]["value"] > 0.5
    assert found["notes"] == []
    assert (out / "similar.html").read_text().count("data:image/png;base64") == 1
    assert list(out.glob("*.png"))


def test_similar__prints_a_table(
    headstart: Callable, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    _, run = finished
    query = picture(tmp_path / "new.png", 60)
    said = headstart("similar", run, query, "--k", 2, "--out", tmp_path / "out")
    assert said.code == 0, said.err
    assert "dark/" in said.out
    assert "2 of the 2 nearest training images are of class dark" in said.out


def test_similar__several_pictures_have_a_page_each(
    headstart: Callable, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    _, run = finished
    new, out = tmp_path / "new", tmp_path / "out"
    new.mkdir()
    picture(new / "a.png", 190)
    picture(new / "b.png", 60)
    said = headstart("similar", run, new, "--k", 1, "--out", out, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert [one["neighbours"][0]["label"] for one in found] == ["bright", "dark"]
    assert sorted(page.parent.name for page in out.glob("*/similar.html")) == ["001", "002"]

    # A later call leaves no page of an earlier one, and files of others where they are.
    (out / "007").mkdir()
    (out / "002" / "mine.txt").write_text("kept")
    said = headstart("similar", run, new / "b.png", "--k", 1, "--out", out)
    assert said.code == 0, said.err
    assert [page.parent for page in out.rglob("similar.html")] == [out]
    assert sorted(place.name for place in out.iterdir() if place.is_dir()) == ["002", "007"]
    assert [file.name for file in (out / "002").iterdir()] == ["mine.txt"]
    said = headstart("similar", run, new, "--k", 1, "--out", out)
    assert said.code == 0, said.err
    assert sorted(page.parent.name for page in out.rglob("similar.html")) == ["001", "002"]


def test_similar__a_training_image_is_not_its_own_neighbour(
    headstart: Callable, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = finished
    lines = (run / "predictions.csv").read_text().splitlines()
    tested = {row["name"] for row in csv.DictReader(lines)}
    own = next(f"dark/{i}.png" for i in range(6) if f"dark/{i}.png" not in tested)
    words = ("similar", run, data / own, "--k", 100, "--out", tmp_path / "out", "--json")
    found = json.loads(headstart(*words).out)
    assert "itself among the training images" in found["notes"][0]
    assert own not in [n["name"] for n in found["neighbours"]]


def test_similar__changed_images_are_told(
    headstart: Callable, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = finished
    moved = shutil.copytree(data, tmp_path / "moved")
    picture(moved / "dark" / "added.png", 50)
    query = picture(tmp_path / "new.png", 60)
    words = ("similar", run, query, "--data", moved, "--out", tmp_path / "out")
    said = headstart(*words)
    assert said.code == 0, said.err
    assert "note: the images are not all those of the fit" in said.out


def test_similar__bad_input_is_one_line(
    fails: Callable, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    _, run = finished
    assert "no such file or folder" in fails("similar", run, tmp_path / "gone.jpg")
    text = tmp_path / "text.jpg"
    text.write_bytes(b"text")
    assert "text.jpg" in fails("similar", run, text)
    query = picture(tmp_path / "new.png", 60)
    assert "gone" in fails("similar", run, query, "--data", tmp_path / "gone")
    assert "no such run folder" in fails("similar", tmp_path / "norun", query)
