"""The verbs on tables of texts: exact words, exit codes, JSON."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from headstart.errors import DataError


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("t") / "reviews.csv"
    with path.open("w", newline="") as file:
        rows = [
            (f"a {word} film, number {i}", label)
            for i in range(20)
            for word, label in (("good", "pos"), ("bad", "neg"))
        ]
        csv.writer(file).writerows([("review", "feeling"), *rows])
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("store"))


QUICK = ("--label", "feeling", "--folds", "2", "--C", "1", "--no-finetune")


def test_fit_predict_report__the_same_verbs_on_texts(
    headstart, reviews, store, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", store)
    said = headstart("fit", reviews, *QUICK, "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert "40 texts, 2 classes: 32 train, 8 test" in said.out
    assert "TF-IDF of words" in said.out
    assert "note: TextCNN not tried: --no-finetune" in said.out
    assert 'predict "' not in said.out
    assert f'predict  headstart predict {tmp_path / "run"} "SOME TEXT"' in said.out

    assert "TF-IDF of words" in headstart("report", tmp_path / "run").out
    said = headstart("predict", tmp_path / "run", "a good film", "a bad film", "--json")
    assert [p["label"] for p in json.loads(said.out)] == ["pos", "neg"]
    said = headstart("predict", tmp_path / "run", "--texts", reviews, "--csv")
    assert said.out.splitlines()[0] == "name,label,probability,error"
    assert said.out.splitlines()[1].startswith("line 2,pos,")
    said = headstart("predict", tmp_path / "run", "--texts", reviews, "--text", "revew")
    assert said.code == 2
    assert "no column 'revew'" in said.err
    said = headstart("predict", tmp_path / "run", "")
    assert said.code == 2
    said = headstart("predict", tmp_path / "run")
    assert (said.code, "nothing to predict" in said.err) == (2, True)


@pytest.fixture
def run(headstart, reviews, store, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HEADSTART_CACHE", store)
    assert headstart("fit", reviews, *QUICK, "--out", tmp_path / "run").code == 0
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def _said(out: str) -> list[tuple[str, str]]:
    return [(row["name"], row["label"]) for row in csv.DictReader(out.splitlines())]


def test_predict__a_file_given_to_a_run_on_texts_is_read(headstart, run, tmp_path) -> None:
    (tmp_path / "good.txt").write_text("a bad film\n")
    (tmp_path / "new.csv").write_text("id,review\n1,a good film\n2,a bad film\n")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n")
    said = headstart("predict", run, "good.txt", "a good film", "new.csv", "--csv")
    assert _said(said.out) == [
        ("good.txt", "neg"),
        ("a good film", "pos"),
        ("new.csv, line 2", "pos"),
        ("new.csv, line 3", "neg"),
    ]
    said = headstart("predict", run, "new.csv", "--text", "review", "--csv")
    assert [label for _, label in _said(said.out)] == ["pos", "neg"]
    said = headstart("predict", run, "photo.png", "good.txt", "--csv")
    assert (said.code, _said(said.out)[1]) == (2, ("good.txt", "neg"))
    assert "not a UTF-8 text" in said.out


def test_predict__a_literal_text_that_names_a_file(headstart, run, tmp_path, monkeypatch) -> None:
    (tmp_path / "bad").write_text("a good film")
    assert _said(headstart("predict", run, "bad", "--csv").out) == [("bad", "pos")]
    assert _said(headstart("predict", run, "--literal", "bad", "--csv").out) == [("bad", "neg")]


def test_predict__standard_input_is_read_as_a_file_is(headstart, run, monkeypatch) -> None:
    def given(raw: bytes) -> str:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="cp1252"))
        return headstart("predict", run, "-", "--csv").out

    assert _said(given(b"a bad\nfilm")) == [("standard input", "neg")]
    assert _said(given("a bad film".encode("utf-16"))) == [("standard input", "neg")]
    assert "not a UTF-8 text (byte 0xE9" in given("a bad film, caf\u00e9".encode("cp1252"))


def test_predict__a_file_that_is_not_there_is_no_text(headstart, run, tmp_path) -> None:
    (tmp_path / "letter.txt").write_text("a bad film")
    said = headstart("predict", run, "leter.txt")
    assert said.code == 2
    assert "Did you mean 'letter.txt'" in said.err
    assert "--literal" in said.err
    said = headstart("predict", run, "x", "--texts", "new.csv")
    assert (said.code, "--texts and 'x' exclude each other" in said.err) == (2, True)


def test_predict__in_python_reads_files_and_takes_literal_texts(run, tmp_path) -> None:
    import headstart

    (tmp_path / "letter.txt").write_text("a bad film")
    opened = headstart.load(run)
    assert opened.is_texts
    assert [p.label for p in opened.predict([Path("letter.txt"), "a good film"])] == ["neg", "pos"]
    assert [p.name for p in opened.predict_texts(["letter.txt"])] == ["letter.txt"]
    with pytest.raises(DataError, match="no such file of text"):
        opened.predict(Path("gone"))


def test_fit__image_column_settles_that_a_table_is_of_images(headstart, tmp_path) -> None:
    (tmp_path / "t.csv").write_text("id,breed\n1,great dane\n2,golden retriever\n")
    said = headstart("fit", tmp_path / "t.csv")
    assert (said.code, "--image-column" in said.err, "--text" in said.err) == (2, True, True)
    columns = ("--image-column", "id", "--label-column", "breed")
    said = headstart("fit", tmp_path / "t.csv", *columns)
    assert (said.code, "no suffix such as .jpg" in said.err) == (2, True)


def test_fit__a_spreadsheet_is_to_be_saved_as_csv(headstart, tmp_path) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    for more in ((), ("--text", "a")):
        said = headstart("fit", tmp_path / "t.xlsx", *more)
        assert (said.code, "save it as CSV" in said.err) == (2, True)


def test_fit__json_is_the_metrics(headstart, reviews, store, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", store)
    said = headstart("fit", reviews, *QUICK, "--out", tmp_path / "run", "--json")
    assert json.loads(said.out)["data"]["noun"] == "text"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--label", "feelin"), "no column 'feelin'"),
        (("--label", "review"), "name the same column"),
        (("--resolutions", "64"), "--resolutions is for images"),
        (
            ("--split", "s.csv"),
            "--split is for images, .*: its split is in a column, --split-column",
        ),
        (("--embeddings", "none.vec"), "no such file of word vectors"),
    ],
)
def test_fit__bad_options(headstart, reviews, store, tmp_path, monkeypatch, words, told) -> None:
    import re

    monkeypatch.setenv("HEADSTART_CACHE", store)
    label = () if "--label" in words else ("--label", "feeling")
    said = headstart("fit", reviews, *label, *words, "--out", tmp_path / "run")
    assert said.code == 2
    assert re.search(told, said.err)
    assert len(said.err.strip().splitlines()) == 1


def test_fit__options_of_texts_on_images(headstart, tmp_path) -> None:
    (tmp_path / "photos").mkdir()
    said = headstart("fit", tmp_path / "photos", "--embeddings", "x.vec")
    assert said.code == 2
    assert "--embeddings is for tables of texts" in said.err


@pytest.mark.parametrize("verb", [("fit",), ("finetune", "--compare", "variants")])
def test_table__that_is_not_there(headstart, tmp_path, verb) -> None:
    said = headstart(verb[0], "nowhere.csv", "--label", "feeling", *verb[1:])
    assert said.code == 2
    assert said.err == "headstart: there is no file 'nowhere.csv': check the path\n"


def test_finetune__compares_variants(headstart, reviews, store, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", store)
    common = ("--label", "feeling", "--seeds", "1", "--epochs", "2", "--out", tmp_path / "c")
    said = headstart("finetune", reviews, "--compare", "variants", *common)
    assert said.code == 0, said.err
    for name in ("TF-IDF", "rand", "static", "non-static", "multichannel"):
        assert name in said.out
    assert "test texts" in said.out
    assert {p.name for p in (tmp_path / "c").iterdir()} >= {"comparison.html", "comparison.md"}
    said = headstart("finetune", reviews, "--variant", "static", *common)
    assert said.code == 0, said.err
    said = headstart("finetune", reviews, "--compare", "regimes", *common)
    assert said.code == 2
    assert "--compare must be variants for texts" in said.err
    said = headstart("finetune", reviews, "--variant", "sttic", *common)
    assert said.code == 2
    assert "Did you mean 'static'" in said.err


def test_choose_options__options_of_images_alone_are_left_out_or_refused(tmp_path: Path) -> None:
    from dataclasses import fields

    from headstart.cli.texts import choose_options
    from headstart.errors import InputError
    from headstart.runs.settings import FitSettings, TextSettings, settings_from

    table = tmp_path / "reviews.csv"
    table.write_text("text,label\na good film,1\na bad film,0\n")
    untouched = {f.name: f.default for f in fields(FitSettings) if f.name != "data"}
    texts = dict.fromkeys(("text", "label", "embeddings", "encoder", "epochs"))
    made = settings_from(TextSettings, str(table), choose_options(str(table), untouched, texts))
    assert made == TextSettings(data=str(table))
    for name in ("crop", "split", "group_by", "backbone"):
        with pytest.raises(InputError, match=r"is for images, and .* is a table of texts"):
            choose_options(str(table), untouched | {name: "given"}, texts)


@pytest.mark.parametrize("verb", [("fit",), ("finetune",), ("transfer", "profile")])
def test_device__of_texts_is_checked_before_they_are_read(
    fails, reviews, tmp_path, monkeypatch, verb
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    words = (*verb, reviews, "--label", "feeling", "--device", "warp9")
    assert "--device must be auto, cpu, cuda, cuda:N or mps; got 'warp9'" in fails(*words)
    assert not list((tmp_path / "cache").rglob("*.*"))
