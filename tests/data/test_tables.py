"""Tables of paths and labels, in the forms and encodings that people have."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.data.tables import clean_name, list_table, read_table
from headstart.errors import DataError

ROWS = [("cat/1.png", "cat"), ("cat/2.png", "cat"), ("dog/1.png", "dog")]


@pytest.fixture
def folder(tree) -> Path:
    return tree({name: i for i, (name, _) in enumerate(ROWS)})


def _write(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def _found(path: Path, **columns: str) -> list[tuple[str, str, str]]:
    return [(i.name, i.label, i.split) for i in list_table(path, **columns).items]


PLAIN = [(name, label, "") for name, label in ROWS]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("header", ["image,label", "Label,File Name", "filepath,class", None])
def test_list_table__finds_the_columns(folder, header, delimiter) -> None:
    rows = [r[::-1] if header and header.startswith("Label") else r for r in ROWS]
    lines = ([header] if header else []) + [",".join(r) for r in rows]
    text = "\r\n".join(line.replace(",", delimiter) for line in lines)
    assert _found(_write(folder, text)) == PLAIN


def test_list_table__takes_the_columns_named(folder) -> None:
    path = _write(folder, "id,where,kind\n" + "".join(f"{n},{n},{c}\n" for n, c in ROWS))
    assert _found(path, image_column="where", label_column="kind") == PLAIN
    with pytest.raises(DataError, match=r"no label column .* name it with --label-column"):
        list_table(path, image_column="where")
    with pytest.raises(DataError, match=r"no column 'wher'.*Did you mean 'where'"):
        list_table(path, image_column="wher")


def test_list_table__reads_parquet(folder) -> None:
    names, labels = zip(*ROWS, strict=True)
    table = pa.table({"path": names, "label": labels, "split": ["train", "val", "test"]})
    pq.write_table(table, folder / "t.parquet")
    assert [s for _, _, s in _found(folder / "t.parquet")] == ["train", "val", "test"]


def test_list_table__names_rows_of_parquet(folder) -> None:
    pq.write_table(pa.table({"path": ["cat/1.png"] * 2, "label": ["a", "b"]}), folder / "t.parquet")
    with pytest.raises(DataError, match=r"row 2: 'cat/1.png' is there twice \(first in row 1\)"):
        list_table(folder / "t.parquet")


@pytest.mark.parametrize("content", [b"PAR1 rubbish", b""])
def test_list_table__refuses_broken_parquet(folder, content) -> None:
    with pytest.raises(DataError, match="no readable Parquet file"):
        list_table(_write(folder, content, "t.parquet"))


def test_list_table__takes_split_lines_as_data(folder) -> None:
    path = _write(folder, "train,cat/1.png\ntest,cat/2.png\ntrain,dog/1.png\n")
    assert _found(path) == [
        ("cat/1.png", "cat", "train"),
        ("cat/2.png", "cat", "test"),
        ("dog/1.png", "dog", "train"),
    ]
    assert list_table(path).source == "split file"


def test_list_table__takes_a_class_called_train(folder) -> None:
    path = _write(folder, "image,label\ncat/1.png,train\ncat/2.png,train\ndog/1.png,plane\n")
    assert [label for _, label, _ in _found(path)] == ["train", "train", "plane"]


@pytest.mark.parametrize(
    ("encoding", "noted"),
    [("utf-8", False), ("utf-8-sig", False), ("utf-16", True), ("cp1252", True)],
)
def test_list_table__reads_other_encodings(tree, encoding, noted) -> None:
    root = tree({"élan/é 1.png": 1, "b/2.png": 2})
    text = "image,label\nélan/é 1.png,élan\nb/2.png,bär\n"
    listing = list_table(_write(root, text.encode(encoding)))
    assert [i.label for i in listing.items] == ["élan", "bär"]
    assert all(i.path.is_file() for i in listing.items)
    assert bool(listing.notes) is noted


def test_list_table__reads_quoted_names(tree) -> None:
    root = tree({"a/x, y.png": 1, "a/two\nlines.png": 2})
    path = _write(root, 'image,label\n"a/x, y.png",a\n"a/two\nlines.png",b\n')
    assert all(i.path.is_file() for i in list_table(path).items)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ("image,label\n", "has no rows"),
        ("colour,size\nred,3\n", r"no image column .*'colour', 'size'"),
        ("image,label\ncat/1.png,\n", r"line 2: the label of 'cat/1.png' is missing"),
        ("image,label\n,cat\n", r"line 2: the path of the image is missing"),
        ("image,label\ncat/1.png\n", r"line 2: the label of 'cat/1.png' is missing"),
        (
            "image,label\n\ncat/1.png,a\n./cat/1.png,a\n",
            r"line 4: 'cat/1.png' is there twice \(first in line 3\)",
        ),
        (
            "image,label,split\ncat/1.png,a,train\ncat/2.png,a,tset\n",
            r"line 3: unknown split 'tset'.* Did you mean 'test'",
        ),
        (
            "image,label,split\ncat/1.png,a,train\ncat/2.png,a,\n",
            r"line 3: 'cat/2.png' has no split while other rows have one",
        ),
        ("image,label\nno/1.png,a\nno/2.png,b\n", r"none of the 2 files .* exists"),
        ("cat/1.png\ncat/2.png\n", "expected a column of image paths and one of labels"),
        (b"image,label\ncat/1.png,\0\0\n", "binary data"),
    ],
)
def test_list_table__refuses_bad_tables(folder, text, message) -> None:
    with pytest.raises(DataError, match=message) as caught:
        list_table(_write(folder, text))
    assert "\n" not in str(caught.value)


def test_list_table__refuses_columns_of_a_table_without_header(folder) -> None:
    with pytest.raises(DataError, match="has no header line, so image_column 'x'"):
        list_table(_write(folder, "cat/1.png,a\n"), image_column="x")


def test_read_table__refuses_a_field_beyond_reason(folder) -> None:
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_table(_write(folder, 'image,label\n"' + "x" * 200_000))


@pytest.mark.parametrize(
    ("text", "name"), [("./a/b.jpg", "a/b.jpg"), (".\\a\\b.jpg", "a/b.jpg"), ("a/b\\c", "a/b\\c")]
)
def test_clean_name__gives_posix_names(text, name) -> None:
    assert clean_name(text) == name


def test_list_table__a_name_longer_than_names_can_be_is_no_file(folder: Path) -> None:
    path = _write(folder, f"image,label\n{'x' * 5000}.png,cat\n")
    with pytest.raises(DataError, match="none of the 1 files"):
        list_table(path)


def test_read_table__a_parquet_bomb_is_refused_before_it_is_read(folder: Path) -> None:
    column = pa.array(["cat"]).dictionary_encode().take(pa.array([0] * 11_000_000, pa.int8()))
    pq.write_table(pa.table({"label": column}), folder / "a.parquet")
    assert (folder / "a.parquet").stat().st_size < 1_000_000
    with pytest.raises(DataError, match=r"11,000,000 cells in .* bytes, which no table"):
        read_table(folder / "a.parquet")


def test_read_table__a_long_word_that_repeats_is_in_memory_once(folder: Path) -> None:
    words = (
        pa.array(["x" * 1_000_000, "y"]).dictionary_encode().take(pa.array([0] * 3000, pa.int8()))
    )
    pq.write_table(pa.table({"image": words}), folder / "a.parquet")
    rows = read_table(folder / "a.parquet").rows  # 3 GB, if each cell were a text of its own
    assert len({id(row[0]) for row in rows}) == 1


def test_read_table__columns_of_structures_are_passed_over(folder: Path) -> None:
    pictures = pa.array([{"bytes": b"x", "path": "a.png"}])
    data = pa.table({"image": pictures, "path": ["a.png"], "n": [1], "none": pa.nulls(1)})
    pq.write_table(data, folder / "a.parquet")
    found = read_table(folder / "a.parquet")
    assert (found.header, found.rows) == (("path", "n", "none"), (("a.png", "1", ""),))
