"""Values of parameters against their declared types."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart
from headstart.errors import InputError
from headstart.parameters import checked_fields
from headstart.runs.settings import FitSettings, TextSettings, settings_from
from headstart.training.settings import TrainSettings


@pytest.mark.parametrize("kind", [FitSettings, TextSettings, TrainSettings])
def test_checked_fields__the_defaults_are_legal(kind: type[Any]) -> None:
    given = {
        f.name: f.default for f in dataclasses.fields(kind) if f.default is not dataclasses.MISSING
    }
    assert checked_fields(kind, given) == given


def test_settings_from__what_python_users_pass_can_be_kept_as_json() -> None:
    given = {
        "split": Path("split.csv"), "fixes": Path("fixes.csv"), "seed": np.int64(3),
        "resolutions": [np.int64(96)], "Cs": np.array([1, 3]), "backbone": ["embedded"],
        "test_size": Fraction(1, 4), "n_folds": 5.0,
    }  # fmt: skip
    kept = json.loads(json.dumps(settings_from(FitSettings, "photos", given).to_dict()))
    assert [kept[name] for name in given] == [
        "split.csv", "fixes.csv", 3, [96], [1, 3], "embedded", 0.25, 5,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"test_size": "0.2"}, "`test_size` must be a number; got '0.2'"),
        ({"seed": 1.5}, "`seed` must be a whole number; got 1.5"),
        ({"resolutions": 96}, "`resolutions` must be a list, each a whole number; got 96"),
        ({"merge_labels": "yes"}, "`merge_labels` must be true or false; got 'yes'"),
        ({"budget_s": "10m"}, "`budget_s` must be a number; got '10m'"),
        ({"backbone": 3}, "`backbone` must be a text; got 3"),
        ({"ordered": 3}, "`ordered` must be a text or a list, each a text; got 3"),
        ({"label_columns": [None]}, "`label_columns` takes names of columns; got None"),
        ({"Cs": [1, float("inf")]}, "`Cs` must be a list, each a finite number; got [1, inf]"),
        (
            {"Cs": np.eye(2)},
            "`Cs` must be a list, each a number; got array([[1., 0.],\\n       [0., 1.]])",
        ),
        ({"seed": 2**31}, "`seed` must be from 0 to 2147483647; got 2147483648"),
    ],
)
def test_settings_from__a_value_of_another_type_is_named(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        settings_from(FitSettings, "photos", wrong)
    assert str(caught.value) == words


@pytest.mark.parametrize("wrong", [None, 3, ["photos"]])
def test_fit__data_that_is_no_path_is_named(wrong: Any) -> None:
    for verb in (headstart.fit, headstart.finetune):
        with pytest.raises(InputError, match="`data` must be a text; got"):
            verb(wrong)
    with pytest.raises(InputError, match="a path is needed; got"):
        headstart.load_run(wrong)
