from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


def test_export__shows_file_card_input_and_check(
    headstart: Callable, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    _, run = finished
    out = tmp_path / "light.pt"
    said = headstart("export", run, "--to", "torchscript", "--out", out, "--n-check", "2")
    assert said.code == 0, said
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines] == ["file", "card", "input", "output", "check"]
    assert "images uint8 (n, height, width, 3)" in lines[2]
    assert "gives the class of PyTorch for 2 of 2 images" in lines[4]
    assert "check the file: 2 images in" in said.err
    assert out.is_file()
    assert (tmp_path / "light.pt.md").read_text().startswith("# run\n")


def test_export__json_and_a_default_name(
    headstart: Callable,
    finished: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, run = finished
    monkeypatch.chdir(tmp_path)
    words = ("--to", "safetensors", "--images", data / "dark", "--n-check", "2", "--json")
    found = json.loads(headstart("export", run, *words).out)
    assert found["path"] == "run.safetensors"
    assert found["check"]["n_images"] == 2
    assert found["facts"]["classes"] == ["bright", "dark"]


def test_export__bad_input_is_one_line(
    fails: Callable, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    _, run = finished
    assert "--to must be onnx" in fails("export", run, "--to", "pdf")
    assert "cleanlab" in fails("export", run, "--to", "onxx")
    assert "/dev/null" in fails("export", run, "--out", "/dev/null", "--force")
    assert "no such run folder" in fails("export", tmp_path / "none")
    for name in ("run.json", "metrics.json"):
        (tmp_path / name).write_text('{"schema": 99}')
    assert "newer Headstart (schema 99" in fails("export", tmp_path)


def test_push__writes_the_folder_without_uploading(
    headstart: Callable, fails: Callable, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    _, run = finished
    said = headstart("push", run, "--only-write", tmp_path / "up")
    assert said.code == 0
    assert "README.md" in said.out
    assert "nothing was uploaded" in said.out
    assert "not empty" in fails("push", run, "--only-write", tmp_path / "up")
    assert "owner/name" in fails("push", run, "--repo", "photos")
    assert "give either" in fails("push", run)


def test_a_run_on_texts__becomes_a_folder_and_is_pushed(
    headstart: Callable, fails: Callable, tmp_path: Path
) -> None:
    rows = [f"{word} number {i},{word}" for i in range(20) for word in ("good", "bad")]
    (tmp_path / "t.csv").write_text("\n".join(["words,label", *rows]) + "\n")
    words = ("--text", "words", "--label", "label", "--out", tmp_path / "run", "--no-finetune")
    assert headstart("fit", tmp_path / "t.csv", *words, "--encoder", "none").code == 0
    said = headstart("export", tmp_path / "run", "--out", tmp_path / "made", "--json")
    assert said.code == 0
    assert (tmp_path / "made" / "predict.py").is_file()
    assert json.loads(said.out)["check"]["max_difference"] < 1e-6
    assert "--takes is for runs on images" in fails(
        "export", tmp_path / "run", "--out", tmp_path / "m", "--takes", "tensors"
    )
    # Again, without and with --force, and without the table of the fit.
    again = ("export", tmp_path / "run", "--out", tmp_path / "made")
    assert "exists already: choose another --out, or add --force" in fails(*again)
    (tmp_path / "t.csv").rename(tmp_path / "elsewhere.csv")
    said = headstart(*again, "--force")
    assert said.code == 0
    assert "not checked" in said.out
    assert "--data" not in said.out
    assert " 0.0 MiB" not in said.out
    said = headstart("push", tmp_path / "run", "--only-write", tmp_path / "up")
    assert said.code == 0
    assert "nothing was uploaded" in said.out


def test_export__to_cleanlab_writes_probabilities_alone(
    headstart: Callable, fails: Callable, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    _, run = finished
    out = tmp_path / "p.csv"
    said = headstart("export", run, "--to", "cleanlab", "--out", out, "--json")
    assert said.code == 0, said
    found = json.loads(said.out)
    n_rows = len(out.read_text("utf-8").splitlines()) - 1
    assert (found["n_images"], found["n_classes"]) == (n_rows, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["p.csv"]
    assert "exists already" in fails("export", run, "--to", "cleanlab", "--out", out)
    words = ("--to", "cleanlab", "--out", tmp_path / "q.csv", "--takes", "tensors")
    assert "--takes tensors has no effect with --to cleanlab" in fails("export", run, *words)
    assert "must end in .csv or .npz" in fails(
        "export", run, "--to", "cleanlab", "--out", tmp_path / "q.txt"
    )
