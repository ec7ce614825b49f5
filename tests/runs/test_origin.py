"""Whose run it is, and that a stranger's data is not opened unasked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import headstart
from headstart.errors import DataError, RunError
from headstart.features.inventory import take_inventory
from headstart.features.pruning import prunable
from headstart.home import cache_folder
from headstart.runs.origin import Origin, known_origin, remember, require_encoder
from headstart.runs.retrieval import similar
from headstart.runs.run import Run


@pytest.fixture
def stranger(run: Run, tmp_path: Path, older: Callable[[Path], Path]) -> Callable[..., Run]:
    """``stranger(**settings)``: the run as another person would have made it."""

    def make(**changed: object) -> Run:
        folder = older(Path(shutil.copytree(run.folder, tmp_path / "stranger")))
        facts = json.loads((folder / "run.json").read_text())
        facts["settings"] |= changed
        facts["created"] = "2020-01-01T00:00:00+00:00"
        (folder / "run.json").write_text(json.dumps(facts))
        return headstart.load(folder)

    return make


def test_known_origin__of_a_run_that_was_made_here(
    run: Run, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # wherever the run is looked at from, and wherever it is moved to
    moved = Path(shutil.copytree(run.folder, tmp_path / "moved"))
    for folder in (run.folder, moved):
        assert known_origin(folder) == Origin(data=str(shapes))


@pytest.mark.parametrize(
    "data",
    [
        "http://127.0.0.1:9/x.tar",
        "reference:///tmp/x",
        "s3://bucket/x",
        "/etc",
        "~/secret",
        "\\\\server\\share",
        "cifar10",
        "memory://x",
        "a\x1b[2Jb",
    ],
)
def test_similar__does_not_open_the_data_of_a_stranger(
    data: str,
    stranger: Callable[..., Run],
    shapes: Path,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import headstart.data

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("it was opened")

    monkeypatch.setattr(headstart.data, "index", opened)
    with pytest.raises(DataError, match="--data") as caught:
        similar(stranger(data=data), shapes / "bars" / "00.png", cache=store)
    assert str(caught.value).isprintable()


def test_similar__of_a_strangers_run_takes_what_is_given_and_remembers_it(
    stranger: Callable[..., Run], shapes: Path, store: Path
) -> None:
    run = stranger(data="http://127.0.0.1:9/x.tar")
    picture = shapes / "bars" / "00.png"
    assert similar(run, picture, k=1, data=str(shapes), cache=store).neighbours
    assert similar(run, picture, k=1, cache=store).neighbours


def test_similar__other_data_than_the_runs_is_not_remembered(
    stranger: Callable[..., Run], make_shapes: Callable[..., Path], store: Path, tmp_path: Path
) -> None:
    other = make_shapes(tmp_path / "other", n=8)
    run = stranger()
    picture = other / "bars" / "00.png"
    similar(run, picture, k=1, data=str(other), cache=store)
    with pytest.raises(DataError, match="--data"):
        similar(run, picture, k=1, cache=store)


def test_similar__does_not_open_the_split_file_of_a_stranger(
    stranger: Callable[..., Run], shapes: Path, store: Path
) -> None:
    run = stranger(split="/dev/zero")
    with pytest.raises(DataError, match="`split`"):
        similar(run, shapes / "bars" / "00.png", data=str(shapes), cache=store)


def test_encoder__of_a_stranger_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    evil = tmp_path / "encoder"
    with pytest.raises(RunError, match="`encoder`"):
        require_encoder(tmp_path, evil)
    # A run of one's own whose model names another encoder than it was fitted with.
    (tmp_path / "own").mkdir()
    remember(tmp_path, Origin(data="x", encoder=str(tmp_path / "own")))
    assert require_encoder(tmp_path, evil) == tmp_path / "own"


def test_remember__nothing_where_the_cache_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file"))
    remember(tmp_path, Origin(data="x"))
    assert known_origin(tmp_path) is None


@pytest.mark.parametrize("kept", ["", "[]", "3", '{"data": "x", "other": 1}', "{"])
def test_known_origin__a_damaged_record_counts_as_none(
    kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))  # all its records are damaged
    (tmp_path / "run.json").write_text("{}")
    remember(tmp_path, Origin(data="x"))
    for record in (cache_folder() / "runs").iterdir():
        record.write_text(kept)
    assert known_origin(tmp_path) is None


def test_prunable__leaves_what_is_known_of_runs(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    remember(tmp_path, Origin(data="x"))
    inventory = take_inventory(cache_folder())
    assert any(item.kind == "runs" for item in inventory.items)
    assert not any(item.kind == "runs" for item in prunable(inventory, None))
