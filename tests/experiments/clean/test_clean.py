"""`clean` on a real run: flipped labels, copies, blank pictures; its page; a fit with the fixes."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

import headstart
from headstart.cli.app import run as command
from headstart.experiments.clean.measure import _labels
from headstart.experiments.clean.page import detail, files, sections, sentence
from headstart.experiments.clean.result import CleanResult, LabelCost
from headstart.reliability.labels import LabelCheck, check_labels
from headstart.results import Interval
from headstart.runs.retrieval import index_of
from headstart.runs.run import Run

FLIPPED = ("bars/03.png", "dots/05.png")  # as in conftest.py


@pytest.fixture(scope="module")
def found(odd_run: Run) -> CleanResult:
    result = headstart.transfer.clean(odd_run.folder)
    assert isinstance(result, CleanResult)
    return result


def test_clean__finds_what_was_done_to_the_set(found: CleanResult) -> None:
    assert {f.name for f in found.of_kind("copies")} == {"bars/00.png", "dots/copy.png"}
    assert {f.name for f in found.of_kind("blank")} | {f.name for f in found.of_kind("label")} >= {
        "dots/blank.png"
    }
    assert {f.name for f in found.of_kind("damaged")} == {"dots/torn.png"}
    labels = [f.name for f in found.of_kind("label")]
    assert set(FLIPPED) <= set(labels[:4])
    flipped = next(f for f in found.findings if f.name == FLIPPED[0])
    assert (flipped.label, flipped.suggested) == ("bars", "dots")
    assert len({f.name for f in found.findings}) == len(found.findings)
    assert found.n_judged == found.n_images == 30
    assert found.not_judged == ()
    assert found.noise is not None
    assert found.noise.low < 2 / 30 < found.noise.high


def test_clean__tells_contradicted_labels_from_those_that_count_as_wrong(
    found: CleanResult,
) -> None:
    first, *others = found.of_kind("label")
    hard = msgspec.structs.replace(first, is_counted=False)
    assert all(f.is_counted for f in others)
    mixed = msgspec.structs.replace(found, findings=(hard, *others))
    n = len(others)
    verb = "counts" if n == 1 else "count"
    told = f"{n + 1} labels that the other images contradict, of which {n} {verb} as wrong"
    assert told in detail(mixed)
    tables = [s.table for s in sections(mixed) if s.table]
    assert sum("counts as wrong" in row[-1] for table in tables for row in table.rows) == n
    few = tuple(msgspec.structs.replace(f, is_counted=False) for f in (first,))
    none = msgspec.structs.replace(found, findings=few, noise=Interval(0.0, 0.0, 0.1))
    assert sentence(none) == "No label of 30 counts as wrong; 1 image to look at."
    assert "1 label that the other images contradict, of which 0 count as wrong" in detail(none)


def test_clean__says_how_the_report_of_the_run_counts(found: CleanResult, odd_run: Run) -> None:
    n = odd_run.metrics.n_suspicious
    assert n is not None
    assert n >= len(odd_run.metrics.suspicious)
    assert f"report counts {n} of {odd_run.metrics.n_judged} training labels" in detail(found)
    report = (odd_run.folder / "report.html").read_text(encoding="utf-8")
    of = f"{odd_run.metrics.n_judged} training labels that cross-validation could judge"
    assert of in report
    words = report.replace('<span class="word">', "").replace("</span>", "")
    assert "<code>headstart clean</code> counts by the same rule" in words
    older = msgspec.structs.replace(found, n_reported=None)
    assert "report counts" not in detail(older)


def test_clean__names_what_cannot_be_judged_and_does_not_flag_it(grouped_run: Run) -> None:
    found = headstart.transfer.clean(grouped_run.folder)
    assert isinstance(found, CleanResult)
    assert (found.n_images, found.n_judged) == (32, 28)
    assert found.not_judged == ("lone", "noise")
    assert "lone" in found.detail
    flagged = {f.label for kind in ("label", "novel") for f in found.of_kind(kind)}
    assert not flagged & {"lone", "noise"}


def test_clean__is_silent_on_what_labels_cost_where_fresh_folds_do_not_confirm_it(
    found: CleanResult,
) -> None:
    assert found.cost is None, "two wrong labels of thirty prove nothing"
    assert "cost" not in found.detail
    assert not any("cost" in section.heading for section in found.sections())
    assert len(found.worth) == 30
    assert [w.worth for w in found.worth] == sorted(w.worth for w in found.worth)
    worth = {w.name: w.worth for w in found.worth}
    assert all(f.worth == worth[f.name] for f in found.of_kind("label"))


def test_clean__says_what_labels_cost_and_shows_them_first(found: CleanResult) -> None:
    last = found.of_kind("label")[-1].name
    cost = LabelCost(names=(last,), gain=Interval(0.01, 0.004, 0.016))
    costly = msgspec.structs.replace(found, cost=cost)
    assert "1 label costs the other images accuracy" in detail(costly)
    assert "fresh folds gain 1.0 points [0.4, 1.6]" in detail(costly)
    assert "ridge classifier" in detail(costly), "another classifier than the run's"
    first = costly.sections()[0]
    assert first.heading == "Labels that cost accuracy"
    page = files(costly)["review.html"].decode()
    assert page.index(last) < page.index(found.findings[0].name)
    assert "costs the others accuracy" in page


def test_page__can_be_looked_through_by_keyboard(
    found: CleanResult, browser: Any, serious: Any, tmp_path: Path
) -> None:
    html = tmp_path / "review.html"
    html.write_bytes(files(found)["review.html"])
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(html.as_uri())
    assert serious(page) == []
    names = page.eval_on_selector_all("#items > li", "all => all.map(li => li.dataset.name)")
    for key in ("j", "r", "d", "k", "k", "ArrowLeft", "u"):
        page.keyboard.press(key)
    assert "3 decided" in page.inner_text("#count")
    with page.expect_download() as download:
        page.click("#save")
    rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text("utf-8"))))
    assert rows[0] == ["name", "action", "label"]
    assert (
        [row[:2] for row in rows[1:]]
        == [
            [names[0], "keep"],  # the class in the list was its own
            [names[1], "drop"],
            [names[2], "keep"],
        ]
        or [row[1] for row in rows[1:]] == ["relabel", "drop", "keep"]
    )
    assert errors == []
    page.close()


def test_fit__applies_the_fixes_and_leaves_the_folder_alone(
    odd_shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.read_bytes() for p in odd_shapes.rglob("*.png")}
    fixes = tmp_path / "fixes.csv"
    fixes.write_text(
        f"name,action,label\n{FLIPPED[0]},relabel,dots\n{FLIPPED[1]},relabel,bars\n"
        "dots/copy.png,drop,\ndots/blank.png,drop,\n",
        encoding="utf-8",
    )
    fixed = headstart.fit(
        odd_shapes, out=tmp_path / "run", resolutions=(64,), Cs=(1.0,), fixes=str(fixes)
    )
    assert {p: p.read_bytes() for p in odd_shapes.rglob("*.png")} == before
    assert fixed.metrics.data.n_train + fixed.metrics.data.n_test == 28
    fixes.unlink()  # the run keeps its own
    labels = {r.name: r.label for r in index_of(fixed).records}
    assert labels[FLIPPED[0]] == "dots"
    assert "dots/copy.png" not in labels
    capsys.readouterr()
    assert command(["clean", str(fixed.folder), "--out", str(tmp_path / "out"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert not {f["name"] for f in again["findings"]} & {*FLIPPED, "dots/copy.png"}
    assert {(d["name"], d["action"], d["label"]) for d in again["decisions"]} == {
        (FLIPPED[0], "relabel", "dots"),
        (FLIPPED[1], "relabel", "bars"),
        ("dots/copy.png", "drop", ""),
        ("dots/blank.png", "drop", ""),
    }
    assert all(Path(d["path"]).is_file() for d in again["decisions"])
    assert (tmp_path / "out" / "review.html").exists()
    (tmp_path / "new").mkdir()
    shutil.copy(odd_shapes / "dots" / "blank.png", tmp_path / "new")
    words = ["label-next", str(fixed.folder), str(tmp_path / "new"), "--out", str(tmp_path / "o")]
    assert command(words) == 2  # it was dropped, and is not new
    assert "no usable image without a label: the run has 1 file of it" in capsys.readouterr().err


def test_fit__refuses_fixes_that_name_no_class(
    odd_shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixes = tmp_path / "fixes.csv"
    fixes.write_text(f"name,action,label\n{FLIPPED[0]},relabel,dot\n", encoding="utf-8")
    out = str(tmp_path / "run")
    assert command(["fit", str(odd_shapes), "--fixes", str(fixes), "--out", out]) == 2
    assert "none of the classes" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_clean__says_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["clean", str(tmp_path / "nothing"), "--out", str(tmp_path / "o")]) == 2
    assert "nothing" in capsys.readouterr().err


def test_clean__goes_on_from_an_earlier_review(
    odd_run: Run, tmp_path: Path, browser: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fixes = tmp_path / "fixes.csv"
    fixes.write_text(
        f"name,action,label\n{FLIPPED[0]},relabel,dots\ndots/copy.png,drop,\ndots/00.png,keep,\n",
        encoding="utf-8",
    )
    words = ["clean", str(odd_run.folder), "--fixes", str(fixes), "--json"]
    assert command([*words, "--out", str(tmp_path / "out")]) == 0
    result = json.loads(capsys.readouterr().out)
    listed = {f["name"] for f in result["findings"]}
    assert FLIPPED[1] in listed
    assert not listed & {FLIPPED[0], "bars/00.png", "dots/copy.png", "dots/00.png"}
    assert result["n_images"] == 29
    page = browser.new_page()
    page.goto((tmp_path / "out" / "review.html").as_uri())
    assert "3 decided: 1 kept, 1 relabelled, 1 dropped" in page.inner_text("#count")
    page.focus(f"li[data-name='{FLIPPED[1]}']")
    page.keyboard.press("d")
    page.focus("li[data-name='dots/copy.png']")
    page.keyboard.press("u")
    page.reload()
    assert "3 decided: 1 kept, 1 relabelled, 1 dropped" in page.inner_text("#count")
    with page.expect_download() as download:
        page.click("#save")
    rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text("utf-8"))))[1:]
    assert sorted(map(tuple, rows)) == [
        (FLIPPED[0], "relabel", "dots"),
        ("dots/00.png", "keep", ""),
        (FLIPPED[1], "drop", ""),
    ]
    page.close()


def test_clean__refuses_fixes_of_other_images(
    odd_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixes = tmp_path / "fixes.csv"
    fixes.write_text("name,action,label\nnothing.png,drop,\n", encoding="utf-8")
    assert command(["clean", str(odd_run.folder), "--fixes", str(fixes)]) == 2
    assert "not among the images" in capsys.readouterr().err


def test_labels__lists_what_costs_accuracy_contradicted_or_not() -> None:
    records: list[Any] = [
        SimpleNamespace(name=name, path=Path(name), digest="", label="ab"[i % 2], split="")
        for i, name in enumerate(("0.png", "1.png", "2.png", "3.png"))
    ]
    member = np.array([0, 1, 0, 1])
    scores = np.array([[1.0, -1.0], [1.0, -1.0], [1.0, -1.0], [-0.1, 0.1]])
    check = check_labels(scores, member)
    listed = list(_labels(check, records, np.array(["a", "b"]), (), frozenset({"3.png"})))
    assert [f.name for f in listed] == ["1.png", "3.png"]
    assert "say b too" in listed[1].reason


def test_labels__lists_all_that_count_as_wrong() -> None:
    # Most labels "b" are little sure, so that the first label "a", not sure either, counts as one of them.
    records: list[Any] = [
        SimpleNamespace(name=f"{i}.png", path=Path("x"), digest="", label=label, split="")
        for i, label in enumerate("aaabbb")
    ]
    member = np.array([0, 0, 0, 1, 1, 1])
    P = np.array([[0.55, 0.45], [1, 0], [1, 0], [0.6, 0.4], [0.6, 0.4], [0.6, 0.4]])
    check = LabelCheck(
        margin=np.array([0.1, 1, 1, -0.2, -0.2, -0.2]),
        suggested=P.argmax(axis=1),
        P=P,
        is_counted=np.array([True, *5 * [False]]),
        noise=Interval(1 / 6, 0.0, 0.5),
    )
    listed = {f.name: f for f in _labels(check, records, np.array(["a", "b"]), (), frozenset())}
    assert set(listed) == {"0.png", "3.png", "4.png", "5.png"}
    assert listed["0.png"].is_counted
    assert "say a too" in listed["0.png"].reason, "they do not contradict it"
    assert member.shape == check.margin.shape


def test_clean__headline_and_list_count_the_same_labels(found: CleanResult) -> None:
    assert found.noise is not None
    n = round(found.noise.value * found.n_judged)
    assert sum(f.is_counted for f in found.findings) == n > 0
    copies = tuple(msgspec.structs.replace(f, is_counted=True) for f in found.of_kind("copies"))
    told = detail(msgspec.structs.replace(found, findings=copies))
    assert "2 images with copies under other labels, of which 2 count as wrong" in told


def test_clean__says_contradicted_only_of_labels_that_are(found: CleanResult) -> None:
    first, *others = found.of_kind("label")
    agreed = msgspec.structs.replace(first, margin=0.1)
    mixed = msgspec.structs.replace(found, findings=(agreed, *others))
    said = "that the other images contradict or doubt, or that cost accuracy"
    assert said in detail(mixed)
    assert any(said in s.heading for s in sections(mixed))
    assert said not in detail(found)
