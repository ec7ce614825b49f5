"""Named kernels, and kernels as text."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from headstart.errors import InputError, argument, one_line

Values = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kernel:
    """A square kernel of odd side."""

    name: str
    values: Values
    divisor: float = 1.0  # divisor of the values, kept apart so that the kernel prints well

    @property
    def side(self) -> int:
        """The number of rows, k."""
        return len(self.values)

    @property
    def weights(self) -> Values:
        """The values divided by the divisor."""
        return tuple(tuple(v / self.divisor for v in row) for row in self.values)

    def with_side(self, side: int) -> Kernel:
        """The same kernel padded with zeros, or cropped about its centre."""
        shift = self.side // 2 - side // 2

        def value(row: int, column: int) -> float:
            inside = 0 <= row < self.side and 0 <= column < self.side
            return self.values[row][column] if inside else 0.0

        values = tuple(tuple(value(i + shift, j + shift) for j in range(side)) for i in range(side))
        return Kernel(name=self.name, values=values, divisor=self.divisor)

    @property
    def keeps_brightness(self) -> bool:
        """Whether the weights sum to about one, so that plain areas keep their brightness."""
        return abs(sum(map(sum, self.weights)) - 1) < 0.05

    def typed(self) -> str:
        """The kernel as `parse_kernel` reads it."""
        rows = ",".join("[" + ",".join(f"{v:g}" for v in row) + "]" for row in self.values)
        return (f"1/{self.divisor:g} × " if self.divisor != 1 else "") + f"[{rows}]"

    def printed(self) -> list[list[str]]:
        """The kernel as rows of cells, with its divisor in front of the middle row."""
        cells = [[f"{v:g}" for v in row] for row in self.values]
        if self.divisor == 1:
            return cells
        middle = len(cells) // 2
        front = f"1/{self.divisor:g} x"
        return [[front if i == middle else "", *row] for i, row in enumerate(cells)]


def _kernel(name: str, *values: tuple[float, ...], divisor: float = 1.0) -> Kernel:
    return Kernel(name=name, values=values, divisor=divisor)


EDGES = _kernel("edges, 8 neighbours", (-1, -1, -1), (-1, 8, -1), (-1, -1, -1))
GALLERY: tuple[Kernel, ...] = (
    _kernel("identity", (0, 0, 0), (0, 1, 0), (0, 0, 0)),
    _kernel("edges, diagonal", (1, 0, -1), (0, 0, 0), (-1, 0, 1)),
    _kernel("edges, 4 neighbours", (0, -1, 0), (-1, 4, -1), (0, -1, 0)),
    EDGES,
    _kernel("sharpen", (0, -1, 0), (-1, 5, -1), (0, -1, 0)),
    _kernel("box blur", (1, 1, 1), (1, 1, 1), (1, 1, 1), divisor=9),
    _kernel("Gaussian blur", (1, 2, 1), (2, 4, 2), (1, 2, 1), divisor=16),
    _kernel("emboss", (-2, -1, 0), (-1, 1, 1), (0, 1, 2)),
    _kernel("Sobel, left to right", (-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    _kernel("Sobel, top to bottom", (-1, -2, -1), (0, 0, 0), (1, 2, 1)),
)


def parse_kernel(text: str) -> Kernel:
    """Read a kernel such as ``"[[0, -1, 0], [-1, 5, -1], [0, -1, 0]]"``.

    It may start with a divisor, as `Kernel.typed` writes it: ``"1/9 × [[1, 1, 1], ...]"``, where
    ``*`` or ``x`` also stand for the sign.

    Raises InputError where it is not a list of rows of finite numbers, not square, or its side is
    even.
    """
    example = "such as [[0,-1,0],[-1,5,-1],[0,-1,0]]"
    divided = re.fullmatch(r"\s*1\s*/\s*(\d{1,6}(?:\.\d{1,6})?)\s*[×x*]\s*(\[.*)", text, re.DOTALL)
    divisor, typed = (float(divided[1]), divided[2]) if divided else (1.0, text)
    if divisor == 0:
        raise InputError(
            f"{argument('kernel')} is divided by zero: got {one_line(text, limit=80)!r}"
        )
    try:
        rows = json.loads(typed)
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list) or not rows or not all(isinstance(r, list) and r for r in rows):
        raise InputError(
            f"{argument('kernel')} takes rows of numbers in brackets, {example}; got {one_line(text, limit=80)!r}"
        )
    for row in rows:
        for value in row:
            if not _is_number(value):
                raise InputError(
                    f"{argument('kernel')} takes finite numbers, {example}; got {one_line(repr(value), limit=40)}"
                )
    widths = sorted({len(row) for row in rows})
    if widths != [len(rows)]:
        shown = " or ".join(map(str, widths))
        raise InputError(
            f"{argument('kernel')} must be square; got {len(rows)} "
            f"{'row' if len(rows) == 1 else 'rows'} of {shown} numbers"
        )
    if len(rows) % 2 == 0:
        raise InputError(
            f"{argument('kernel')} must have an odd side, so that it has a middle; got {len(rows)} x {len(rows)}"
        )
    values = tuple(tuple(float(v) for v in row) for row in rows)
    return Kernel(name="yours", values=values, divisor=divisor)


def _is_number(value: object) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and abs(float(value)) < 1e30 and math.isfinite(value)  # type: ignore[arg-type]
