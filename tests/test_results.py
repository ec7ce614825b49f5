"""Typed results: what is written is read back equal, and what does not fit is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from headstart import results
from headstart.errors import InputError
from headstart.results import Difference, Interval, Result


class Gain(Result, frozen=True, kw_only=True, tag="gain"):
    """A result as an experiment declares it."""

    n: int
    accuracy: Interval
    gain: Difference
    curve: tuple[float, ...] = ()


class Other(Result, frozen=True, kw_only=True, tag="other"):
    n: int


GAIN = Gain(
    n=3, accuracy=Interval(0.93, 0.9, 0.95), gain=Difference(0.012, -0.005, 0.03), curve=(1, 2.5)
)


def test_interval__prints_percent_and_a_difference_prints_points() -> None:
    assert str(GAIN.accuracy) == "93.0 % [90.0, 95.0]"
    assert str(GAIN.gain) == "+1.2 [−0.5, +3.0]"
    assert str(Interval(0.0, -1e-17, 0.06)) == "0.0 % [0.0, 6.0]"


def test_interval__unpacks_and_compares_by_value() -> None:
    value, low, high = GAIN.accuracy
    assert (value, low, high) == (0.93, 0.9, 0.95)
    assert GAIN.accuracy == Interval(0.93, 0.9, 0.95)
    assert len({GAIN.accuracy, Interval(0.93, 0.9, 0.95)}) == 1


def test_read__gives_back_what_was_written(tmp_path: Path) -> None:
    results.write(tmp_path / "gain.json", GAIN)
    assert results.read(tmp_path / "gain.json", Gain) == GAIN
    figures = json.loads((tmp_path / "gain.json").read_text("utf-8"))
    assert figures["kind"] == "gain"
    assert figures["accuracy"] == {"value": 0.93, "low": 0.9, "high": 0.95}


def test_encode__takes_numpy_numbers_and_writes_no_nan() -> None:
    odd = Gain(
        n=np.int64(2),  # type: ignore[arg-type]
        accuracy=Interval(np.float64(0.5), float("nan"), float(np.float32(1))),
        gain=GAIN.gain,
        curve=np.arange(2.0),  # type: ignore[arg-type]
    )
    figures = json.loads(results.encode(odd))
    assert figures["n"] == 2
    assert figures["accuracy"] == {"value": 0.5, "low": None, "high": 1.0}
    assert figures["curve"] == [0.0, 1.0]


def _changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(results.encode(GAIN)), **fields}).encode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"[1]", "object"),
        (b"\xff\xfe", "a.json"),
        (b"[" * 100_000, "a.json"),
        (_changed(kind="other"), "kind"),
        (_changed(n="three"), "n"),
        (_changed(accuracy=[1, 2, 3]), "accuracy"),
        (_changed(accuracy={"value": 1, "low": None, "high": 1}), "accuracy"),
        (_changed(curve=[1, "x"]), r"curve\[1\]"),
        (_changed(schema=99), "newer Headstart"),
        (results.encode(Other(n=1)).encode(), "kind 'gain'"),
    ],
)
def test_decode__says_in_one_line_what_does_not_fit(text: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        results.decode(text, Gain, "a.json")
    assert str(caught.value).startswith("a.json")
    assert "\n" not in str(caught.value)


def test_decode__ignores_fields_that_it_does_not_know() -> None:
    assert results.decode(_changed(extra=1), Gain) == GAIN


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_read__names_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot read"):
        results.read(tmp_path / name, Gain)


def test_json_schema__describes_what_is_written() -> None:
    jsonschema = pytest.importorskip("jsonschema")

    schema = results.json_schema(Gain, Other)
    jsonschema.validate(json.loads(results.encode(GAIN)), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(_changed(n="three")), schema)


class _Measured(msgspec.Struct, frozen=True):
    a: int  # beside
    # low, high: of both
    low: float
    high: float | None = None
    none: str = ""

    # longer than one line
    # goes above
    rows: tuple[float, ...] = ()


class _Inherits(_Measured, frozen=True):
    own: int = 0  # its own


def test_json_schema__fields_are_described_by_their_comments() -> None:
    properties = results.json_schema(_Inherits)["$defs"]["_Inherits"]["properties"]
    said = {name: found.get("description") for name, found in properties.items()}
    assert said == {
        "a": "beside",
        "low": "of both",
        "high": "of both",
        "none": None,
        "rows": "longer than one line goes above",
        "own": "its own",
    }
