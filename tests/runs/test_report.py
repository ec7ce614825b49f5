"""The report page: what it says, that it is whole, and that nothing in it can do harm."""

from __future__ import annotations

import base64
import json
import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from example_metrics import SCENES, Json, big, example_run, interval, scenes, thumbnail, tiny

from headstart.errors import OutputError, RunError
from headstart.runs.report import render, write_report
from headstart.runs.result import metrics_from

SVG = "{http://www.w3.org/2000/svg}"
VOID = {"meta", "img", "br", "wbr", "hr", "link", "input"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on a tag left open or closed twice."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def run_folder(folder: Path, metrics: Json | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps(example_run()))
    (folder / "metrics.json").write_text(json.dumps(metrics or scenes()))
    return folder


@pytest.mark.parametrize("metrics", [scenes(), tiny(), big()], ids=["scenes", "tiny", "big"])
def test_render__every_variant_is_a_whole_accessible_page(metrics: Json) -> None:
    html = render(example_run(), metrics_from(metrics), {})
    page = Page(html)
    assert html.startswith("<!doctype html>")
    names = [name for name, _ in page.tags]
    assert names.count("h1") == 1
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a["href"] for name, a in page.tags if name == "a"]
    assert all(link and link[0] == "#" and link[1:] in ids for link in links)
    assert "None" not in page.text
    assert "nan" not in page.text.split()
    assert "Undefined" not in html
    for figure in re.findall(r"<svg.*?</svg>", html, flags=re.S):
        root = ElementTree.fromstring(figure)
        if root.get("aria-hidden") != "true":
            assert root.get("role") == "img"
            for part, attribute in (("title", "aria-labelledby"), ("desc", "aria-describedby")):
                assert root.find(f"{SVG}{part}[@id='{root.get(attribute)}']") is not None


def test_render__says_the_numbers_of_the_metrics() -> None:
    metrics = scenes()
    page = Page(render(example_run(), metrics_from(metrics), {}))
    text = page.text.replace("\u00a0", " ")
    test = metrics["test"]
    assert metrics["sentence"] in text
    for one in (test["accuracy"], test["balanced_accuracy"], test["top5"]):
        assert f"{100 * one['value']:.1f} %" in text
        assert f"[{100 * one['low']:.1f}, {100 * one['high']:.1f}]" in text
    for candidate in metrics["candidates"]:
        assert f"{100 * candidate['cv']['value']:.1f}" in text
    for row in metrics["per_class"]:
        low, high = 100 * row["recall"]["low"], 100 * row["recall"]["high"]
        assert f"{100 * row['recall']['value']:.1f} [{low:.1f}, {high:.1f}]" in text
    assert "13,455 forward passes computed" in text
    assert "4 min 25 s" in text


def test_render__confusion_matrix_holds_every_count() -> None:
    metrics = scenes()
    html = render(example_run(), metrics_from(metrics), {})
    figure = next(f for f in re.findall(r"<svg.*?</svg>", html, flags=re.S) if "figure-conf" in f)
    tips = [t.text for t in ElementTree.fromstring(figure).iter(f"{SVG}title")]
    for i, true in enumerate(SCENES):
        for j, predicted in enumerate(SCENES):
            n = metrics["confusion"]["rows"][i][j]
            assert any(t.startswith(f"true {true}, predicted {predicted}: {n} of 40") for t in tips)


def test_render__names_are_escaped_and_shown() -> None:
    evil = "<script>alert(1)</script>\n\"'><img src=x onerror=alert(2)>\x1b[31m é 🦊 \udcff.jpg"
    metrics = scenes()
    metrics["classes"] = [evil, *SCENES[1:]]
    metrics["sentence"] = metrics["data"]["root"] = evil
    metrics["taps"] = [evil if t == "blocks.6" else t for t in metrics["taps"]]
    for c in metrics["candidates"]:
        c["tap"] = evil if c["tap"] == "blocks.6" else c["tap"]
    metrics["per_class"][0]["class"] = metrics["data"]["classes"][0]["class"] = evil
    metrics["mistakes"][0] |= {"name": evil, "true": evil}
    metrics["suspicious"][0] |= {"name": evil, "suggested": evil}
    metrics["data"]["quarantine"][0] = {"name": evil, "reason": evil}
    metrics["data"]["exact_duplicates"][0] = {
        "names": [evil, "b"], "splits": ["train", "test"], "labels": [evil, "b"],
        "straddles": True, "conflicting": False,
    }  # fmt: skip
    run = example_run() | {"command": f"headstart fit {evil}", "settings": {evil: evil}}
    html = render(run, metrics_from(metrics), {}, run_name=evil)
    page = Page(html)
    html.encode("utf-8")
    assert [name for name, _ in page.tags].count("script") == 1
    assert not [a for _, a in page.tags if any(key.startswith("on") for key in a)]
    assert not [a for name, a in page.tags if name == "img" and a.get("src") == "x"]
    assert "\x1b" not in html
    assert r"<script>alert(1)</script>\n" in page.text
    assert "🦊" in page.text
    for figure in re.findall(r"<svg.*?</svg>", html, flags=re.S):
        ElementTree.fromstring(figure)


def test_render__loads_nothing_from_anywhere() -> None:
    html = render(example_run(), metrics_from(scenes()), {f"{0:064x}": thumbnail()})
    page = Page(html)
    for _, attributes in page.tags:
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(key)
            assert value is None or value.startswith(("#", "data:image/jpeg;base64,"))
    assert not re.search(r"https?://|url\(|@import|fetch\(", html.replace(SVG[1:-1], ""))
    policy = [a["content"] for _, a in page.tags if a.get("http-equiv")]
    assert policy[0] is not None
    assert policy[0].startswith("default-src 'none'")


def test_render__pictures_have_alternative_texts() -> None:
    metrics = scenes()
    page = Page(render(example_run(), metrics_from(metrics), {f"{0:064x}": thumbnail()}))
    images = [a for name, a in page.tags if name == "img"]
    assert [a["alt"] for a in images] == [
        "Bedroom/image_0000.jpg: labelled Bedroom, predicted Coast",
        "Bedroom/image_0000.jpg: labelled Bedroom, looks like Forest",
    ]
    for image in images:
        assert base64.b64decode((image["src"] or "").partition(",")[2]) == thumbnail()
    absent = [a for _, a in page.tags if a.get("class") == "absent"]
    assert len(absent) == 46
    assert all(a["aria-label"] for a in absent)


def test_render__without_test_split_says_so() -> None:
    text = Page(render(example_run(), metrics_from(tiny()), {})).text.replace("\u00a0", " ")
    assert "No test split" in text
    assert "93.5 %" in text
    assert "No mistakes among the images" in text
    assert "No two files show the same picture" in text
    assert "Every file could be read" in text


def test_render__long_lists_are_cut_and_counted() -> None:
    text = Page(render(example_run(), metrics_from(scenes()), {})).text
    assert "and 4 more groups, named in metrics.json" in text
    assert "and 4 more, named in metrics.json" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"imbalance": 5.25}, "the largest has 5.2 times the images of the smallest"),
        ({"quarantine": [{"name": "a", "reason": "b"}]}, "1 file could not be used and was left out"),
        ({"quarantine": []}, None),
    ],
)  # fmt: skip
def test_render__warns_on_the_first_screen(change: Json, said: str | None) -> None:
    metrics = scenes()
    metrics["data"] |= {"exact_duplicates": [], "near_duplicates": []} | change
    html = render(example_run(), metrics_from(metrics), {})
    notices = Page(html[html.index('<ul class="notices"') : html.index('<div class="next"')]).text
    assert (said in notices) if said else ("left out" not in notices)
    assert "both sides" not in notices


def test_render__small_test_set_and_straddling_duplicates_are_warned_of() -> None:
    metrics = scenes()
    metrics["test"] |= {"n": 60, "accuracy": interval(0.9, 0.08)}
    text = Page(render(example_run(), metrics_from(metrics), {})).text
    said = "with 60 images the accuracy of 90.0 % may be anything from 82.0 to 98.0 %"
    assert f"Small test set: {said}" in text
    assert "12 groups of identical images on both sides of the split" in text


def test_render__one_class_never_seen_and_one_candidate() -> None:
    metrics = scenes()
    metrics["per_class"][0] |= {"recall": None, "precision": None, "f1": None}
    metrics["confusion"]["rows"][0] = [0] * 15
    metrics["candidates"] = [c for c in metrics["candidates"] if c["chosen"]]
    metrics["taps"], metrics["resolutions"] = ["blocks.6"], ["320"]
    metrics["selection"]["Cs"] = [1.0]
    page = Page(render(example_run(), metrics_from(metrics), {}))
    assert "Of 1 candidate, blocks.6 at 320 px" in page.text


def test_write_report__writes_the_page_and_nothing_else(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run 1")
    before = {p.name for p in folder.iterdir()}
    path = write_report(folder, thumbnails={})
    assert path == folder / "report.html"
    assert {p.name for p in folder.iterdir()} == before | {"report.html"}
    page = path.read_text(encoding="utf-8")
    assert f'<span class="word">&#39;{folder}&#39;</span>' in page
    assert f"headstart predict '{folder}' NEW_IMAGES/" in Page(page).text
    mode = stat.S_IMODE(path.stat().st_mode)
    assert mode == stat.S_IMODE((folder / "run.json").stat().st_mode)


def test_write_report__failure_keeps_the_older_page(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    (folder / "report.html").write_text("older")
    metrics = scenes()
    del metrics["cv"]
    run_folder(folder, metrics)
    with pytest.raises(RunError, match=r"metrics\.json is damaged.*`cv`"):
        write_report(folder, thumbnails={})
    assert (folder / "report.html").read_text() == "older"
    assert sorted(p.name for p in folder.iterdir()) == ["metrics.json", "report.html", "run.json"]


def test_write_report__unwritable_place_is_one_line(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_report(folder, thumbnails={}, out=blocked / "report.html")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_report(folder, thumbnails={}, out=tmp_path / "taken")
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".tmp")]
