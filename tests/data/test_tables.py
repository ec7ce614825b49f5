"""Tables of paths and labels, in the forms and encodings that people have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.data.sources import Listing
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


def _found(path: Path, **columns: Any) -> list[tuple[str, str, str]]:
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
    with pytest.raises(DataError, match=r"no label column .* name it with `label_column`"):
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
    with pytest.raises(DataError, match="not a readable Parquet file"):
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
    with pytest.raises(DataError, match="has no header line, so `image_column` 'x'"):
        list_table(_write(folder, "cat/1.png,a\n"), image_column="x")


def test_read_table__refuses_a_field_beyond_reason(folder) -> None:
    with pytest.raises(DataError, match="line 2: a quotation mark begins a cell and is not closed"):
        read_table(_write(folder, 'image,label\n"' + "x" * 200_000))


def _named_in(listing: Listing, words: str) -> bool:
    return any(words in note for note in listing.notes)


def test_list_table__a_row_whose_first_cell_begins_with_a_hash_is_a_row(tree) -> None:
    root = tree({"#1.png": 1, "2.png": 2, "3.png": 3})
    rows = [("#1.png", "a", ""), ("2.png", "b", ""), ("3.png", "b", "")]
    assert _found(_write(root, "path,label\n#1.png,a\n2.png,b\n3.png,b\n")) == rows
    assert _found(_write(root, "#1.png,a\n2.png,b\n3.png,b\n")) == rows
    path = _write(root, "label,path\n#cat,#1.png\ndog,2.png\n#cat,3.png\n")
    assert [label for _, label, _ in _found(path)] == ["#cat", "dog", "#cat"]
    assert _named_in(
        list_table(path), "2 rows whose first cell begins with '#' are used: lines 2, 4"
    )


def test_list_table__comment_lines_are_passed_over_and_counted(folder) -> None:
    text = '# by "Tom, 2020\n#\nimage,label\n' + "".join(f"{n},{c}\n" for n, c in ROWS)
    path = _write(folder, text + "# the end\n#dog/9.png,dog\n")
    assert _found(path) == PLAIN
    listing = list_table(path)
    assert _named_in(listing, "4 comment lines")
    assert _named_in(listing, "lines 1, 2, 7, 8")


def test_list_table__a_hash_in_quotes_or_in_a_later_cell_is_no_comment(folder) -> None:
    text = 'label,image\n"#cat",cat/1.png\n#2,cat/2.png\n"x\n# y",dog/1.png\n'
    listing = list_table(_write(folder, text))
    assert [i.label for i in listing.items] == ["#cat", "#2", "x\n# y"]
    assert not _named_in(listing, "comment")


def test_list_table__a_line_that_may_be_a_row_or_a_comment_is_refused(folder) -> None:
    text = "label,image\ncat,cat/1.png\n#cat,cat/2.png\ndog,dog/1.png\n"
    with pytest.raises(DataError, match=r"line 3: '#cat' may begin a row or a comment.*quotation"):
        list_table(_write(folder, text))


def test_list_table__a_header_that_begins_with_a_hash_is_the_header(folder) -> None:
    text = "# note\n# image,label\ncat/1.png,a\ndog/1.png,b\n"
    assert _found(_write(folder, text), label_column="label") == [
        ("cat/1.png", "a", ""),
        ("dog/1.png", "b", ""),
    ]


def test_list_table__rows_without_content_are_counted(folder) -> None:
    listing = list_table(_write(folder, "image,label\ncat/1.png,a\n,\n\ndog/1.png,b\n,\n"))
    assert len(listing.items) == 2
    assert _named_in(listing, "2 rows whose cells are all empty")


def test_list_table__refuses_a_separator_too_many(folder) -> None:
    path = _write(folder, "image,label\ncat/1.png,a,\ncat/2.png,a,b\n")
    with pytest.raises(DataError, match="line 3 has 3 cells and the header has 2"):
        list_table(path)
    path = _write(folder, "cat/1.png,a\ncat/2.png,a,b\ndog/1.png,c\n")
    with pytest.raises(DataError, match="line 2 has 3 cells and most rows have 2"):
        list_table(path)


@pytest.mark.parametrize("numbers", ["01234", ["0.0", "1.0"]])
def test_list_table__numbers_of_folds_are_no_split(folder, numbers) -> None:
    rows = [f"{n},{c},{numbers[i % len(numbers)]}\n" for i, (n, c) in enumerate(ROWS)]
    path = _write(folder, "image,label,fold\n" + "".join(rows))
    assert _found(path) == PLAIN
    assert _named_in(list_table(path), "column 'fold' holds numbers of folds")
    with pytest.raises(DataError, match=r"unknown split '0.*' in column 'fold'"):
        list_table(path, split_column="fold")


def test_list_table__the_split_column_can_be_named_or_passed_over(folder) -> None:
    sides = ["train", "test", "train"]
    rows = [f"{n},{c},{s},x\n" for (n, c), s in zip(ROWS, sides, strict=True)]
    path = _write(folder, "image,label,side,set\n" + "".join(rows))
    with pytest.raises(
        DataError, match=r"unknown split 'x' in column 'set'.*`split_column='none'`"
    ):
        list_table(path)
    assert [s for _, _, s in _found(path, split_column="side")] == sides
    for none in ("none", ""):
        assert _found(path, split_column=none) == PLAIN
    with pytest.raises(DataError, match=r"no column 'sid'.*Did you mean 'side'"):
        list_table(path, split_column="sid")


def test_list_table__a_split_file_without_its_split_has_the_folders_as_labels(folder) -> None:
    for text in (
        "train,cat/1.png\ntest,dog/1.png\n",
        "split,file\ntrain,cat/1.png\ntest,dog/1.png\n",
    ):
        path = _write(folder, text)
        expected = [("cat/1.png", "cat", ""), ("dog/1.png", "dog", "")]
        assert _found(path, split_column="none") == expected


def test_list_table__refuses_two_columns_of_one_name(folder) -> None:
    path = _write(folder, "image,label,label\ncat/1.png,a,b\n")
    with pytest.raises(DataError, match=r"2 columns called 'label' \(columns 2, 3\)"):
        list_table(path)
    columns = [pa.array([n for n, _ in ROWS]), *[pa.array([c for _, c in ROWS])] * 2]
    pq.write_table(pa.table(columns, names=["image", "label", "label"]), folder / "t.parquet")
    with pytest.raises(DataError, match="2 columns called 'label'"):
        list_table(folder / "t.parquet")


def test_list_table__says_which_of_two_label_columns_was_taken(folder) -> None:
    text = "image,species,class\n" + "".join(f"{n},x,{c}\n" for n, c in ROWS)
    path = _write(folder, text)
    assert _named_in(list_table(path), "in column 'class'; 'species' could hold them too")
    assert not list_table(path, label_column="class").notes


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04\0\0rest", "zip archive or an Excel workbook: save it as CSV"),
        ("image,label\na,b\n".encode("utf-16-le"), "UTF-16 without its byte order mark"),
        (b"image,label\na.png,b\nc.p\0ng,d\n", "NUL byte in line 3"),
    ],
)
def test_read_table__says_what_kind_of_binary_file_it_is(folder, content, said) -> None:
    with pytest.raises(DataError, match=said):
        read_table(_write(folder, content))


def test_list_table__reads_what_excel_writes(folder) -> None:
    text = "\ufeffsep=;\r\nimage;label\r\n" + "".join(f"{n};{c}\r\n" for n, c in ROWS)
    assert _found(_write(folder, text)) == PLAIN


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
