"""Settings are checked on creation, and say by name what is wrong."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from headstart.errors import InputError
from headstart.experiments.settings import (
    Crops,
    OnImages,
    Positive,
    Settings,
    Share,
    WithBackbone,
    about,
    options,
)


@dataclass(frozen=True, kw_only=True)
class Asked(OnImages, WithBackbone):
    """Made up."""

    more: Annotated[Positive, about("How many more.")] = 100
    sizes: Annotated[tuple[Positive, ...] | None, about("Which.")] = None
    per: Annotated[Literal["tap", "backbone"], about("Of what.", panel="Other")] = "tap"
    share: Annotated[Share | None, about("How much.")] = None
    rate: Annotated[float, about("How quickly.")] = 0.1
    size_px: Crops = None


def test_settings__take_what_python_and_numpy_call_numbers() -> None:
    found = Asked(data=Path("x"), more=np.int64(3), sizes=[1, 2], rate=2)  # type: ignore[arg-type]
    assert (found.data, found.more, found.sizes, found.rate) == ("x", 3, (1, 2), 2.0)
    assert type(found.more) is int


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"more": 0}, "`more` must be a whole number of at least 1; got 0"),
        ({"more": "3"}, "`more` must be a whole number of at least 1; got '3'"),
        ({"more": 1.5}, "`more` must be a whole number of at least 1; got 1.5"),
        ({"more": True}, "`more` must be a whole number"),
        (
            {"sizes": [1, 0]},
            r"`sizes` must be a list, each a whole number of at least 1; got \[1, 0\]",
        ),
        ({"sizes": 3}, "`sizes` must be a list"),
        ({"per": "tpa"}, r"`per` must be backbone or tap; got 'tpa'\. Did you mean 'tap'"),
        ({"share": 1.0}, "`share` must be a number between 0 and 1; got 1.0"),
        ({"share": float("nan")}, "`share` must be a number between 0 and 1"),
        ({"rate": float("inf")}, "`rate` must be a finite number; got inf"),
        ({"rate": None}, "`rate` must be a number; got None"),
        ({"size_px": 4}, "`size_px` must be a whole number of at least 16"),
        ({"merge_labels": 1}, "`merge_labels` must be true or false"),
        ({"data": 5}, "`data` must be a text"),
    ],
)
def test_settings__refuse_what_is_not_legal(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Asked(**{"data": "x", **wrong})


def test_from_options__answers_an_unknown_name_with_the_legal_ones() -> None:
    with pytest.raises(InputError, match=r"no parameter 'mor'\. Did you mean 'more'\?.* size_px"):
        Asked.from_options({"data": "x", "mor": 1})
    with pytest.raises(InputError, match="`data` is missing"):
        Asked.from_options({"more": 1})


def test_options__arguments_first_then_own_fields_then_inherited_ones() -> None:
    found = {o.name: o for o in options(Asked)}
    names = list(found)
    assert names[:3] == ["data", "more", "sizes"]
    assert names.index("size_px") < names.index("split") < names.index("backbone")
    assert found["data"].default is MISSING
    assert found["data"].is_argument
    assert found["per"].panel == "Other"
    assert found["size_px"].type == int | None
    assert all(o.help for o in found.values())


def test_options__a_bare_class_has_none() -> None:
    assert options(Settings) == []
