"""`map` on a real run: places, what they keep, the page to look around on, and odd requests."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

import headstart
from headstart.cli.app import run as command
from headstart.errors import InputError
from headstart.experiments.map.measure import _placed, _same_class, has_opentsne
from headstart.experiments.map.page import PER_ROW, THUMBNAIL_PX, _sheets, files
from headstart.experiments.map.result import MapResult
from headstart.progress import silent
from headstart.runs.run import Run


@pytest.fixture(scope="module")
def found(odd_run: Run) -> MapResult:
    result = headstart.transfer.map(odd_run.folder)
    assert isinstance(result, MapResult)
    return result


def test_map__places_every_image_and_judges_it_unseen(found: MapResult) -> None:
    assert len(found.points) == found.n_images == 30
    assert found.method == "tsne"
    assert {p.split for p in found.points} == {"train", "test"}
    assert all(p.predicted in ("bars", "dots") for p in found.points)
    places = np.array([(p.x, p.y) for p in found.points])
    assert places.min() >= 0
    assert places.max() <= 1
    assert (places.max(axis=0) - places.min(axis=0)).max() == pytest.approx(1)
    wrong = {p.name for p in found.points if p.is_wrong}
    assert {"bars/03.png", "dots/05.png"} <= wrong, "their labels are exchanged"
    blank = next(p for p in found.points if p.name == "dots/blank.png")
    assert blank.novelty == max(p.novelty or 0 for p in found.points)
    assert 0.5 < found.trustworthiness <= 1


def test_map__a_sample_is_said_to_be_one(
    odd_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["map", str(odd_run.folder), "--most", "12", "--method", "pca", "--out", str(tmp_path)]
    assert command([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (len(said["points"]), said["n_images"], said["method"]) == (12, 30, "pca")
    assert "a random sample of 30" in said["detail"]
    page = (tmp_path / "map.html").read_text("utf-8")
    assert page.count("<circle") + page.count("<path") >= 12
    assert (tmp_path / "explore.html").is_file()
    for wrong, told in ((["--method", "umap"], "tsne"), (["--most", "3"], "at least 10")):
        assert command(["map", str(odd_run.folder), *wrong]) == 2
        assert told in capsys.readouterr().err


def test_map__opentsne_is_an_extra(odd_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    if has_opentsne():
        places = _placed(X, "opentsne", 0)
        assert np.isfinite(places).all()
        np.testing.assert_allclose(places, _placed(X, "opentsne", 0))
    monkeypatch.setattr("headstart.experiments.map.measure.has_opentsne", lambda: False)
    with pytest.raises(InputError, match=r"needs openTSNE: pip install 'headstart\[map\]'"):
        headstart.transfer.map(odd_run.folder, method="opentsne")
    monkeypatch.setattr("headstart.experiments.map.measure.MOST_TSNE", 5)
    found = headstart.transfer.map(odd_run.folder)
    assert isinstance(found, MapResult)
    assert found.method == "pca"


def test_placed__keeps_the_shape_and_stands_equal_rows() -> None:
    X = np.array([[0, 0, 1], [4, 0, 1], [0, 2, 1], [4, 2, 1]], dtype=np.float32)
    places = _placed(X, "pca", 0)
    spans = places.max(axis=0) - places.min(axis=0)
    assert sorted(spans.tolist()) == pytest.approx([0.5, 1.0])
    same = _placed(np.ones((12, 3), dtype=np.float32), "tsne", 0)
    np.testing.assert_array_equal(same, 0.5)


def test_same_class__copies_and_groups_are_not_other_images() -> None:
    X = np.array([[0.0], [0.1], [1.0], [1.1]])
    member = np.array([0, 0, 1, 1])
    for together, share in ((np.arange(4), 1), (np.array([0, 0, 1, 1]), 0)):
        found = _same_class(X, member, together, None)
        assert found is not None
        assert found.value == share
    assert _same_class(X, member, np.zeros(4), None) is None


def test_sheets__hold_each_picture_whole_and_grey_where_a_file_has_gone(tmp_path: Path) -> None:
    Image.new("RGB", (400, 100), (200, 10, 10)).save(tmp_path / "wide.png")
    paths = [str(tmp_path / "gone.png")] * PER_ROW + [str(tmp_path / "wide.png")]
    [uri] = _sheets(paths, silent)
    sheet = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert sheet.size == (PER_ROW * THUMBNAIL_PX, 2 * THUMBNAIL_PX)
    middle = THUMBNAIL_PX // 2
    pixels, middle = np.asarray(sheet, dtype=int), THUMBNAIL_PX // 2
    assert pixels[middle, middle].tolist() == [128, 128, 128]
    assert np.abs(pixels[THUMBNAIL_PX + middle, middle] - (200, 10, 10)).max() < 12


def test_explore__is_looked_around_on_by_pointer_and_by_keyboard(
    found: MapResult, browser: Any, serious: Any, tmp_path: Path
) -> None:
    evil = "</script><script>window.evil = 1</script>"
    points = (msgspec.structs.replace(found.points[0], name=evil), *found.points[1:])
    html = tmp_path / "explore.html"
    html.write_bytes(files(msgspec.structs.replace(found, points=points))["explore.html"])
    page = browser.new_page(viewport={"width": 390, "height": 1200})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(html.as_uri())
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.focus("#map")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.inner_text("#count") == "1 selected"
    assert page.locator("#about .name").count() == 1
    box = page.locator("#map").bounding_box()
    corners = [(0, 0), (1, 0), (1, 1), (0, 1)]
    at = [
        (box["x"] + 2 + x * (box["width"] - 4), box["y"] + 2 + y * (box["height"] - 4))
        for x, y in corners
    ]
    page.mouse.move(*at[0])
    page.mouse.down()
    for corner in [*at[1:], at[0]]:
        page.mouse.move(*corner, steps=3)
    page.mouse.up()
    assert page.inner_text("#count") == "30 selected"
    with page.expect_download() as download:
        page.click("#save")
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8"))))
    assert {r["name"] for r in rows} == {p.name for p in points}
    page.select_option("#by", "mistake")
    assert "wrong" in page.inner_text("#legend")
    page.click("#clear")
    page.click("#legend button >> nth=0")
    assert page.get_attribute("#legend button >> nth=1", "aria-pressed") == "false"
    assert page.evaluate("window.evil") is None
    assert errors == []
    page.close()
