"""Typed results: the base of every result that is written, shown or read back, and its JSON.

A result is a class with typed fields (:mod:`msgspec`). Encoding, decoding, validation and the JSON
schema follow from them, so readers use attributes rather than strings:

>>> class Gain(Result, frozen=True, kw_only=True, tag="gain"):
...     gain: Difference
>>> text = encode(Gain(gain=Difference(0.012, 0.005, 0.019)))
>>> str(decode(text, Gain).gain)
'+1.2 [+0.5, +1.9]'
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from headstart.errors import InputError, one_line
from headstart.files import write_atomically
from headstart.wording import signed_points, without_repeats

SCHEMA = 1
# Larger files are not results.
MAX_BYTES = 256 * 2**20

R = TypeVar("R", bound="Result")


class Interval(msgspec.Struct, frozen=True):
    """A share with its confidence interval; it prints as ``93.0 % [91.2, 94.4]``.

    Attributes
    ----------
    value, low, high : float
        ``low <= value <= high``, as fractions (0.93 is 93 %).
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        value, low, high = self.percent
        return f"{value:z.1f} % [{low:z.1f}, {high:z.1f}]".replace("-", "−")

    def __iter__(self) -> Iterator[float]:
        """Unpack as ``value, low, high``."""
        return iter((self.value, self.low, self.high))

    @property
    def percent(self) -> tuple[float, float, float]:
        """Value and ends in percent, for figures."""
        return 100 * self.value, 100 * self.low, 100 * self.high


class Difference(Interval, frozen=True):
    """A difference of two shares; it prints in percentage points, as ``+1.2 [+0.5, +1.9]``."""

    @classmethod
    def of(cls, interval: Interval) -> Difference:
        """Value and ends of a difference of any kind, without what was computed beside them."""
        return cls(*interval)

    def __str__(self) -> str:
        return signed_points(*self)


class Estimate(Interval, frozen=True):
    """A quantity that is not a share, such as a distance; it prints as ``0.312 [0.300, 0.324]``."""

    def __str__(self) -> str:
        return "{:z.3f} [{:z.3f}, {:z.3f}]".format(*self).replace("-", "−")


class Versioned(msgspec.Struct):
    """The version of the form of a file."""

    schema: int


class Result(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base of the results that are written to a file of their own.

    A subclass declares its fields and the ``tag`` that tells its files from others.
    """

    schema: int = SCHEMA  # version of the form of the file
    sentence: str = ""  # the answer, in at most 25 words
    detail: str = ""  # a paragraph below it

    def _figure(self) -> str:
        """The figure that a notebook shows below the answer, as HTML; "" where there is none."""
        return ""

    def _repr_html_(self) -> str:
        """The answer and its figure, for a notebook."""
        from markupsafe import escape

        headline = without_repeats(self.sentence, self.detail)
        answer = f"<p><b>{escape(headline)}</b></p>" * bool(headline)
        return answer + f"<p>{escape(self.detail)}</p>" * bool(self.detail) + self._figure()


def encode(result: msgspec.Struct) -> str:
    """Indented JSON, arrays as lists, numbers that are not finite as null."""
    return msgspec.json.format(msgspec.json.encode(result, enc_hook=_plain), indent=1).decode()


def decode(text: str | bytes, kind: type[R], where: str = "the result") -> R:
    """The result in a JSON text, checked against its type.

    Raises InputError where the text is damaged, holds another kind of result, or was written by a
    newer version.

    `where`: names the source in errors.
    """
    name = one_line(where)
    try:
        found = msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        known = type(kind.__struct_config__.tag) is str and kind.__struct_config__.tag
        reason = one_line(str(error), limit=160)
        raise InputError(
            f"{name} is not a result of kind {known or kind.__name__!r}, or it is damaged "
            f"({reason}): run the experiment again"
        ) from error
    if found.schema > SCHEMA:
        raise InputError(
            f"{name} was written by a newer Headstart (schema {found.schema}, known {SCHEMA}): "
            "update headstart"
        )
    return found


def write(path: Path, result: msgspec.Struct) -> None:
    """Write a result, or another type, as JSON; the file holds either its old bytes or all the new ones.

    Raises OutputError where the folder is read-only, or the disk is full.
    """
    write_atomically(path, f"{encode(result)}\n".encode())


def read(path: Path, kind: type[R]) -> R:
    """Read a result that :func:`write` wrote.

    Raises InputError as `decode`, and where the file cannot be read.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{one_line(str(path))} is too large for a result: give its JSON file")
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {one_line(str(path))} ({error.strerror})") from error
    return decode(text, kind, str(path))


def json_schema(*kinds: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of files of these kinds; comments at fields describe them."""
    references, definitions = msgspec.json.schema_components(kinds)
    for kind in _classes(msgspec.inspect.multi_type_info(kinds)):
        found = definitions.get(f"{kind.__module__}.{kind.__qualname__}")
        properties = (found or definitions[kind.__name__]).get("properties", {})
        fields = msgspec.structs.fields(kind) if issubclass(kind, msgspec.Struct) else ()
        written = {field.name: field.encode_name for field in fields}
        for name, text in _comments(kind).items():
            properties[written.get(name, name)]["description"] = text
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Results of Headstart",
        "oneOf": list(references),
        "$defs": definitions,
    }


def _classes(info: Any, known: set[type[Any]] | None = None) -> set[type[Any]]:
    """The classes that a description of types is of, those of their fields included."""
    known = set() if known is None else known
    if isinstance(info, tuple | list):
        for inner in info:
            _classes(inner, known)
    elif isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field):
        kind = getattr(info, "cls", None)
        if kind in known:
            return known
        if kind is not None and hasattr(info, "fields"):
            known.add(kind)
        for name in info.__struct_fields__:
            _classes(getattr(info, name), known)
    return known


def _comments(kind: type[Any]) -> dict[str, str]:
    """The comments beside the fields of a class, or above; ``a, b: ...`` is of both."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        own, above = inspect.get_annotations(base), list[str]()
        for line in inspect.getsource(base).splitlines() if own else ():
            code, is_there, beside = line.strip().partition("# ")
            if is_there and not code:
                above.append(beside)
                continue
            name, text = code.partition(":")[0], " ".join(above) or beside
            above = []
            if text and name in own:
                names, _, rest = text.partition(": ")
                several = names.split(", ") if name in names.split(", ") and rest else []
                found |= dict.fromkeys(several, rest) or {name: text}
    return found


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays as Python values, paths as text."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"a result cannot hold a {type(value).__name__}")
