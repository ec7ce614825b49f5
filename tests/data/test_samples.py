"""Sample data: written once, by name, and behind a folder of that name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from headstart.data import index, sample_folder, sample_names, set_names, write_cat, write_digits
from headstart.data.samples import MAX_TILES, TILE_PX
from headstart.errors import DataError


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_sample_folder__digits_are_written_once_and_all_there(cache: Path) -> None:
    folder = sample_folder("digits", cache)
    found = index(folder, cache=None)
    assert len(found) + len(found.quarantine) == 1797
    assert found.classes == tuple("0123456789")
    before = folder.stat().st_mtime_ns
    assert sample_folder("digits", cache) == folder
    assert folder.stat().st_mtime_ns == before
    assert [p.name for p in folder.parent.iterdir() if p.name.startswith(".")] == []


def test_index__of_a_sample_says_that_it_is_one(cache: Path) -> None:
    pytest.importorskip("skimage")
    found = index("photographs", cache=cache)
    assert found.root == (cache / "datasets" / "photographs").resolve()
    assert any(note.startswith("sample data: ") for note in found.notes)
    assert {(r.width, r.height) for r in found.records} == {(TILE_PX, TILE_PX)}
    per_class = found.counts()
    assert len(per_class) == 11
    assert all(10 <= sum(counts.values()) <= MAX_TILES for counts in per_class.values())
    assert not found.quarantine


def test_index__a_folder_of_the_name_wins(tree, tmp_path: Path, monkeypatch) -> None:
    tree(
        {f"digits/{c}/{i}.png": 10 * n + i for n, c in enumerate("ab") for i in range(4)}, root="."
    )
    monkeypatch.chdir(tmp_path)
    found = index("digits")
    assert found.root == tmp_path / "digits"
    assert found.classes == ("a", "b")


def test_sample_names__are_data_sets_too() -> None:
    assert set(sample_names()) == {"digits", "photographs"} <= set(set_names())


def test_index__has_no_copies_of_a_sample(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"digits is made here.*give '/x' alone"):
        index("digits:/x", cache=tmp_path)


def test_sample_folder__unknown_names_are_refused(cache: Path) -> None:
    with pytest.raises(DataError, match=r"'../x'; known: digits, photographs"):
        sample_folder("../x", cache)


def test_sample_folder__a_missing_package_is_named_and_nothing_left(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    for make in (lambda: sample_folder("photographs", tmp_path), lambda: write_cat(tmp_path / "c")):
        with pytest.raises(DataError, match=r"pip install 'headstart\[demo\]'"):
            make()
    assert list(tmp_path.rglob("*")) == [tmp_path / "datasets"]


def test_write_digits__takes_the_first_of_each(tmp_path: Path) -> None:
    write_digits(tmp_path, per_class=2)
    files = sorted(tmp_path.rglob("*.png"))
    assert len(files) == 20
    with Image.open(files[0]) as first:
        assert first.size == (64, 64)
