"""Facts kept on disk: found again, never trusted when damaged."""

from __future__ import annotations

import hashlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from headstart.data.factstore import FactStore
from headstart.data.inspection import THUMB_VALUES, Facts

GOOD = Facts(640, 480, 2**63 - 1, bytes(range(256)) * 3)
BAD = Facts(reason="truncated: the file ends before the picture does")


def _digest(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def test_fact_store__gives_back_what_was_written(tmp_path: Path) -> None:
    store = FactStore(tmp_path / "new" / "folder")
    store.add(_digest("a"), GOOD)
    store.add(_digest("b"), BAD)
    store.flush()
    again = FactStore(tmp_path / "new" / "folder")
    assert again.get(_digest("a")) == GOOD
    assert again.get(_digest("b")) == BAD
    assert again.get(_digest("c")) is None


def test_fact_store__keeps_thumbnails_that_end_in_zeros(tmp_path: Path) -> None:
    black = Facts(4, 4, 0, bytes(THUMB_VALUES))
    store = FactStore(tmp_path)
    store.add("00" * 32, black)
    store.flush()
    assert FactStore(tmp_path).get("00" * 32) == black


def test_fact_store__without_folder_writes_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = FactStore(None)
    store.add(_digest("a"), GOOD)
    store.flush()
    assert store.get(_digest("a")) == GOOD
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:200] + b"x" + b[201:]]
)
def test_fact_store__passes_over_a_damaged_file(tmp_path: Path, damage) -> None:
    store = FactStore(tmp_path)
    store.add(_digest("a"), GOOD)
    store.flush()
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    again = FactStore(tmp_path)
    assert again.get(_digest("a")) is None
    again.add(_digest("a"), GOOD)
    again.flush()
    assert FactStore(tmp_path).get(_digest("a")) == GOOD


def test_fact_store__merges_many_files(tmp_path: Path) -> None:
    for i in range(40):
        store = FactStore(tmp_path)
        store.add(_digest(i), GOOD)
        store.flush()
    last = FactStore(tmp_path)
    assert len(list(tmp_path.iterdir())) < 20
    assert all(last.get(_digest(i)) == GOOD for i in range(40))


def test_fact_store__costs_no_more_than_time_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = FactStore(tmp_path / "file")
    store.add(_digest("a"), GOOD)
    store.flush()
    assert store.get(_digest("a")) == GOOD


def _write_some(folder: Path, start: int) -> None:
    for i in range(start, start + 30):
        store = FactStore(folder)
        store.add(_digest(i), GOOD)
        store.flush()


def test_fact_store__survives_two_processes_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        for job in [pool.submit(_write_some, tmp_path, s) for s in (0, 1000)]:
            job.result()
    store = FactStore(tmp_path)
    found = [store.get(_digest(i)) for i in (*range(30), *range(1000, 1030))]
    assert set(found) <= {GOOD, None}
    assert found.count(None) <= 6  # a merge may lose what is written beside it; it is recomputed
    assert not list(tmp_path.glob("*.tmp"))
