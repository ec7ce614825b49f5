"""Tables of texts: what they become, and the one line that bad ones are told with."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.data.summary import WordCounts
from headstart.data.texts import TextIndex, find_copies, index_texts, is_text_table, make_record
from headstart.data.textsets import list_text_set
from headstart.errors import DataError

ROWS = [
    (f"{word} number {i}, a text", label)
    for i in range(8)
    for word, label in (("good", "pos"), ("bad", "neg"))
]


def _csv(folder: Path, *rows: tuple[str, ...], header: str = "review,label") -> Path:
    path = folder / "reviews.csv"
    lines = [header, *(",".join(f'"{cell}"' for cell in row) for row in rows or ROWS)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _facts(index: TextIndex) -> list[tuple[str, str]]:
    return [(r.text, r.label) for r in index.records]


def test_index_texts__gives_records_in_the_table_s_order_with_a_stratified_split(tmp_path) -> None:
    index = index_texts(_csv(tmp_path), test_size=0.25)
    assert _facts(index) == ROWS
    assert [r.name for r in index.records][:2] == ["line 2", "line 3"]
    assert index.counts() == {c: {"train": 6, "val": 0, "test": 2} for c in ("neg", "pos")}
    assert (index.text_column, index.label_column, index.split_made) == ("review", "label", True)
    assert index.summary().n_texts == 16
    assert index.summary().n_words == WordCounts(median=5, most=5)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt"])
def test_index_texts__reads_every_format_alike(tmp_path, suffix) -> None:
    path = tmp_path / f"t{suffix}"
    rows = [(f'{text}; "süß"', label) for text, label in ROWS]
    if suffix == ".parquet":
        pq.write_table(
            pa.table(dict(zip(("text", "label"), zip(*rows, strict=True), strict=True))), path
        )
    elif suffix in (".jsonl", ".ndjson"):
        lines = [json.dumps({"text": t, "label": c}, ensure_ascii=False) for t, c in rows]
        path.write_text("\n".join(lines), encoding="utf-8")
    else:
        mark = {".csv": ",", ".tsv": "\t", ".txt": "|"}[suffix]
        cells = [("text", "label"), *((t.replace('"', '""'), c) for t, c in rows)]
        lines = [mark.join(f'"{cell}"' for cell in row) for row in cells]
        path.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    assert _facts(index_texts(path)) == rows
    assert is_text_table(str(path))


def test_index_texts__names_the_line_on_which_a_row_begins(tmp_path) -> None:
    path = _csv(
        tmp_path, ("two\nlines of text", "a"), ("one line", "a"), ("x y", "b"), ("z y", "b")
    )
    assert [r.name for r in index_texts(path).records] == ["line 2", "line 4", "line 5", "line 6"]


def test_index_texts__takes_the_split_of_a_column(tmp_path) -> None:
    rows = [(t, c, "dev" if i > 9 else "train") for i, (t, c) in enumerate(ROWS)]
    index = index_texts(_csv(tmp_path, *rows, header="text,label,split"))
    assert (len(index.train), len(index.test), index.split_made) == (10, 6, False)
    assert "validation split is used as the test split" in index.notes[0]
    with pytest.raises(DataError, match=r"line 3: unknown split 'late'"):
        index_texts(_csv(tmp_path, *rows[:1], ("a b", "c", "late"), header="text,label,split"))


def test_index_texts__keeps_copies_on_one_side(tmp_path) -> None:
    rows = [*ROWS, ("Good: number 0 a TEXT!", "pos"), ROWS[1], ("bad number 2, a text", "pos")]
    for seed in range(5):
        index = index_texts(_csv(tmp_path, *rows), test_size=0.4, seed=seed)
        assert not index.straddling
    kinds = [(g.kind, len(g.names), g.conflicting) for g in index.duplicates]
    assert sorted(kinds) == [("exact", 2, False), ("exact", 2, True), ("near", 2, False)]


def test_find_copies__texts_without_words_are_alike_only_if_they_are_the_same() -> None:
    records = [make_record(t, "a", f"row {i}") for i, t in enumerate([":-)", ":-(", ":-)"])]
    assert [g.names for g in find_copies(records)] == [("row 0", "row 2")]


def test_index_texts__numbers_may_name_classes(tmp_path) -> None:
    rows = [(t, str(i % 2)) for i, (t, _) in enumerate(ROWS)]
    index = index_texts(_csv(tmp_path, *rows))
    assert index.classes == ("0", "1")
    assert index.notes == ("the labels in column 'label' are numbers; each is a class",)


def test_index_texts__reads_utf_16_by_its_mark_and_says_so(tmp_path) -> None:
    path = _csv(tmp_path)
    path.write_bytes(path.read_text().encode("utf-16"))
    index = index_texts(path)
    assert _facts(index) == ROWS
    assert "UTF-16" in index.notes[0]


BAD = [
    ("text,kind", [("a b", "x")], {}, r"no label column .* name it with `label`$"),
    ("a,label", [("a b", "x")], {}, r"no text column .* name it with `text` .*`image_column`"),
    ("text,label", [("a b", "x")], {"text_column": "txt"}, "no column 'txt'; .*Did you mean 'text'"),
    ("text,label", [("a b", "x")], {"split_column": "side"}, "no column 'side'"),
    ("text,label", [("a b", "x")], {"label_column": "text"}, "name the same column"),
    ("text,label", [("a b", "x"), ("  ", "y")], {}, r"reviews.csv', line 3, column 'text' is empty"),
    ("text,label", [("a b", "x"), ("c", ""), ("d", "")], {}, r"line 3, column 'label' is empty \(and in 1 more row\)"),
    ("text,label", [("a b", "x"), ("c d", "x")], {}, r"column 'label' has one class only \('x'\)"),
    ("text,label", [("a b", "['x']"), ("c d", "['y']")], {}, r"are lists, such as .* one class"),
    ("text,label", [("a b", "1"), ("c d", "2.5")], {}, r"line 3, column 'label' holds the number 2.5"),
    ("text,label", [(f"a b {i}", str(i)) for i in range(101)], {}, r"column 'label' and on are numbers, 101 different"),
    ("text,label", [(f"a b {i}", f"id{i}") for i in range(20)], {}, r"20 different labels in 20 rows"),
    ("text,label", [("a b", "x"), ("c d", "x"), ("e f", "y")], {}, r"class 'y' has one text \('line 4'\).*add texts"),
    ("text,label", [("a b", "x", "odd"), ("c d", "x")], {}, r"line 2 has 3 cells and the header has 2"),
    ("text,label", [("a " * 60_000, "x")], {}, r"line 2, column 'text' has 120,000 characters; at most 100,000"),
]  # fmt: skip


@pytest.mark.parametrize(("header", "rows", "columns", "said"), BAD)
def test_index_texts__tells_what_is_wrong_and_where(tmp_path, header, rows, columns, said) -> None:
    with pytest.raises(DataError, match=said) as caught:
        index_texts(_csv(tmp_path, *rows, header=header), **columns)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_index_texts__an_open_quotation_mark_swallows_no_rows(tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('text,label\na b,x\n"never closed,y\n"nor this,y\n' + "c d,x\n" * 50_000)
    index = index_texts(path)
    assert len(index) == 50_003
    assert index.records[1].text == '"never closed'
    assert "2 lines with quotation marks that do not enclose a cell (lines 3, 4)" in index.notes[0]


def test_index_texts__an_open_quotation_mark_where_the_line_is_no_row_is_named(tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('text,label\na b,x\n"never, closed,y\n' + "c d,x\n" * 50_000)
    with pytest.raises(DataError, match="line 3: a quotation mark begins a cell and is not closed"):
        index_texts(path)


def test_index_texts__a_text_may_begin_with_a_hash(tmp_path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("text\tlabel\n" + "".join(f"#tag number {i}\t{i % 2}\n" for i in range(8)))
    assert len(index_texts(path)) == 8


def test_index_texts__numbers_of_folds_are_no_split(tmp_path) -> None:
    rows = [(t, c, str(i % 5)) for i, (t, c) in enumerate(ROWS)]
    index = index_texts(_csv(tmp_path, *rows, header="text,label,fold"))
    assert index.split_made
    assert any("column 'fold' holds numbers of folds" in note for note in index.notes)
    odd = [(t, c, "A") for t, c in ROWS]
    with pytest.raises(
        DataError, match=r"unknown split 'A' in column 'set'.*`split_column='none'`"
    ):
        index_texts(_csv(tmp_path, *odd, header="text,label,set"))
    assert index_texts(
        _csv(tmp_path, *odd, header="text,label,set"), split_column="none"
    ).split_made


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_index_texts__another_encoding_is_told_with_row_and_column(tmp_path, name) -> None:
    lines = {
        "t.csv": "id,review,label\n1,fine day,x\n2,un café noir,y\n",
        "t.jsonl": '{"id":1,"review":"fine day","label":"x"}\n{"id":2,"review":"un café","label":"y"}\n',
    }
    place = {"t.csv": "line 3", "t.jsonl": "line 2"}[name]
    (tmp_path / name).write_bytes(lines[name].encode("cp1252"))
    with pytest.raises(
        DataError, match=rf"{place}, column 'review' is not UTF-8 \(byte 0xE9.*iconv"
    ):
        index_texts(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.jsonl", b'{"text": "a"\n', "line 1 is not JSON"),
        ("t.jsonl", b'["a", "b"]\n', "line 1 is not a JSON object"),
        ("t.csv", b"", "no rows"),
        ("t.csv", b"text,label\n", "no rows"),
        ("t.csv", b"a\0b,c\n", "binary data"),
        ("t.parquet", b"nothing", "not a readable Parquet"),
        ("t.pdf", b"%PDF", "not a table of texts"),
    ],
)
def test_index_texts__refuses_files_that_are_no_tables(tmp_path, name, content, said) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        index_texts(tmp_path / name)


def test_index_texts__a_missing_file_or_a_folder(tmp_path) -> None:
    _csv(tmp_path)
    with pytest.raises(DataError, match=r"no such table or data set.*Did you mean '.*reviews.csv'"):
        index_texts(tmp_path / "review.csv")
    with pytest.raises(DataError, match="is a folder"):
        index_texts(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("images.csv", "path,label\na/1.png,a\na 2.jpg,b\n", False),
        ("split.csv", "train,Class/a.jpg\ntest,Class/b.jpg\n", False),
        ("captions.csv", "path,caption\na/1.png,a cat sits\nb.png,a dog runs\n", False),
        ("texts.csv", "t,c\na cat sits,x\na dog runs,y\n", True),
        ("long.csv", "t,c\na cat sits,x\n" + "word " * 50_000 + ",y\n", True),
        ("words.csv", "t,c\ncat,x\ndog,y\n", False),
        ("column.csv", "text,c\ncat,x\ndog,y\n", True),
        ("chinese.csv", "label,text\n1,很好电影\n0,糟糕演员\n", True),
        ("urls.csv", "text,label\nhttp://a/b.html,x\nhttp://c/d,y\n", True),
        ("both.csv", "text,path\na cat,a.png\na dog,b.png\n", False),
        (
            "ids.csv",
            "id,breed\n01,golden retriever\n02,great dane\n03,great dane\n04,great dane\n05,great dane\n",
            False,
        ),
        ("labels.csv", "id,label\n01,golden retriever\n02,great dane\n", False),
        ("broken.csv", 'text,label\n"a cat, sits,x\na dog runs,y\n', True),
        ("empty.csv", "", False),
        ("notes.md", "some text here", False),
    ],
)
def test_is_text_table__is_told_by_the_cells(tmp_path, name, content, expected) -> None:
    (tmp_path / name).write_text(content)
    assert is_text_table(str(tmp_path / name)) is expected
    assert is_text_table(str(tmp_path / name), text_column="t")
    assert not is_text_table(str(tmp_path / name), image_column="t")


def test_is_text_table__ids_of_images_beside_it_are_not_texts(tmp_path) -> None:
    for i in range(4):
        (tmp_path / f"image {i}.JPG").touch()
    rows = "".join(f"image {i},what is on it {i}\n" for i in range(4))
    (tmp_path / "t.csv").write_text(f"name,text\n{rows}")
    assert not is_text_table(str(tmp_path / "t.csv"))


def test_is_text_table__folders_and_names(tmp_path) -> None:
    assert not is_text_table(str(tmp_path))
    assert not is_text_table("scene15")
    assert is_text_table("trec")
    assert is_text_table("mr:/data")


def _write_trec(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    train = "DESC:manner How did it\u0092s end ?\nHUM:ind Who was he ?\n" * 3
    (folder / "train_5500.label").write_bytes(train.encode("latin-1"))
    (folder / "TREC_10.label").write_text("DESC:def What is a cat ?\nHUM:ind Who ?\n")


def _write_mr(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rt-polaritydata.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, word in (("rt-polarity.pos", "good"), ("rt-polarity.neg", "bad")):
            content = "".join(f"a {word} film {i} \n" for i in range(6)).encode("latin-1")
            info = tarfile.TarInfo(f"rt-polaritydata/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_index_texts__trec_has_its_own_split_and_coarse_labels(tmp_path) -> None:
    _write_trec(tmp_path / "copy")
    index = index_texts(f"trec:{tmp_path / 'copy'}")
    assert index.counts() == {c: {"train": 3, "val": 0, "test": 1} for c in ("DESC", "HUM")}
    assert index.train[0].text == "How did it’s end ?"


def test_list_text_set__is_fetched_once_from_where_it_is_published(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("HEADSTART_DATA", raising=False)
    url = _write_mr(tmp_path / "host").as_uri()
    found = list_text_set("mr", cache=tmp_path / "cache", urls=(url,))
    assert found.counts()["positive"]["train"] == 0  # no split of its own
    assert [len([r for r in found.records if r.label == c]) for c in found.classes] == [6, 6]
    assert list_text_set("mr", cache=tmp_path / "cache", urls=("http://nowhere",)).records
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path / "host"))
    assert len(index_texts("mr").records) == 12


def test_list_text_set__says_what_is_missing_or_damaged(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("HEADSTART_DATA", raising=False)
    with pytest.raises(DataError, match=r"'mr' is not in .*needs rt-polaritydata.tar.gz"):
        index_texts(f"mr:{tmp_path}")
    with pytest.raises(DataError, match="not in this computer"):
        index_texts("trec")
    with pytest.raises(DataError, match="cannot download"):
        list_text_set("mr", cache=tmp_path / "c", urls=((tmp_path / "no.gz").as_uri(),))
    (tmp_path / "rt-polaritydata.tar.gz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"cannot read .*fetched again"):
        index_texts(f"mr:{tmp_path}")
    (tmp_path / "train_5500.label").write_text("no label here\n")
    (tmp_path / "TREC_10.label").write_text("")
    with pytest.raises(DataError, match="line 1 is not a question of TREC"):
        index_texts(f"trec:{tmp_path}")


def test_index_texts__json_nested_beyond_measure_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": ' + "[" * 100_000)
    with pytest.raises(DataError, match="line 1 is not JSON") as caught:
        index_texts(path)
    assert "\n" not in str(caught.value)


def test_index_texts__notes_labels_that_look_the_same_and_merges_them_when_asked(tmp_path) -> None:
    rows = [(text, label.title() if i % 3 == 0 else label) for i, (text, label) in enumerate(ROWS)]
    path = _csv(tmp_path, *rows)
    found = index_texts(path)
    assert found.classes == ("Neg", "Pos", "neg", "pos")
    assert any(n.startswith("the labels 'Neg' (") and "'pos'" in n for n in found.notes)
    merged = index_texts(path, merge_labels=True)
    assert merged.classes == ("neg", "pos")
    assert any("merged labels that look the same" in n for n in merged.notes)


@pytest.mark.parametrize("label", ["nan", "None", "\u200b"])
def test_index_texts__notes_labels_that_stand_for_nothing(tmp_path, label) -> None:
    rows = [*ROWS, *((f"a text without a label, {i}", label) for i in range(4))]
    notes = index_texts(_csv(tmp_path, *rows)).notes
    assert any("(4 texts)" in n and "missing value" in n for n in notes)
