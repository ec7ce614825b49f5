"""What a push would upload, and what it says where it cannot."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from msgspec.structs import replace

import headstart
import headstart.export
from headstart.data.summary import LeftOut
from headstart.errors import InputError, OutputError, RunError
from headstart.export.hub import check_repository, stage
from headstart.runs.model import Model
from headstart.runs.result import ClassTerms, Mistake, Term
from headstart.runs.run import Run
from headstart.runs.settings import FitSettings, TextSettings
from headstart.runs.sums import write_sums
from headstart.sources.saved import SavedBackbone


def test_stage__is_a_run_that_predicts_the_same(
    any_run: Run, run: Run, photos: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(run.folder, whole)
    shutil.rmtree(whole / "model")
    shutil.copytree(any_run.folder / "model", whole / "model")
    write_sums(whole)
    opened = headstart.load(whole)
    staged = stage(opened, tmp_path / "up")
    assert {name for name, _ in staged.files} >= {"README.md", "run.json", "model/model.json"}
    again = headstart.load(tmp_path / "up")
    assert again.sentence == opened.sentence
    again.model = with_weights(again.model, opened.model)
    images = sorted(photos.glob("*/0.png"))
    assert again.predict(images) == opened.predict(images)


def with_weights(model: Model, own: Model) -> Model:
    """A local weight file is told by its digest, and must be given again."""

    def given(net: SavedBackbone, known: SavedBackbone) -> SavedBackbone:
        assert (net.weights or "") == Path(known.weights or "").name
        return replace(net, weights=known.weights)

    partner = model.partner and own.partner and with_weights(model.partner, own.partner)
    return dataclasses.replace(
        model,
        backbone=given(model.backbone, own.backbone),
        beside=tuple(map(given, model.beside, own.beside)),
        partner=partner,
    )


def test_stage__keeps_pictures_names_and_paths_here(run: Run, photos: Path, tmp_path: Path) -> None:
    other = Run(run.folder)
    bad = LeftOut(name="dawn/Otto.png", reason="damaged")
    wrong = Mistake(
        name="dawn/Anna.png", digest="d", true="dawn", predicted="dusk", probability=0.9
    )
    data = replace(run.metrics.data, quarantine=(bad,))
    other.metrics = replace(run.metrics, data=data, mistakes=(wrong,))
    stage(other, tmp_path / "up")
    written = {p: p.read_bytes() for p in (tmp_path / "up").rglob("*") if p.is_file()}
    assert not {"report.html", "predictions.csv", "log.jsonl"} & {p.name for p in written}
    kept = json.loads((tmp_path / "up" / "model" / "reliability.json").read_text())
    assert all(name.startswith("training image") for name in kept["names"])
    for secret in (b"Anna", b"Otto", str(photos.parent).encode(), b"secret-place"):
        assert [p for p, content in written.items() if secret in content] == []
    stage(other, tmp_path / "all", with_report=True)
    assert (tmp_path / "all" / "report.html").is_file()
    assert "Anna" in (tmp_path / "all" / "metrics.json").read_text()


def test_stage__of_texts_is_a_run_that_predicts_the_same(
    text_run: Run, tiny_encoder: Path, tmp_path: Path
) -> None:
    staged = stage(text_run, tmp_path / "up")
    names = {name for name, _ in staged.files}
    assert {"README.md", "run.json", "model/text.json", "model/text.safetensors"} <= names
    assert not {"report.html", "predictions.csv", "log.jsonl"} & names
    again = headstart.load(tmp_path / "up")
    texts = ["a warm film", "the plot is dull"]
    with pytest.raises(RunError, match="give its folder once"):
        list(again.predict_texts(texts))
    again.give_encoder(str(tiny_encoder))
    assert list(again.predict_texts(texts)) == list(text_run.predict_texts(texts))


def test_stage__of_texts_keeps_texts_and_paths_here(
    text_run: Run, tiny_encoder: Path, tmp_path: Path
) -> None:
    other = Run(text_run.folder)
    text = "the plot is secretly mine"
    wrong = Mistake(
        name="line 7", digest="d", true="good", predicted="bad", probability=0.9, text=text
    )
    window = ClassTerms(name="bad", terms=(Term(term=text, score=1.0, n_texts=1),))
    assert text_run.metrics.text is not None
    findings = replace(text_run.metrics.text, telling_windows=(window,))
    other.metrics = replace(text_run.metrics, mistakes=(wrong,), text=findings)
    stage(other, tmp_path / "up")
    written = {p: p.read_bytes() for p in (tmp_path / "up").rglob("*") if p.is_file()}
    secrets = ("secretly", str(tiny_encoder.parent), str(text_run.folder.parent))
    for secret in secrets:
        assert [p for p, content in written.items() if secret.encode() in content] == []
    card = written[tmp_path / "up" / "README.md"].decode()
    assert "pipeline_tag: text-classification" in card
    assert "image" not in card.lower()
    assert "words of the training texts" in card
    assert "by its card: not stated" in card
    stage(other, tmp_path / "all", with_report=True)
    assert "secretly" in (tmp_path / "all" / "metrics.json").read_text()
    assert (tmp_path / "all" / "report.html").is_file()


NOT_PATHS = {
    *(
        "split_column",
        "group_column",
        "weight_column",
        "image_column",
        "label_column",
        "text",
        "label",
    ),
    *(
        "metric",
        "ordered",
        "prefer",
        "device",
        "arch",
        "multi_label",
        "label_columns",
        "target_column",
    ),
    *("group_by", "classes_from", "crop", "precision", "engine"),
}


@pytest.mark.parametrize("kind", [FitSettings, TextSettings])
def test_stage__settings_that_name_a_place_stay_here(
    run: Run, tmp_path: Path, kind: type[FitSettings | TextSettings]
) -> None:
    other = Run(run.folder)
    place = str(tmp_path / "secret" / "its-name")
    names = {f.name for f in fields(kind) if "str" in f.type}
    names -= NOT_PATHS  # a new setting must be thought of
    asked: dict[str, Any] = dict.fromkeys(names, place)
    if "address" in asked:
        asked |= {"address": "ray://10.1.2.3:10001", "engine": "ray"}
    other.provenance = replace(other.provenance, settings=kind(**asked))
    stage(other, tmp_path / "up")
    written = {p: p.read_bytes() for p in (tmp_path / "up").rglob("*") if p.is_file()}
    for secret in (str(tmp_path).encode(), b"10.1.2.3"):
        assert [p for p, content in written.items() if secret in content] == []
    kept = json.loads(written[tmp_path / "up" / "run.json"])["settings"]
    assert {kept[name] for name in names - {"address"}} == {"its-name"}


def test_push__warns_that_a_public_model_of_texts_holds_their_words(
    text_run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_none")

    def unreachable(**_: object) -> None:
        raise ConnectionError("no hub here")

    monkeypatch.setattr(huggingface_hub, "HfApi", unreachable)
    for public in (False, True):
        with pytest.raises(ConnectionError, match="no hub here"):
            headstart.export.push(text_run, "me/words", public=public)
        assert ("rare ones such as names" in caplog.text) == public


def test_stage__never_over_something(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    for place in (tmp_path, tmp_path / "mine"):
        with pytest.raises(OutputError, match="is there and not empty"):
            stage(run, place)


@pytest.mark.parametrize(
    "name", ["photos", "a/b/c", "/b", "a/", "a b/c", "a/..", "../b", "a/b--c", "a/é"]
)
def test_check_repository__wrong(name: str) -> None:
    with pytest.raises(InputError, match="owner/name"):
        check_repository(name)


def test_check_repository__right() -> None:
    check_repository("me-2/scene_15.v2")


COMMAND = "from headstart.cli import main; main()"


def push(run: Run, **environment: str) -> tuple[int, str]:
    """The command in a process of its own, far from any hub."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "push", str(run.folder), "--repo", "me/light"],
        env=kept
        | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_DISABLE_TELEMETRY": "1"}
        | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


def test_push__without_a_token_says_where_to_get_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(InputError, match="set HF_TOKEN"):
        headstart.export.push(run, "me/light")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="unset it"):
        headstart.export.push(run, "me/light")


@pytest.mark.slow
def test_push__without_a_network_is_one_line(run: Run, tmp_path: Path) -> None:
    code, said = push(run, HF_HOME=str(tmp_path), HF_TOKEN="hf_none")
    assert (code, said.count("\n")) == (1, 1), said
    assert said.startswith("headstart: cannot push to me/light: the hub cannot be reached")
    assert "hf_none" not in said
