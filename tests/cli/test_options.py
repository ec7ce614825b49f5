"""Where results go is looked at before any work is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

# Data that is not there: whoever looks at it before --out says so instead.
FOLDERS = [
    ("compare", "gone"),
    ("augment", "trial", "gone"),
    ("augment", "views", "gone"),
    ("transfer", "size", "gone"),
    ("transfer", "layers", "gone"),
    ("transfer", "advice", "gone"),
    ("transfer", "scores", "gone"),
    ("transfer", "profile", "gone"),
    ("transfer", "similarity", "gone"),
    ("transfer", "shift", "gone"),
    ("baseline", "sift", "gone"),
    ("baseline", "pixels", "gone"),
    ("kernels", "gone.png"),
    ("lab", "dropout"),
    ("similar", "gone", "gone.png"),
    ("finetune", "gone", "--compare", "regimes"),
    ("complexity",),
    ("report", "gone", "gone2"),
]


@pytest.mark.parametrize("words", FOLDERS, ids=" ".join)
def test_results__a_place_that_cannot_be_written_is_told_first(
    words: tuple[str, ...],
    fails: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    for place in ("/proc/x", "/dev/null", "file", "file/below", ""):
        said = fails(*words, "--out", place)
        assert (place or "empty") in said
        assert "gone" not in said
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize("place", ["/proc/x/y", "", "file/below"])
def test_fit__a_place_that_cannot_be_written(
    place: str, photos: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    (photos.parent / "file").write_text("mine")
    said = fails("fit", photos, "--out", place, "--resolutions", "64")
    assert "write" in said


@pytest.mark.parametrize(
    "words",
    [
        ("describe", "squeezenet1_0"),
        ("augment", "preview", "gone"),
        ("augment", "search", "gone"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("place", ["/dev/null", "/proc/x/a.json", "folder", "", "file/a.png"])
def test_file_to_write__only_a_regular_file(
    words: tuple[str, ...],
    place: str,
    fails: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    said = fails(*words, "--out", place)
    assert "gone" not in said
    assert not Path("/dev/null").is_file()


def test_results__a_tilde_is_the_home_folder(
    headstart: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    said = headstart("complexity", "alexnet", "vgg16", "--out", "~/pages")
    assert said.code == 0, said.err
    assert (tmp_path / "home" / "pages" / "complexity.html").is_file()
    assert not (tmp_path / "~").exists()


def test_results__the_usual_place_is_tried_too(
    fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").write_text("mine")
    assert "runs" in fails("compare", "gone")
