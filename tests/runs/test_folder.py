"""A run folder takes its place whole; an older one is never lost, and another's is never replaced."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import headstart
from headstart.errors import OutputError, RunError
from headstart.files import held
from headstart.runs.folder import bring_back, check_output, free_name, staged, usual_name

DEAD = 999_999_999  # no process has this number


def make(folder: Path, text: str = "{}") -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(text)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_staged__a_run_that_was_made_meanwhile_is_left_as_it_is(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with (  # noqa: PT012
        pytest.raises(OutputError, match="was made meanwhile by another run"),
        staged(out, force=False) as scratch,
    ):
        (scratch / "run.json").write_text("mine")
        make(out, "theirs")
    assert (out / "run.json").read_text() == "theirs"
    assert names(tmp_path) == ["run"]


def test_staged__forced_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    out = make(tmp_path / "run", "old")
    with staged(out, force=True) as scratch:
        (scratch / "run.json").write_text("new")
    assert (out / "run.json").read_text() == "new"
    assert names(tmp_path) == ["run"]


def test_staged__where_the_new_run_cannot_take_its_place_the_older_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = make(tmp_path / "run", "old")
    real, calls = os.rename, []

    def second_fails(*given: object) -> None:
        calls.append(given)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", second_fails)
    with (
        pytest.raises(OutputError, match="No space left"),
        staged(out, force=True) as scratch,
    ):
        (scratch / "run.json").write_text("new")
    assert (out / "run.json").read_text() == "old"
    assert names(tmp_path) == ["run"]


def test_staged__without_room_for_the_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.mkdir

    def full(path: str, *given: object, **more: object) -> None:
        if str(path).endswith(".partial"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "mkdir", full)
    with pytest.raises(OutputError, match="No space left"), staged(tmp_path / "run", force=False):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize("force", [False, True])
def test_check_output__brings_back_a_run_that_a_killed_one_had_moved(
    force: bool, tmp_path: Path
) -> None:
    make(tmp_path / f".run.01234567.{DEAD}.old", "old")
    out = tmp_path / "run"
    if force:
        check_output(out, force=True)
    else:
        with pytest.raises(OutputError, match="exists already"):
            check_output(out, force=False)
    assert (out / "run.json").read_text() == "old"


def test_load__brings_a_run_back_too(tmp_path: Path) -> None:
    make(tmp_path / f".run.01234567.{DEAD}.old", "old")
    with pytest.raises(RunError, match="damaged"):  # this one is not a real run
        headstart.load(tmp_path / "run")
    assert names(tmp_path) == ["run"]


def test_bring_back__not_where_the_newer_is_there_or_its_maker_lives(tmp_path: Path) -> None:
    moved = make(tmp_path / f".run.01234567.{os.getpid()}.old", "old")
    bring_back(tmp_path / "run")
    assert moved.exists()  # this process lives
    elsewhere = make(tmp_path / f".run.01234567.{DEAD}.old", "old")
    with held(elsewhere):  # in another container, whose numbers say nothing here
        bring_back(tmp_path / "run")
    assert elsewhere.exists()
    make(tmp_path / "run", "new")
    bring_back(tmp_path / "run")
    assert not elsewhere.exists()
    assert (tmp_path / "run" / "run.json").read_text() == "new"


def test_bring_back__knows_names_that_begin_alike_apart(tmp_path: Path) -> None:
    other = make(tmp_path / f".run.2.01234567.{DEAD}.old", "of run.2")
    bring_back(tmp_path / "run")
    assert other.exists()
    bring_back(tmp_path / "run.2")
    assert (tmp_path / "run.2" / "run.json").read_text() == "of run.2"


def test_staged__leaves_a_folder_that_another_container_works_in(tmp_path: Path) -> None:
    theirs = tmp_path / f".run.01234567.{DEAD}.partial"
    theirs.mkdir()
    with held(theirs), staged(tmp_path / "run", force=False) as scratch:
        (scratch / "run.json").write_text("{}")
    assert theirs.exists()
    with staged(tmp_path / "run-2", force=False):  # of another name: not its to clear
        pass
    assert theirs.exists()
    with staged(tmp_path / "run", force=True):  # nobody works in it any more
        pass
    assert not theirs.exists()


def test_free_name__is_not_one_that_a_run_is_making(tmp_path: Path) -> None:
    assert free_name("photos", parent=tmp_path).name == "photos"
    with staged(tmp_path / "photos", force=False):
        assert free_name("photos", parent=tmp_path).name == "photos-2"
    (tmp_path / f".photos-2.01234567.{DEAD}.partial").mkdir()
    assert free_name("photos", parent=tmp_path).name == "photos-2"


def test_usual_name__is_taken_though_a_run_is_there(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert usual_name("data/photos", parent=tmp_path) == tmp_path / "photos"
    assert free_name("data/photos", parent=tmp_path) == tmp_path / "photos-2"


def test_usual_name__is_not_the_folder_of_the_uploads(tmp_path: Path) -> None:
    for data in ("uploads", "my/uploads/", "uploads.csv"):
        assert usual_name(data, parent=tmp_path).name == "run-uploads"
    assert usual_name("uploads", parent=tmp_path, suffix="-map").name == "uploads-map"


def test_check_output__what_a_killed_check_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / f".headstart-probe-{os.getpid()}").mkdir()
    check_output(tmp_path / "run", force=False)
    assert names(tmp_path) == []
