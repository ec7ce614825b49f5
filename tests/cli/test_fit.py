from __future__ import annotations

import dataclasses
import html
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.errors import InputError
from headstart.runs.provenance import command
from headstart.runs.settings import FitSettings, TextSettings, settings_from


def test_fit__shows_the_table_the_sentence_and_where_the_report_is(
    headstart: Callable, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    (photos / "dark" / "broken.jpg").write_bytes(b"")
    said = headstart("fit", photos, "--out", out, "--resolutions", "64,96", "--quiet")
    assert said.code == 0, said
    for text in ("64 px", "96 px", "conv_head", "* chosen", "Mean of", "report.html", "broken.jpg"):
        assert text in said.out, text
    assert said.err == ""
    assert max(len(line) for line in said.out.split("Mean of")[0].splitlines()) <= 100


def test_fit__json_is_the_metrics(headstart: Callable, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = headstart("fit", photos, "--out", out, "--resolutions", "64", "--json")
    assert json.loads(said.out) == json.loads((out / "metrics.json").read_text())


def test_report__says_it_again(headstart: Callable, finished: tuple[Path, Path]) -> None:
    said = headstart("report", finished[1])
    assert said.code == 0
    assert "Mean of" in said.out
    chosen = json.loads((finished[1] / "metrics.json").read_text())["chosen"]
    assert sum(m["weight"] for m in chosen["members"]) == pytest.approx(1)
    [line] = [line for line in said.out.splitlines() if line.startswith(f"{chosen['tap']}: ")]
    assert all(m["tap"] in line for m in chosen["members"])
    assert "fewer than 10 test images of every class" in said.out


def test_report__json_is_the_metrics(headstart: Callable, finished: tuple[Path, Path]) -> None:
    said = headstart("report", finished[1], "--json")
    assert said.code == 0
    assert said.err == ""
    assert json.loads(said.out) == json.loads((finished[1] / "metrics.json").read_text())


def test_report__of_several_is_one_page(
    headstart: Callable, fails: Callable, finished: tuple[Path, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "80")
    run, other, out = finished[1], tmp_path / "other", tmp_path / "page"
    shutil.copytree(run, other)
    said = headstart("report", run, other, "--out", out)
    assert said.code == 0
    assert f"{other.name} makes as many errors as {run.name}, too few images to tell" in said.out
    table = said.out.partition("On the same")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert (out / "side-by-side.html").is_file()
    as_json = headstart("report", run, other, "--out", out, "--json")
    found = json.loads(as_json.out)
    assert found == json.loads((out / "side-by-side.json").read_text())
    assert [row["name"] for row in found["runs"]] == [run.name, other.name]
    assert found["runs"][1]["difference"]["value"] == 0
    assert "different runs" in fails("report", run, run, "--out", out)
    assert "more than one run" in fails("report", run, "--out", out)


def test_report__of_no_run(fails: Callable, tmp_path: Path) -> None:
    assert "not a run folder" in fails("report", tmp_path)
    assert "no such run folder" in fails("report", tmp_path / "x")


def test_fit__no_such_folder(fails: Callable, tmp_path: Path) -> None:
    assert "nowhere" in fails("fit", tmp_path / "nowhere")


def test_fit__empty_folder(fails: Callable, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    fails("fit", tmp_path / "empty")


def test_fit__one_class(fails: Callable, photos: Path, tmp_path: Path) -> None:
    for path in (photos / "dark").iterdir():
        path.unlink()
    (photos / "dark").rmdir()
    assert "class" in fails("fit", photos, "--out", tmp_path / "run")


def test_fit__a_class_with_one_image(fails: Callable, photos: Path, tmp_path: Path) -> None:
    for path in sorted((photos / "dark").iterdir())[1:]:
        path.unlink()
    assert "dark" in fails("fit", photos, "--out", tmp_path / "run", "--quiet")


def test_fit__nothing_readable(fails: Callable, photos: Path, tmp_path: Path) -> None:
    for path in photos.glob("*/*"):
        path.write_text("text renamed")
    fails("fit", photos, "--out", tmp_path / "run", "--quiet")


def test_fit__existing_output(fails: Callable, photos: Path, finished: tuple[Path, Path]) -> None:
    assert "--force" in fails("fit", photos, "--out", finished[1])


def test_fit__output_under_a_file(fails: Callable, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "another --out" in fails("fit", photos, "--out", tmp_path / "file" / "run")


def test_fit__unknown_backbone(fails: Callable, photos: Path, tmp_path: Path) -> None:
    words = ("fit", photos, "--out", tmp_path / "run", "--backbone", "resnet55", "--quiet")
    assert "Did you mean" in fails(*words)


def test_fit__weights_without_arch(fails: Callable, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"junk")
    words = ("fit", photos, "--out", tmp_path / "run", "--weights", tmp_path / "w.safetensors")
    assert "--arch" in fails(*words, "--quiet")
    assert "damaged" in fails(*words, "--arch", "resnet18", "--quiet")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--resolutions", "160,big"),
        ("--resolutions", "4"),
        ("--budget", "soon"),
        ("--test-size", "2"),
        ("--C", "1,x"),
        ("--precision", "float8"),
        ("--seed", "-1"),
        ("--folds", "1"),
        ("--seed", "x"),
    ],
)
def test_fit__bad_option_values_are_named(
    fails: Callable, photos: Path, tmp_path: Path, option: str, value: str
) -> None:
    assert option in fails("fit", photos, "--out", tmp_path / "run", option, value)


def test_fit__unknown_device(fails: Callable, photos: Path, tmp_path: Path) -> None:
    words = ("fit", photos, "--out", tmp_path / "run", "--resolutions", "64", "--quiet")
    assert "--device" in fails(*words, "--device", "warp9")


def test_fit__names_of_any_kind_reach_the_terminal_harmlessly(
    headstart: Callable, photos: Path, tmp_path: Path
) -> None:
    evil = "a\nb \x1b[31m é 🐈 <script>.jpg"
    (photos / "dark" / evil).write_bytes(b"no image")
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(photos / "dark" / "ü\n🐈.png")
    said = headstart("fit", photos, "--out", tmp_path / "run", "--resolutions", "64", "--quiet")
    assert said.code == 0, said
    assert "\x1b[31m" not in said.out
    assert "<script>" in said.out
    assert "<script>.jpg" not in (tmp_path / "run" / "report.html").read_text()


def test_fit__a_symlink_loop_ends(headstart: Callable, photos: Path, tmp_path: Path) -> None:
    (photos / "dark" / "loop").symlink_to(photos, target_is_directory=True)
    said = headstart("fit", photos, "--out", tmp_path / "run", "--resolutions", "64", "--quiet")
    assert said.code == 0, said


def test_fit__says_what_became_of_fine_tuning(
    headstart: Callable, photos: Path, tmp_path: Path
) -> None:
    words = ("fit", photos, "--resolutions", "64", "--quiet", "--budget", "1s", "--out")
    said = headstart(*words, tmp_path / "run")
    assert said.code == 0, said
    assert "Fine-tuning skipped: needs about" in said.out
    said = headstart(*words, tmp_path / "off", "--no-finetune")
    assert said.code == 0, said
    assert "ine-tun" not in said.out


def test_fit__names_the_classes_in_the_terminal_and_the_report(
    headstart: Callable, photos: Path, tmp_path: Path
) -> None:
    (photos / "dark").rename(photos / "Bright ")
    out = tmp_path / "run"
    said = headstart("fit", photos, "--out", out, "--resolutions", "64", "--quiet")
    assert "classes: 'Bright ', 'bright'" in said.out
    assert "note: the labels 'Bright ' (6 images) and 'bright' (6 images)" in said.out
    page = html.unescape((out / "report.html").read_text())
    assert "Classes: 'Bright ', 'bright'." in page
    assert "The labels 'Bright ' (6 images) and 'bright' (6 images)" in page


def test_fit__refuses_a_split_or_a_patient_as_the_class(fails: Callable, photos: Path) -> None:
    (photos / "dark").rename(photos / "train")
    (photos / "bright").rename(photos / "test")
    assert "--classes-from outer" in fails("fit", photos)
    assert "--classes-from must be" in fails("fit", photos, "--classes-from", "top")


def test_fit__takes_the_classes_from_inside_and_merges_labels(
    headstart: Callable, photos: Path, tmp_path: Path
) -> None:
    for site, dark in (("a", "dark"), ("b", "Dark")):
        shutil.copytree(photos / "dark", tmp_path / "sites" / site / dark)
        shutil.copytree(photos / "bright", tmp_path / "sites" / site / "bright")
    words = ("--resolutions", "64", "--classes-from", "inner", "--merge-labels")
    out = tmp_path / "run"
    said = headstart("fit", tmp_path / "sites", "--out", out, *words, "--quiet")
    assert said.code == 0, said
    assert "classes: 'bright', 'dark'" in said.out or "classes: 'Dark', 'bright'" in said.out
    settings = json.loads((out / "run.json").read_text())
    assert settings["settings"]["classes_from"] == "inner"
    assert settings["settings"]["merge_labels"] is True
    assert "--classes-from inner" in settings["command"]
    assert (
        settings["command"].endswith("--merge-labels") or "--merge-labels --" in settings["command"]
    )
    assert headstart("similar", out, photos / "dark" / "0.png").code == 0


def test_fit__force_replaces_the_run_of_the_same_name(
    headstart: Callable, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("fit", photos, "--resolutions", "64", "--prefer", "single")
    said = headstart(*words)
    assert "is taken" not in said.err
    assert "too few images to say anything: 2 test images" in said.out
    said = headstart(*words, "--force")
    assert said.code == 0
    assert [p.name for p in Path("runs").iterdir()] == ["photos"]
    for wrong in (("--device", "gpu"), ("--weight-column", "nope")):
        assert "is taken" not in headstart(*words, *wrong).err  # which the error is not about
    said = headstart(*words, "--folds", "50")
    assert "runs/photos is taken, so the run will be runs/photos-2 (--force replaces" in said.err
    assert re.search(r"cross-validation in \d+ folds, .* too few for --folds 50", said.err)


EVERY = (
    FitSettings(
        data="-photos", budget_s=1234567.25, backbone="embedded,other", resolutions=(160, 224),
        split="s.csv", test_size=0.123456789, finetune=False, image_column="-i", label_column="l",
        split_column="s", group_column="g", group_by="p[0-9]+", weight_column="w", exact=True,
        metric="quadratic_kappa", ordered="a,b", class_weight="balanced", at_precision=0.95,
        classes_from="outer", merge_labels=True, fixes="f.csv", n_folds=7, repeats=2, seed=3,
        Cs=(0.12345678, 10.0), prefer="cheap", crop="squash", precision="float32", prompts="p.txt",
        device="cpu", engine="ray", address="ray://a:1", n_workers=2,
    ),
    FitSettings(
        data="photos", weights="w.safetensors", arch="timm:a?b=1", costs="c.csv", at_recall=0.5
    ),
    FitSettings(data="photos", multi_label=";"),
    FitSettings(data="photos", label_columns="red,is_*"),
    FitSettings(data="photos", target_column="--age"),
    TextSettings(
        data="t.csv", text="t", label="l", embeddings="e", encoder="none", epochs=3, budget_s=90.0
    ),
)  # fmt: skip


@pytest.mark.parametrize("asked", EVERY)
def test_fit__the_command_of_a_run_asks_for_the_same(
    headstart: Callable, monkeypatch: pytest.MonkeyPatch, asked: FitSettings | TextSettings
) -> None:
    found: list[Any] = []

    def fit(data: str, **given: Any) -> None:
        own = {f.name for f in dataclasses.fields(asked)}
        found.append(settings_from(type(asked), data, {k: v for k, v in given.items() if k in own}))
        raise InputError("that is all")

    monkeypatch.setattr("headstart.fit", fit)
    monkeypatch.setattr("headstart.data.texts.is_text_table", lambda data, **_: data == "t.csv")
    said = headstart(*shlex.split(command(asked))[1:])
    assert "that is all" in said.err
    assert found == [asked]


def test_fit__every_setting_has_its_option_in_the_command_of_a_run() -> None:
    for kind in (FitSettings, TextSettings):
        given = [asked.to_dict() for asked in EVERY if type(asked) is kind]
        usual = {f.name: f.default for f in dataclasses.fields(kind)}
        shared = set() if kind is FitSettings else {f.name for f in dataclasses.fields(FitSettings)}
        assert {k for k in usual if all(g[k] == usual[k] for g in given)} <= shared
