from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from headstart.data import index
from headstart.data.packed import find_parts, is_packed, read_part
from headstart.data.parts import Part
from headstart.data.tarshards import _Counted, _groups
from headstart.data.texts import is_text_table
from headstart.errors import DataError, OutputError
from packing import Picture, pictures, write_folder, write_parquet, write_shards, write_tar


@pytest.fixture(scope="module")
def made() -> list[Picture]:
    return pictures(24)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, made: list[Picture]) -> Path:
    root = tmp_path_factory.mktemp("packed")
    write_folder(root / "photos", made)
    write_shards(root / "shards", made)
    write_parquet(root / "photos.parquet", made)
    (root / "many").mkdir()
    write_parquet(root / "many" / "0.parquet", made[:12])
    write_parquet(root / "many" / "1.parquet", made[12:])
    return root


def known(made: list[Picture]) -> set[tuple[str, str]]:
    return {(hashlib.sha256(data).hexdigest(), label) for data, label in made}


@pytest.mark.parametrize("prefix", ["", "file://"])
@pytest.mark.parametrize(
    "name", ["shards", "shards/*.tar", "photos.parquet", "many", "many/?.parquet"]
)
def test_index__of_a_packed_source_is_that_of_the_folder(
    packed: Path, made: list[Picture], tmp_path: Path, prefix: str, name: str
) -> None:
    data = f"{prefix}{packed}/{name}"
    assert is_packed(data)
    assert not is_text_table(data)
    found = index(data, cache=tmp_path)
    assert {(r.digest, r.label) for r in found.records} == known(made)
    assert len({r.name for r in found.records}) == 24
    assert all(r.path.is_relative_to(tmp_path) for r in found.records)
    # split and duplicates go by digest, so they are those of the folder
    folder = index(packed / "photos")
    assert {r.digest for r in found.test} == {r.digest for r in folder.test}


@pytest.mark.parametrize("name", ["photos", "shards", "photos.parquet"])
def test_index__reads_an_object_store(
    packed: Path, made: list[Picture], tmp_path: Path, name: str
) -> None:
    store = fsspec.filesystem("memory")
    store.put(str(packed / name), f"/bucket/{name}", recursive=True)
    try:
        found = index(f"memory://bucket/{name}", cache=tmp_path)
        assert {(r.digest, r.label) for r in found.records} == known(made)
    finally:
        store.rm("/bucket", recursive=True)


def test_index__of_a_folder_url_has_its_splits_and_passes_over_hidden_files(
    made: list[Picture], tmp_path: Path
) -> None:
    write_folder(tmp_path / "set" / "train", made[:16])
    write_folder(tmp_path / "set" / "test", made[16:])
    write_folder(tmp_path / "set" / "train" / ".trash", made[:2])
    found = index(f"file://{tmp_path}/set", cache=tmp_path / "cache")
    assert (len(found.train), len(found.test)) == (16, 8)
    assert found.classes == ("cat", "dog")


def test_index__unpacks_a_part_once(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = index(packed / "shards", cache=tmp_path)
    monkeypatch.setattr("headstart.data.unpacking.read_part", None)
    assert index(packed / "shards", cache=tmp_path).records == first.records


def test_index__a_part_that_has_changed_is_unpacked_again(
    made: list[Picture], tmp_path: Path
) -> None:
    write_parquet(tmp_path / "p.parquet", made[:12])
    assert len(index(tmp_path / "p.parquet", cache=tmp_path / "cache")) == 12
    write_parquet(tmp_path / "p.parquet", made)
    assert len(index(tmp_path / "p.parquet", cache=tmp_path / "cache")) == 24


def test_index__shards_say_their_split(made: list[Picture], tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00001.parquet", made[:16])
    write_parquet(tmp_path / "validation-00000-of-00001.parquet", made[16:])
    found = index(tmp_path, cache=tmp_path / "cache")
    assert (len(found.train), len(found.test)) == (16, 8)
    write_parquet(tmp_path / "more.parquet", made[:4])
    with pytest.raises(DataError, match=r"without a split beside others.*'more.parquet/000001'"):
        index(tmp_path, cache=tmp_path / "cache")


def test_index__parquet_has_a_split_column(made: list[Picture], tmp_path: Path) -> None:
    sides = ["train"] * 16 + ["test"] * 8
    columns = {"image": [d for d, _ in made], "label": [c for _, c in made], "split": sides}
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    assert len(index(tmp_path / "p.parquet", cache=tmp_path / "cache").test) == 8


def test_index__parquet_split_words_and_the_column_that_is_passed_over(
    made: list[Picture], tmp_path: Path
) -> None:
    columns = {"image": [d for d, _ in made], "label": [c for _, c in made]}
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table(columns | {"fold": [i % 5 for i in range(24)]}), path)
    assert index(path, cache=tmp_path / "cache").split_made
    pq.write_table(pa.table(columns | {"set": ["A"] * 24}), path)
    with pytest.raises(
        DataError, match=r"unknown split 'a' in column 'set'.*`split_column='none'`"
    ):
        index(path, cache=tmp_path / "cache")
    found = index(path, split_column="none", cache=tmp_path / "cache")
    assert (len(found), found.split_made) == (24, True)


def test_index__of_packed_data_names_the_files_that_are_left_out(
    made: list[Picture], tmp_path: Path
) -> None:
    (tmp_path / "set").mkdir()
    write_parquet(tmp_path / "set" / "a.parquet", made)
    for name in ("README.md", "loose.jpg", ".x"):
        (tmp_path / "set" / name).write_bytes(b"x")
    notes = " ".join(index(tmp_path / "set", cache=tmp_path / "cache").notes)
    assert "left out 1 file (of another kind): 'README.md'" in notes
    assert "left out 1 file (an image in no class folder or shard): 'loose.jpg'" in notes
    assert "left out 1 file (hidden): '.x'" in notes


def test_index__reads_hugging_faces_pictures_and_class_names(
    made: list[Picture], tmp_path: Path
) -> None:
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    table = pa.table(
        {
            "image": [{"bytes": data, "path": f"{i}.jpg"} for i, (data, _) in enumerate(made)],
            "label": [["cat", "dog"].index(label) for _, label in made],
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "p.parquet")
    found = index(tmp_path / "p.parquet", cache=tmp_path / "cache")
    assert {(r.digest, r.label) for r in found.records} == known(made)
    assert found.records[0].name == "p.parquet/000001 0.jpg"


def as_datasets_saves(folder: Path, made: list[Picture]) -> Path:
    """What `save_to_disk` of Hugging Face's datasets writes for one split."""
    features = {
        "image": {"_type": "Image"},
        "label": {"names": ["cat", "dog"], "_type": "ClassLabel"},
    }
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {
            "image": pa.array([{"bytes": data or None, "path": "a.jpg"} for data, _ in made], kind),
            "label": [["cat", "dog"].index(label) if label else -1 for _, label in made],
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    folder.mkdir(parents=True)
    name = "data-00000-of-00001.arrow"
    with pa.ipc.new_stream(folder / name, table.schema) as writer:
        writer.write_table(table, max_chunksize=10)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    (folder / "dataset_info.json").write_text("{}")
    (folder / "cache-0123.arrow").write_bytes(b"a copy that map has made")
    return folder / name


def test_index__reads_what_datasets_saves_to_disk(made: list[Picture], tmp_path: Path) -> None:
    unusable = [(made[0][0], ""), (b"", "cat")]
    for split, some in (("train", made[:16] + unusable), ("test", made[16:])):
        as_datasets_saves(tmp_path / "set" / split, some)
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    found = index(tmp_path / "set", cache=tmp_path / "cache")
    assert {(r.digest, r.label) for r in found.records} == known(made)
    assert (len(found.train), len(found.test)) == (16, 8)
    assert [q.reason for q in found.quarantine] == [
        "its label is missing",
        "its image is missing: only the path of a file is there",
    ]
    assert "dataset_info" not in " ".join(found.notes)
    one = index(tmp_path / "set" / "train", cache=tmp_path / "cache")
    assert {(r.digest, r.label) for r in one.records} == known(made[:16])


def test_index__reads_both_of_arrows_formats(made: list[Picture], tmp_path: Path) -> None:
    stream = as_datasets_saves(tmp_path / "s", made)
    with pa.ipc.open_stream(stream) as reader:
        table = reader.read_all()
    with pa.ipc.new_file(tmp_path / "file.arrow", table.schema) as writer:
        writer.write_table(table)
    digests = [
        {r.digest for r in index(path, cache=tmp_path / "cache").records}
        for path in (stream, tmp_path / "file.arrow")
    ]
    assert digests[0] == digests[1]
    stream.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="is not a readable Arrow file"):
        index(stream, cache=tmp_path / "cache")


def test_index__of_a_hub_repository_finds_its_data_folder(
    made: list[Picture], tmp_path: Path
) -> None:
    (tmp_path / "hub" / "data").mkdir(parents=True)
    (tmp_path / "hub" / "README.md").write_text("---\n---")
    write_parquet(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet", made[:16])
    write_parquet(tmp_path / "hub" / "data" / "test-00000-of-00001.parquet", made[16:])
    found = index(tmp_path / "hub", cache=tmp_path / "cache")
    assert (len(found.train), len(found.test)) == (16, 8)
    (tmp_path / "hub" / "small").mkdir()
    write_parquet(tmp_path / "hub" / "small" / "train-00000-of-00001.parquet", made[:8])
    with pytest.raises(DataError, match=r"several folders \('data', 'small'\).*give one"):
        index(tmp_path / "hub", cache=tmp_path / "cache")


def test_read_part__joins_row_groups_and_reads_each_row_once(
    made: list[Picture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.data.imageparquet.PART_IMAGES", 10)
    write_parquet(tmp_path / "p.parquet", made, rows=5)
    parts = find_parts(str(tmp_path / "p.parquet"))
    assert [(p.groups, p.n_images) for p in parts] == [((0, 2), 10), ((2, 4), 10), ((4, 5), 4)]
    assert [Part.from_json(p.to_json()) for p in parts] == list(parts)
    read = [sample for part in parts for sample in read_part(part)]
    assert [(s.data, s.label) for s in read] == made
    assert [s.name for s in read] == [f"p.parquet/{i:06d}" for i in range(1, 25)]


def test_index__a_bad_image_is_named_and_the_rest_goes_on(
    made: list[Picture], tmp_path: Path
) -> None:
    files = {f"{i:03d}.{s}": d for i, (b, c) in enumerate(made) for s, d in (("jpg", b), ("cls", c.encode()))}  # fmt: skip
    files |= {"bad.jpg": b"no picture", "bad.cls": b"cat", "alone.jpg": made[0][0]}
    files |= {
        "../../evil.jpg": made[1][0] + b"x",
        "../../evil.txt": b"dog",
        "notes.txt": b"of ours",
    }
    write_tar(tmp_path / "a.tar", files)
    found = index(tmp_path / "a.tar", cache=tmp_path / "cache")
    assert len(found) == 25
    assert {q.name: q.reason for q in found.quarantine} == {
        "a.tar/alone.jpg": "no label beside it (.cls, .txt or .json)",
        "a.tar/bad.jpg": "not an image: it holds text",
        "a.tar/notes": "no image of that name in the shard",
    }
    [evil] = [r for r in found.records if "evil" in r.name]
    assert evil.path.is_relative_to(tmp_path / "cache")


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_index__a_damaged_shard_gives_what_is_whole(
    packed: Path, made: list[Picture], tmp_path: Path, damage: str
) -> None:
    write_shards(tmp_path / "s", made)
    data = (tmp_path / "s" / "001.tar").read_bytes()
    half = len(data) // 2
    changed = data[:half] if damage == "cut" else data[:half] + b"\xff" * (len(data) - half)
    (tmp_path / "s" / "001.tar").write_bytes(changed)
    found = index(tmp_path / "s", cache=tmp_path / "cache")
    assert 12 < len(found) < 24
    assert any("damaged from here on" in q.reason for q in found.quarantine)


def test_index__a_shard_that_unpacks_to_far_more_than_its_bytes_ends_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.data.tarshards.BOMB_BYTES", 1 << 20)
    files = {f"{i}.{s}": d for i, (b, c) in enumerate(pictures(12)) for s, d in (("jpg", b), ("cls", c.encode()))}  # fmt: skip
    files |= {f"z{i}.{s}": d for i in range(9) for s, d in (("jpg", bytes(1 << 20)), ("cls", b"cat"))}  # fmt: skip
    whole = write_tar(tmp_path / "whole.tar", files)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(whole.read_bytes()))
    found = index(tmp_path / "a.tar.gz", cache=tmp_path / "cache")
    assert len(found) == 12
    told = {q.name: q.reason for q in found.quarantine}
    assert "unpacks to more than 100 times its size" in told["a.tar.gz"]
    assert 1 < len(told) < 6


def test_read_part__holds_one_image_of_a_key_and_no_endless_header(tmp_path: Path) -> None:
    [(first, label)] = pictures(1)
    files = {"a.1.jpg": first, "a.2.jpg": first + b"x", "a.3.png": b"y", "a.cls": label.encode()}
    path = write_tar(tmp_path / "a.tar", files)
    with tarfile.open(path) as archive:
        [group] = _groups(archive, _Counted(io.BytesIO()))
    assert group.files == {"1.jpg": first, "cls": label.encode()}
    for how in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        with tarfile.open(path, "w", format=how) as archive:
            archive.addfile(tarfile.TarInfo("n" * (2 << 20)))
        with pytest.raises(DataError, match="a header of 2,0"):
            find_parts(str(path))


def bad_parquet(path: Path, **columns: list[object]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("write", "options", "says"),
    [
        (lambda p: bad_parquet(p / "e.parquet", image=pa.array([], pa.binary()), label=[]), {},
         "'.*e.parquet' has no rows"),
        (lambda p: bad_parquet(p / "e.parquet", image=[pictures(1)[0][0]], kind=["cat"]), {},
         r"no label column that can be recognised by its name; it has 'image', 'kind': .*`label_column`"),
        (lambda p: write_parquet(p / "e.parquet", pictures(4)), {"label_column": "lable"},
         "no column 'lable'.*Did you mean 'label'"),
        (lambda p: write_parquet(p / "e.parquet", pictures(4)), {"image_column": "imgae"},
         "no column of image bytes called 'imgae'.*Did you mean 'image'"),
        (lambda p: bad_parquet(p / "e.parquet", a=[pictures(1)[0][0]], b=[b"x"], label=["cat"]), {},
         "2 columns of bytes.*`image_column`"),
        (lambda p: write_tar(p / "e.tar", {"0.jpg": pictures(1)[0][0]}), {},
         r"'e.tar' has no image with a label \(first: no label beside it"),
        (lambda p: write_tar(p / "e.tar", {}), {}, "'e.tar' has no image with a label"),
        (lambda p: p / "e.tar" if (p / "e.tar").write_bytes(b"no archive") else p, {},
         "has no image with a label .*damaged"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["", "file://"])
def test_index__bad_packed_data_is_one_line(
    tmp_path: Path,
    write: Callable[[Path], Path],
    options: dict[str, Any],
    says: str,
    prefix: str,
) -> None:
    path = write(tmp_path)
    with pytest.raises(DataError, match=says) as error:
        index(f"{prefix}{path}", cache=tmp_path / "cache", **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("nope://bucket/a", "cannot reach 'nope://bucket/a': it is not an address of one of"),
        ("memory://nothing", "'memory://nothing' holds no files"),
        ("file:///nowhere/of/mine", "holds no files: check the path"),
        ("file:///nowhere/*.tar", "no file is called like 'file:///nowhere/"),
        ("/nowhere/of/mine/*.tar", "no file is called like '/nowhere"),
    ],
)
def test_index__what_cannot_be_reached_is_one_line(data: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says.replace("*", r"\*")):
        index(data, cache=tmp_path)


def test_index__a_url_of_loose_images_says_what_is_missing(
    made: list[Picture], tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(made[0][0])
    with pytest.raises(DataError, match="holds 1 image in no class folder, and no Parquet"):
        index(f"file://{tmp_path}", cache=tmp_path / "cache")


def test_index__of_packed_data_needs_a_cache(packed: Path) -> None:
    with pytest.raises(DataError, match="has to be unpacked"):
        index(packed / "shards")


def test_index__nothing_half_unpacked_is_left(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        index(packed / "shards", cache=tmp_path)
    assert not [p for p in (tmp_path / "datasets").rglob("*") if p.is_file()]


@pytest.mark.parametrize("name", ["photos", "photos.tar", "paths.parquet", "texts.csv"])
def test_is_packed__class_folders_and_tables_are_not(
    made: list[Picture], tmp_path: Path, name: str
) -> None:
    write_folder(tmp_path / "photos", made)
    write_tar(tmp_path / "photos" / "photos.tar", {"a.jpg": made[0][0]})  # where they came from
    bad_parquet(tmp_path / "paths.parquet", file=["photos/cat/000.jpg"], label=["cat"])
    assert not is_packed(str(tmp_path / name))


@pytest.mark.parametrize(
    "url",
    [
        "reference:///tmp/x.json",
        "REFERENCE://x",
        "github://owner:repo@main/x",
        "git://x",
        "ssh://host/x",
        "zip://a.tar::http://127.0.0.1:9/x.zip",
        "simplecache::s3://bucket/a.tar",
        "file::reference://x",
        "filecache://x",
        "http://127.0.0.1:9/x::reference://y",
        "dask://x",
        "jupyter://x",
    ],
)
def test_index__protocols_that_do_more_than_lead_to_files_are_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*_: object, **__: object) -> None:
        raise AssertionError("it was handed to fsspec")

    monkeypatch.setattr(fsspec.core, "url_to_fs", opened)
    with pytest.raises(DataError, match="not an address of one of") as error:
        index(url, cache=tmp_path)
    assert "\n" not in str(error.value)


def test_index__a_folder_with_colons_in_its_name_is_no_chain(tmp_path: Path) -> None:
    folder = tmp_path / "a::reference:"
    folder.mkdir()
    with pytest.raises(DataError, match="no images"):
        index(str(folder), cache=tmp_path / "cache")


def test_index__of_a_folder_url_refuses_what_a_folder_does(
    made: list[Picture], tmp_path: Path
) -> None:
    for patient in ("p0", "p1"):
        write_folder(tmp_path / "set" / patient, made)
    url = f"file://{tmp_path}/set"
    with pytest.raises(DataError, match="folders of the same names"):
        index(url, cache=tmp_path / "cache")
    found = index(url, classes_from="inner", cache=tmp_path / "cache")
    assert found.classes == ("cat", "dog")
