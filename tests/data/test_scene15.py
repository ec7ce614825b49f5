"""scene15 from any copy, under one set of names."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from headstart.data import index
from headstart.data.scene15 import CLASSES, canonical_class, canonical_name, list_scene15
from headstart.errors import DataError

ORIGINAL = [
    "bedroom",
    "CALsuburb",
    "industrial",
    "kitchen",
    "livingroom",
    "MITcoast",
    "MITforest",
    "MIThighway",
    "MITinsidecity",
    "MITmountain",
    "MITopencountry",
    "MITstreet",
    "MITtallbuilding",
    "PARoffice",
    "store",
]
NUMBERS = [f"{i:02d}" for i in range(15)]
SPACED = ["Inside City", "Tall-Building", "open_country", "living room"]


def test_canonical_class__knows_every_copy() -> None:
    assert sorted(filter(None, map(canonical_class, ORIGINAL))) == list(CLASSES)
    assert [canonical_class(a) for a in NUMBERS] == [canonical_class(b) for b in ORIGINAL]
    assert all(canonical_class(name) == name for name in CLASSES)
    assert [canonical_class(n) for n in SPACED] == [
        "InsideCity",
        "TallBuilding",
        "OpenCountry",
        "LivingRoom",
    ]
    assert [canonical_class(n) for n in ("cat", "15", "")] == [None] * 3


def test_canonical_name__changes_the_class_only() -> None:
    assert canonical_name("MITcoast/image_0001.jpg") == "Coast/image_0001.jpg"
    assert canonical_name("x/PARoffice/a.jpg") == "x/Office/a.jpg"
    assert canonical_name("cats/a.jpg") == "cats/a.jpg"
    assert canonical_name("a.jpg") == "a.jpg"


@pytest.mark.parametrize(
    "names", [ORIGINAL, NUMBERS, CLASSES], ids=["original", "numbers", "plain"]
)
def test_index__reads_a_local_copy(tree, names) -> None:
    root = tree(
        {
            f"scene15/{c}/image_{i:04d}.jpg": 40 * n + i
            for n, c in enumerate(names)
            for i in range(2)
        }
    )
    found = index(f"scene15:{root}")
    assert found.source == "scene15"
    assert found.classes == CLASSES
    assert len(found) == 30


def test_index__finds_the_copy_that_the_environment_names(tree, monkeypatch, tmp_path) -> None:
    root = tree(
        {f"scene15/{c}/{i}.jpg": 40 * n + i for n, c in enumerate(ORIGINAL) for i in range(2)}
    )
    monkeypatch.setenv("HEADSTART_DATA", str(root))
    split = tmp_path / "split.csv"
    names = [f"{canonical_class(c)}/{i}.jpg" for c in ORIGINAL for i in range(2)]
    split.write_text("".join(f"{'train' if '/0' in n else 'test'},{n}\n" for n in names))
    found = index("scene15", split=split)
    assert len(found.train) == len(found.test) == 15


def test_list_scene15__fetches_and_unpacks_the_archive(tree, tmp_path: Path) -> None:
    root = tree({f"{c}/{i}.jpg": 40 * n + i for n, c in enumerate(ORIGINAL) for i in range(2)})
    archive = tmp_path / "published.zip"
    with zipfile.ZipFile(archive, "w") as members:
        for path in sorted(root.rglob("*.jpg")):
            members.write(path, f"scene_categories/{path.relative_to(root)}")
    cache = tmp_path / "cache"
    listing = list_scene15([], cache=cache, url=archive.as_uri(), md5="")
    assert {i.label for i in listing.items} == set(CLASSES)
    archive.unlink()
    assert len(list_scene15([], cache=cache, url=archive.as_uri()).items) == 30


def test_list_scene15__notes_what_a_copy_lacks(tree) -> None:
    root = tree({"MITcoast/1.jpg": 1, "MITforest/1.jpg": 2, "readme/1.jpg": 3})
    listing = list_scene15([root], cache=None)
    assert {i.label for i in listing.items} == {"Coast", "Forest"}
    assert any("'readme'" in n for n in listing.notes)
    assert any("lacks 13 classes" in n for n in listing.notes)


def test_list_scene15__says_how_to_get_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("HEADSTART_DATA", raising=False)
    with pytest.raises(DataError, match=r"scene15:FOLDER.*HEADSTART_DATA"):
        index("scene15")
    with pytest.raises(DataError, match="cannot download"):
        list_scene15([], cache=tmp_path, url="http://127.0.0.1:9/a.zip")
    with pytest.raises(DataError, match="there is no folder"):
        index("scene15:/no/such/folder")
