"""A run folder from a stranger: links, pipes, devices, sizes, and JSON of any kind."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import headstart
from headstart.errors import HeadstartError, RunError
from headstart.runs.regular import LIMITS, open_regular, read_regular
from headstart.runs.run import Run
from headstart.runs.side_by_side import side_by_side

NAMES = (
    "run.json",
    "metrics.json",
    "report.html",
    "predictions.csv",
    "SHA256SUMS",
    "model/model.json",
    "model/head.safetensors",
)


@pytest.fixture
def stranger(run: Run, tmp_path: Path, older: Callable[[Path], Path]) -> Path:
    """A copy of a run without digests, so that nothing is refused because it was changed."""
    return older(Path(shutil.copytree(run.folder, tmp_path / "stranger")))


def test_read_regular__reads_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a").write_bytes(b"content")
    assert read_regular(tmp_path, "model/a") == b"content"
    (tmp_path / "way").symlink_to(tmp_path)  # the folder itself is the person's choice
    assert read_regular(tmp_path / "way", "model/a") == b"content"


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "model/../../out", "", "a\0b"])
def test_open_regular__names_that_lead_out(name: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a name of a file"), open_regular(tmp_path, name):
        pass


def test_open_regular__never_waits_for_a_pipe_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "way").symlink_to("real")
    (tmp_path / "null").symlink_to("/dev/null")
    kinds = {
        "pipe": "a pipe",
        "link": "a link",
        "broken": "a link",
        "way/file": "a link",
        "null": "a link",
        "real": "a folder",
    }
    for name, kind in kinds.items():
        with pytest.raises(RunError, match=f"is {kind}"), open_regular(tmp_path, name):
            pass
    with pytest.raises(FileNotFoundError), open_regular(tmp_path, "gone"):
        pass


def test_open_regular__a_sparse_file_is_too_large(tmp_path: Path) -> None:
    with (tmp_path / "run.json").open("wb") as file:
        file.truncate(LIMITS["run.json"] + 1)
    with pytest.raises(RunError, match="more than the") as caught:
        read_regular(tmp_path, "run.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["link inside", "link outside", "pipe", "socket", "folder"])
def test_load__takes_regular_files_only(
    name: str, kind: str, stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stranger / name
    path.touch()  # the sums are not there
    outside = tmp_path / "outside"
    path.rename(outside)
    if kind == "link outside":
        path.symlink_to(outside)
    elif kind == "link inside":
        outside.rename(path.with_name("other"))
        path.symlink_to("other")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        monkeypatch.chdir(path.parent)  # the name of a socket must be short
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    with pytest.raises(RunError) as caught:
        headstart.load(stranger)
    assert "\n" not in str(caught.value)
    assert Path(name).name in str(caught.value)


def test_load__a_model_folder_that_is_a_link(stranger: Path, tmp_path: Path) -> None:
    (stranger / "model").rename(tmp_path / "elsewhere")
    (stranger / "model").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="not a folder of the run's own"):
        headstart.load(stranger)


def test_load__sums_that_name_a_link(run: Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run.folder, tmp_path / "copy"))
    (copy / "extra").symlink_to("/dev/zero")
    with (copy / "SHA256SUMS").open("a") as sums:
        sums.write("0" * 64 + "  extra\n")
    with pytest.raises(RunError, match="extra is a link"):
        headstart.load(copy)


DEEP: Any = 0
for _ in range(900):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "changed",
    [
        {"settings": None},
        {"settings": {"data": 3}},
        {"settings": {"data": ["a"]}},
        {"settings": {"data": "x", "split": {"a": 1}}},
        {"settings": {"data": "x", "seed": -1}},
        {"settings": {"data": "x", "test_size": "half"}},
        {"data": "photos"},
        {"data": {"path": "x", "digest": None}},
        {"backbone": [1]},
        {"backbone": {"digest": 5}},
        {"versions": "all"},
        {"schema": "1"},
        {"settings": DEEP},
    ],
    ids=lambda c: str(c)[:40],
)
def test_load__run_json_of_another_form_is_one_line(
    changed: dict[str, Any], stranger: Path
) -> None:
    facts = json.loads((stranger / "run.json").read_text())
    (stranger / "run.json").write_text(json.dumps(facts | changed))
    with pytest.raises(RunError, match="damaged") as caught:
        headstart.load(stranger)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema": 1, "a": NaN}', '{"a": 1e', "\xff"])
def test_load__run_json_that_is_no_json_is_one_line(text: str, stranger: Path) -> None:
    (stranger / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunError, match="damaged"):
        headstart.load(stranger)


def test_side_by_side__does_not_read_predictions_behind_a_link(
    run: Run, stranger: Path, tmp_path: Path
) -> None:
    opened = headstart.load(stranger)
    (stranger / "predictions.csv").rename(tmp_path / "mine.csv")
    (stranger / "predictions.csv").symlink_to(tmp_path / "mine.csv")
    with pytest.raises(HeadstartError, match="is a link"):
        side_by_side([run, opened])


def test_push__uploads_nothing_behind_a_link(stranger: Path, tmp_path: Path) -> None:
    from headstart.export.hub import stage

    opened = headstart.load(stranger)
    (tmp_path / "secret").write_text("secret")
    (stranger / "model" / "extra.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(RunError, match="is a link"):
        stage(opened, tmp_path / "staged")
    assert not (tmp_path / "staged" / "model" / "extra.txt").exists()
