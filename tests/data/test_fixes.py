"""Corrections of labels: what a file says, what it does, and what cannot be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headstart.data import index
from headstart.data.fixes import Fix, apply_fixes, read_fixes, write_fixes
from headstart.data.records import Examples, Record
from headstart.errors import DataError


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Examples[Record]:
    """Two classes of six pictures, one of them in both."""
    import numpy as np
    from PIL import Image

    root = tmp_path_factory.mktemp("fixes") / "pets"
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    (root / "dog" / "5.png").write_bytes((root / "cat" / "5.png").read_bytes())
    (root / "dog" / "torn.png").write_bytes(b"torn")
    return index(root)


def _file(folder: Path, text: str) -> Path:
    path = folder / "fixes.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_read_fixes__keeps_names_as_they_are(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        '"name","action","label"\n"cat/a, b.png","relabel","dog"\n"#1.png","drop",""\n'
        '" x.png","keep","cat"\n',
    )
    assert read_fixes(path) == (
        Fix(name="cat/a, b.png", action="relabel", label="dog"),
        Fix(name="#1.png", action="drop"),
        Fix(name=" x.png", action="keep"),
    )


def test_write_fixes__is_read_again_as_it_was(tmp_path: Path) -> None:
    fixes = (
        Fix(name='cat/"a", b.png', action="relabel", label="dog, big"),
        Fix(name="#1.png", action="drop"),
        Fix(name="two\nlines.png", action="keep"),
    )
    path = tmp_path / "fixes.csv"
    path.write_bytes(write_fixes(fixes))
    assert read_fixes(path) == fixes


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name,action\nx,drop\n", "no column 'label'"),
        ("name,action,label\nx,drop,\ny,delete,\n", r"row 2|line 3.*must be one of.*'delete'"),
        ("name,action,label\nx,relabel,\n", "needs the new label"),
        ("name,action,label\nx,drop,\nx,keep,\n", "comes twice"),
    ],
)
def test_read_fixes__names_the_line_that_cannot_be_used(
    tmp_path: Path, text: str, match: str
) -> None:
    with pytest.raises(DataError, match=match):
        read_fixes(_file(tmp_path, text))


def test_read_fixes__an_empty_file_says_what_a_row_holds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows: expected a name, an action and a label"):
        read_fixes(_file(tmp_path, ""))


def test_read_fixes__a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file of fixes"):
        read_fixes(tmp_path / "fixes.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_fixes(tmp_path)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0\xff\xd8\xff" * 300,
        b"name,action,label\n" + b"x" * 10**6 + b",relabel," + b"y" * 10**6,
        b'name,action,label\n"x,drop,\n' * 3,
        b"name,action,label\nx,\x1b[31mdrop\x00,\n",
        b"name;action;label\nx;rm -rf;y\n",
    ],
    ids=["empty", "binary", "long", "quotes", "controls", "action"],
)
def test_fixes__a_hostile_file_is_one_short_line(
    found: Examples[Record], tmp_path: Path, raw: bytes
) -> None:
    path = tmp_path / "fixes.csv"
    path.write_bytes(raw)
    with pytest.raises(DataError) as told:
        apply_fixes(found, read_fixes(path), "fixes.csv")
    message = str(told.value)
    assert "fixes.csv" in message
    assert len(message) < 1_000
    assert message.isprintable()


def test_apply_fixes__changes_labels_and_leaves_images_out(found: Examples[Record]) -> None:
    fixes = (
        Fix(name="cat/0.png", action="relabel", label="dog"),
        Fix(name="dog/1.png", action="drop"),
        Fix(name="dog/2.png", action="keep"),
        Fix(name="dog/torn.png", action="drop"),
    )
    fixed = apply_fixes(found, fixes, "fixes.csv")
    labels = {r.name: r.label for r in fixed.records}
    before = {r.name: r for r in found.records}
    assert labels["cat/0.png"] == "dog"
    assert "dog/1.png" not in labels
    assert all(r.split == before[r.name].split for r in fixed.records)
    assert "1 label changed and 1 image left out by fixes.csv" in fixed.notes


def test_apply_fixes__settles_copies_with_different_labels(found: Examples[Record]) -> None:
    assert found.conflicting
    for fix in (
        Fix(name="cat/5.png", action="relabel", label="dog"),
        Fix(name="cat/5.png", action="drop"),
    ):
        assert not apply_fixes(found, (fix,), "fixes.csv").conflicting


@pytest.mark.parametrize(
    ("fix", "match"),
    [
        (Fix(name="cat/O.png", action="drop"), r"not among the images.*cat/O\.png.*Did you mean"),
        (Fix(name="cat/0.png", action="relabel", label="dgo"), "none of the classes.*Did you mean"),
    ],
)
def test_apply_fixes__refuses_what_names_nothing(
    found: Examples[Record], fix: Fix, match: str
) -> None:
    with pytest.raises(DataError, match=match):
        apply_fixes(found, (fix,), "fixes.csv")


def test_apply_fixes__refuses_to_empty_a_class_of_training_images(found: Examples[Record]) -> None:
    three = replace(
        found,
        records=tuple(
            replace(r, label="owl") if r.name.endswith(("0.png", "1.png")) else r
            for r in found.records
        ),
    )
    three = three.with_split(
        {r.name: "test" if i % 2 else "train" for i, r in enumerate(three.records)}
    )
    fixes = tuple(Fix(name=r.name, action="drop") for r in three.train if r.label == "owl")
    with pytest.raises(DataError, match=r"fixes\.csv: no training images of 1 class: 'owl'"):
        apply_fixes(three, fixes, "fixes.csv")


def test_apply_fixes__refuses_to_leave_one_class(found: Examples[Record]) -> None:
    fixes = tuple(Fix(name=r.name, action="drop") for r in found.records if r.label == "cat")
    with pytest.raises(DataError, match="fewer than two classes"):
        apply_fixes(found, fixes, "fixes.csv")
