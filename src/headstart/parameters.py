"""Parameters of the public functions: a value is checked against the type that is declared for it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, get_type_hints

import msgspec
from msgspec import inspect as types

from headstart.errors import InputError, argument, did_you_mean, one_line

LARGEST_SEED = 2**31 - 1


def checked_fields(kind: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Values of some fields of a dataclass, as `checked` gives them."""
    declared = get_type_hints(kind)
    return {name: checked(name, declared[name], value) for name, value in given.items()}


def checked(name: str, declared: Any, value: Any) -> Any:
    """The value as its declared type: paths become texts, all kinds of numbers numbers, lists and ranges tuples.

    Raises InputError, with the name of the parameter and what is legal.
    """
    info, plain = types.type_info(declared), _plain(value)
    legal = _legal(info)
    try:
        found = msgspec.convert(plain, declared)
        numbers = found if isinstance(found, tuple) else [found]
        if not all(math.isfinite(n) for n in numbers if isinstance(n, float)):
            legal = legal.replace("a number", "a finite number")
            raise msgspec.ValidationError
    except msgspec.ValidationError:
        close = ""
        inner = _alternatives(info)[0]
        if isinstance(inner, types.LiteralType) and isinstance(plain, str):
            close = did_you_mean(plain, [str(v) for v in inner.values])
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else repr(value)
        message = f"{argument(name)} must be {legal}; got {one_line(shown, limit=80)}"
        raise InputError(f"{message}.{close}" if close else message) from None
    return found


def _plain(value: Any) -> Any:
    """Paths as texts, numbers as int or float, and other sequences as tuples of these."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # NumPy's
        return _plain(value.tolist())
    if isinstance(value, int | str | bytes | Mapping):
        return value
    if isinstance(value, Iterable):
        return tuple(map(_plain, value))
    if isinstance(value, Real):
        number = float(value)
        return int(number) if number.is_integer() else number
    return value


def _alternatives(info: types.Type) -> list[types.Type]:
    if isinstance(info, types.Metadata):
        return _alternatives(info.type)
    if isinstance(info, types.UnionType):
        return [t for t in info.types if not isinstance(t, types.NoneType)]
    return [info]


def _legal(info: types.Type) -> str:
    """The legal set in words: ``a whole number of at least 1``."""
    return " or ".join(map(_legal_one, _alternatives(info)))


def _legal_one(one: types.Type) -> str:
    if isinstance(one, types.LiteralType):
        *most, last = map(str, one.values)
        return f"{', '.join(most)} or {last}" if most else last
    if isinstance(one, types.VarTupleType):
        return f"a list, each {_legal(one.item_type)}"
    if isinstance(one, types.DictType):
        return "a dictionary"
    if isinstance(one, types.IntType | types.FloatType):
        noun = "a whole number" if isinstance(one, types.IntType) else "a number"
        if one.gt is not None and one.lt is not None:
            return f"{noun} between {one.gt:g} and {one.lt:g}"
        if one.ge is not None:
            return f"{noun} of at least {one.ge:g}"
        return noun if one.gt is None else f"{noun} above {one.gt:g}"
    if isinstance(one, types.BoolType):
        return "true or false"
    return "a text"
