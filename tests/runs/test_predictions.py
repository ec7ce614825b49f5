"""Predictions in the formats of other tools."""

from __future__ import annotations

import csv
import io
import json
import sys
import unicodedata
from pathlib import Path

import pytest

from headstart.runs.predictions import (
    LabelsPrediction,
    Prediction,
    csv_text,
    predictions_csv,
    predictions_fiftyone,
    read_test_predictions,
)

UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}
STRANGE = [
    *(f"a{chr(c)}b" for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) in UNSEEN),
    *("=x", "'=x", "''=x", "'x", "-1", "\t=1", "'\t=1", "＝1", "", " ", "'"),
    *(
        r"C:\new",
        r"\nu",
        r"\x41",
        r"\\x41",
        r"\\",
        "\\",
        "\\\u200c",
        "\\\\\u200c",
        r"\U0010ffff",
        'a"b,c',
    ),
]


def test_predictions_fiftyone__no_file_is_lost_where_names_without_suffix_are_the_same() -> None:
    names = ["x/a.jpg", "x/a.png", "a.jpg", "b.jpg", "b.jpg.png", "c", "d.v1.jpg"]
    made = [Prediction(name=name, top=((name, 0.5),)) for name in names]
    found = json.loads(predictions_fiftyone(made))["labels"]
    assert {key: value["label"] for key, value in found.items()} == {
        "x/a.jpg": "x/a.jpg",
        "x/a.png": "x/a.png",
        "a": "a.jpg",
        "b": "b.jpg",
        "b.jpg.png": "b.jpg.png",
        "c": "c",
        "d.v1": "d.v1.jpg",
    }


def test_read_test_predictions__gives_back_every_name_and_class(tmp_path: Path) -> None:
    header = ("name", "label", "predicted", *(f"p({c})" for c in STRANGE))
    values = ["0.5"] * len(STRANGE)
    rows = [(f"{c}/1.jpg", c, STRANGE[k - 1], *values) for k, c in enumerate(STRANGE[-60:])]
    rows += [(c, c, c, *values) for c in STRANGE[-60:]]
    text = csv_text(header, rows)
    (tmp_path / "predictions.csv").write_bytes(text.encode())  # nothing that is no UTF-8 is left
    found = read_test_predictions(tmp_path)
    assert [(p.name, p.label, p.predicted) for p in found] == [row[:3] for row in rows]


def test_csv_text__is_one_to_one() -> None:
    cells = [row[0] for row in csv.reader(io.StringIO(csv_text(("",), [(c,) for c in STRANGE])))]
    assert len(set(cells)) == len(set(STRANGE))
    assert all(c.isprintable() for c in cells)


def test_read_test_predictions__reads_files_that_left_backslashes_alone(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text(
        "name,label,predicted,p(\\nu),p(\\alpha)\n\\nu/1.png,\\alpha,\\nu,0.9,0.1\n'=x,\\nu,\\nu,0.9,0.1\n"
    )
    found = read_test_predictions(tmp_path)
    assert [(p.name, p.label, p.probability) for p in found] == [
        (r"\nu/1.png", r"\alpha", 0.9),
        ("=x", r"\nu", 0.9),
    ]


@pytest.mark.parametrize("name", ["Größe\u00a0L", r"\alpha", "می\u200cخواهم", "\U000e0001", "=x"])
def test_predictions_csv__lists_are_json(name: str) -> None:
    made = LabelsPrediction(name="a.jpg", labels=((name, 0.75),))
    text = predictions_csv([made])
    [row] = csv.DictReader(io.StringIO(text))
    assert json.loads(row["labels"]) == [name]
    assert json.loads(row["probabilities"]) == [0.75]
    assert text.replace("\n", "").isprintable()
