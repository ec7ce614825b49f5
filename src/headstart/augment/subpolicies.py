"""The result of a search: sub-policies of steps, each with weights over operations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from headstart.errors import InputError, did_you_mean, one_line

GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
COLOUR = ("brightness", "contrast", "saturation")
TONE = ("sharpness", "solarize", "posterize", "autocontrast", "equalize", "invert")
OPERATIONS = (*GEOMETRIC, *COLOUR, *TONE)
"""Names of the operations, in the order of tables and files."""

SIGNED = frozenset({*GEOMETRIC, *COLOUR, "sharpness"})
"""Operations with signed strength: left or right, brighter or darker."""

WITHOUT_STRENGTH = frozenset({"autocontrast", "equalize", "invert"})
"""Operations without strength."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One operation that a step may take.

    Parameters
    ----------
    operation : str
        One of `OPERATIONS`.
    weight : float in [0, 1]
        Probability that the step picks it.
    probability : float in [0, 1]
        Probability that it is applied if picked.
    magnitude : float in [0, 1]
        Strength; 1 is the maximum.

    Raises
    ------
    InputError
        An unknown operation, or a number out of range.
    """

    operation: str
    weight: float
    probability: float
    magnitude: float

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            hint = did_you_mean(str(self.operation), OPERATIONS)
            raise InputError(
                f"no operation is called {one_line(str(self.operation))!r}.{hint}".rstrip(".")
            )
        for name in ("weight", "probability", "magnitude"):
            value = getattr(self, name)
            good = isinstance(value, int | float) and not isinstance(value, bool)
            if not good or not 0 <= value <= 1:
                raise InputError(
                    f"{name} of {self.operation} must be from 0 to 1; got {one_line(str(value))}"
                )


Step = tuple[Choice, ...]
"""Choices whose weights sum to 1."""

SubPolicy = tuple[Step, ...]
"""Steps that follow one another."""


def sub_policies_to(sub_policies: Sequence[SubPolicy]) -> list[Any]:
    """JSON-able values."""
    return [[[asdict(choice) for choice in step] for step in sub] for sub in sub_policies]


def sub_policies_from(data: object) -> tuple[SubPolicy, ...]:
    """Read what `sub_policies_to` gave.

    Raises InputError where it is not of that form, or the weights of a step do not sum to 1.
    """
    try:
        read = tuple(
            tuple(tuple(Choice(**choice) for choice in step) for step in sub)
            for sub in data  # type: ignore[attr-defined]
        )
    except (TypeError, AttributeError) as error:
        raise InputError("its sub_policies are damaged: search again") from error
    for sub in read:
        for step in sub:
            total = math.fsum(choice.weight for choice in step)
            if abs(total - 1) > 1e-3:
                raise InputError(f"the weights of a step must sum to 1; got {total:g}")
    if not read or not all(read):
        raise InputError("its sub_policies are empty: search again")
    return read
