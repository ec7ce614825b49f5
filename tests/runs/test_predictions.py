"""Predictions in the formats of other tools."""

from __future__ import annotations

import json

from headstart.runs.predictions import Prediction, predictions_fiftyone


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
