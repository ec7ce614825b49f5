"""Rows of delimited text: none is lost, whatever the quotation marks."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from headstart.data.delimited import Rows, find_delimiter, read_rows
from headstart.errors import DataError


def _read(text: str, name: str = "t.csv") -> Rows:
    path = Path(name)
    delimiter, text = find_delimiter(path, text)
    return read_rows(path, text, delimiter)


@pytest.mark.parametrize(
    ("end", "quoting"),
    [("\n", csv.QUOTE_MINIMAL), ("\r\n", csv.QUOTE_MINIMAL), ("\r", csv.QUOTE_ALL)],
)
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_read_rows__gives_back_what_csv_wrote(delimiter, end, quoting) -> None:
    rows = [
        ("text", "label"),
        ("plain", "x"),
        (f'a {delimiter} "quoted" one', "y"),
        ("two\nlines", "x"),
        ('"', '""'),
        (f'"three\n{delimiter}\n', "y"),
        ('6" long', "x"),
        ("#tag", "y"),
    ]
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)
    found = _read(written.getvalue())
    assert found.rows == rows
    assert found.unquoted == []
    assert len(found.spanning) == 2
    assert "2 rows with line breaks" in found.notes()[0]


@pytest.mark.parametrize(
    "marks",
    [
        {3: '"{}'},
        {3: '"{}', 6: '"{}', 7: '"{}'},
        {3: '"{}', 5: '{} 6"'},  # opened and closed by chance
        {3: '"{}" he said', 4: '"{}"', 5: '"{}'},
        {3: '"{}', 4: "#{}", 8: '"'},
        dict.fromkeys(range(10), '"{}'),
    ],
)
@pytest.mark.parametrize("delimiter", ["\t", ",", ";"])
@pytest.mark.parametrize("label_first", [False, True])
def test_read_rows__a_stray_quotation_mark_joins_no_rows(marks, delimiter, label_first) -> None:
    texts = [marks.get(i, "{}").format(f"text {i}") for i in range(10)]
    rows = [(text, "np"[i % 2]) for i, text in enumerate(texts)]
    rows = [("text", "label"), *rows]
    if label_first:
        rows = [row[::-1] for row in rows]
    text = "".join(delimiter.join(row) + "\n" for row in rows)
    found = _read(text)
    assert [tuple(c.strip('"') for c in row) for row in found.rows] == [
        tuple(c.strip('"') for c in row) for row in rows
    ]
    assert found.lines == list(range(1, 12))


def test_read_rows__keeps_a_stray_mark_as_text_and_names_its_line() -> None:
    found = _read('text\tlabel\n"So it\tx\nbegan\ty\n"the end" of it\tx\n"all"\ty\n', "t.tsv")
    assert [row[0] for row in found.rows[1:]] == ['"So it', "began", '"the end" of it', "all"]
    assert found.unquoted == [2, 4]
    assert "lines 2, 4" in found.notes()[0]


def test_read_rows__a_text_with_line_breaks_and_as_many_commas_by_chance_is_one_text() -> None:
    found = _read('text,label\n"Hello, world\nit is fine",pos\nbad,neg\ngood,pos\n')
    assert found.rows[1] == ("Hello, world\nit is fine", "pos")
    assert found.lines == [1, 2, 4, 5]


def test_read_rows__one_column_of_texts_with_line_breaks() -> None:
    found = _read('text\n"two\nlines"\none\n', "t.tsv")
    assert found.rows == [("text",), ("two\nlines",), ("one",)]


def test_read_rows__quoted_and_stray_marks_in_one_file() -> None:
    found = _read(
        'text,label\n"a, b",x\n"stray,y\n"two\nlines, and so on",x\n"c ""d"" e",y\n"f" g,x\n'
    )
    assert found.rows[1:] == [
        ("a, b", "x"),
        ('"stray', "y"),
        ("two\nlines, and so on", "x"),
        ('c "d" e', "y"),
        ('"f" g', "x"),
    ]


@pytest.mark.parametrize("line", ['"a, b,x', '"a \\"b\\", c",x', 'x,"a, b'])
def test_read_rows__a_line_that_reads_in_neither_way_is_named(line) -> None:
    with pytest.raises(DataError, match=r"line 3: a quotation mark begins a cell") as caught:
        _read(f"text,label\nfine,y\n{line}\nfine,y\n")
    assert "\n" not in str(caught.value)


def test_read_rows__takes_the_rows_of_a_file_without_a_last_line_end() -> None:
    assert _read('a,b\n"c",d').rows == [("a", "b"), ("c", "d")]
    assert _read("").rows == []
    assert _read(",\n,\n").n_empty == 2


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("t.csv", "a;b\n", ";"),
        ("t.tsv", "a, b, c\td\n", "\t"),
        ("t.tsv", "a,b\n", ","),
        ("t.csv", '"a, b, c";d\n', ";"),
        ("t.csv", "sep=|\na,b\n", "|"),
        ("t.csv", "\n\na|b\n", "|"),
    ],
)
def test_find_delimiter__of_the_first_line(name, text, expected) -> None:
    assert find_delimiter(Path(name), text)[0] == expected


def test_find_delimiter__passes_over_comments_where_there_may_be_some() -> None:
    assert find_delimiter(Path("t.csv"), "# a, b, c\na;b\n", comments=True)[0] == ";"
    assert find_delimiter(Path("t.csv"), "#a,b;c\n")[0] == ","
