from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.errors import OutputError
from headstart.probe import judge, memo


def test_memo_path__differs_with_the_facts_and_the_code(tmp_path: Path) -> None:
    places = {
        memo.memo_path(tmp_path, folder, facts, code=code)
        for folder in ("heads", "comparisons")
        for facts in ({"a": 1}, {"a": 2})
        for code in (("heads",), ("heads", "probe"))
    }
    assert len(places) == 8
    assert memo.memo_path(tmp_path, "h", {"a": 1, "b": 2}, code=("heads",)) == memo.memo_path(
        tmp_path, "h", {"b": 2, "a": 1}, code=("heads",)
    )


def test_code_digest__changes_with_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = tmp_path / "room"
    room.mkdir()
    (room / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(memo, "PACKAGE", tmp_path)
    seen = set()
    for text in ("x = 1\n", "x = 2\n"):
        (room / "a.py").write_text(text)
        memo.code_digest.cache_clear()
        seen.add(memo.code_digest("room"))
        seen.add(memo.code_digest("room/a.py"))
    memo.code_digest.cache_clear()
    assert len(seen) == 2  # a room of one file is that file


def test_code_digest__the_rooms_named_in_the_package_exist() -> None:
    for part in ("augment", "training", "heads", "probe", "text"):
        assert (memo.PACKAGE / part).is_dir()


@pytest.mark.parametrize("text", ["", "{", "\x00"])
def test_recall_json__a_damaged_file_counts_as_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    path = tmp_path / "x.json"
    assert memo.recall_json(path, list) is None
    path.write_text(text)
    assert memo.recall_json(path, list) is None
    assert "damaged" in caplog.text
    memo.keep_json(path, [1, "a"])
    assert memo.recall_json(path, list) == [1, "a"]


def test_recall_arrays__some_stay_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    arrays: dict[str, np.ndarray] = {"a": np.eye(3, dtype=np.float32), "b": np.arange(4)}
    memo.keep_arrays(path, arrays)
    again = memo.recall_arrays(path, on_disk=("a",))
    assert again is not None
    assert isinstance(again["a"], np.memmap)
    for name, value in arrays.items():
        np.testing.assert_array_equal(again[name], value)


def test_keep__a_full_disk_is_told_of_once_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, payload: bytes) -> None:
        raise OutputError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(memo, "write_atomically", full)
    X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    y = np.arange(40) % 2
    found = judge(X, y, np.arange(40) // 2 % 4, kept_at=tmp_path / "a.safetensors")
    memo.keep_json(tmp_path / "b.json", 1)
    assert found.decisions.shape == (40, 2)
    assert caplog.text.count("No space left on device") == 1
    assert list(tmp_path.iterdir()) == []
