"""Estimates with intervals: a dot plot, and a small version for tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from headstart.plots import svg
from headstart.wording import points

_ROW = 44
_WORDS = 19.0  # height of the line of words above an interval

_Scale = Callable[[float], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class IntervalRow:
    """One row of the dot plot: a value with its interval, and optionally a second one below.

    ``value``, ``low``, ``high`` and ``second`` (value, low, high) are in the units of the axis;
    ``mark`` is ``""``, ``"chosen"``, ``"best"`` or ``"tie"``.
    """

    label: str
    value: float
    low: float
    high: float
    mark: str = ""
    second: tuple[float, float, float] | None = None

    @classmethod
    def of_shares(
        cls,
        label: str,
        shares: Iterable[float],
        *,
        mark: str = "",
        second: Iterable[float] | None = None,
    ) -> IntervalRow:
        """A row in %, or of differences in points, from value, low and high as shares of one."""
        value, low, high = (100 * v for v in shares)
        row = cls(label=label, value=value, low=low, high=high, mark=mark)
        if second is None:
            return row
        value, low, high = (100 * v for v in second)
        return replace(row, second=(value, low, high))


def interval_plot(
    rows: Sequence[IntervalRow],
    *,
    name: str,
    title: str,
    description: str = "",
    axis: str,
    zero: bool = False,
    width: float = 400,
) -> str:
    """Dot plot of ``rows``, first at the top, with each label above its line.

    Labels above the lines, not beside them, keep the plot narrow enough for a phone.

    Parameters
    ----------
    rows : sequence of IntervalRow
        At least one.
    name, title, description : str
        Identity in the page, and the texts for screen readers; a description is by default the value of
        each row, in % or, with `zero`, in points.
    axis : str
        What the axis measures, with its unit.
    zero : bool, default=False
        Mark zero, which is then always in range, with a dashed line (for differences).
    width : float, default=400
        In px.
    """
    if not description:
        values = (f"{points(r.value / 100)} points" if zero else f"{r.value:.1f} %" for r in rows)
        description = "; ".join(f"{r.label} {v}" for r, v in zip(rows, values, strict=True))
    low, high = _range(rows, zero=zero)
    pad = 10.0
    scale = (width - 2 * pad) / (high - low)

    def at(value: float) -> float:
        return pad + (value - low) * scale

    top, bottom = 8.0, 8.0 + _ROW * len(rows)
    places = [at(value) for value in svg.ticks(low, high)]
    body = _tick_labels(svg.ticks(low, high), at, bottom)
    for i, row in enumerate(rows):
        y = top + i * _ROW
        body += _levels(places, at(0) if zero else None, y + _WORDS, y + _ROW)
        body.append(_row(row, y, at, width - pad, signed=zero))
    body.append(svg.text(axis, width / 2, bottom + 36, class_="muted small", anchor="middle"))
    return svg.figure(name, title, description, width, bottom + 42, *body)


def small_interval(value: float, low: float, high: float, *, width: float = 110) -> str:
    """A dot and its interval on a line from 0 to 1, for tables."""
    height = 14.0

    def at(x: float) -> float:
        return 5 + min(max(x, 0.0), 1.0) * (width - 10)

    middle = height / 2
    return svg.element(
        "svg",
        svg.element("line", x1=at(0), x2=at(1), y1=middle, y2=middle, class_="line"),
        svg.element(
            "line", x1=at(low), x2=at(high), y1=middle, y2=middle, class_="curve", stroke_width=3
        ),
        svg.element("circle", cx=at(value), cy=middle, r=4, class_="accent"),
        class_="fig",
        aria_hidden="true",
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
    )


def _range(rows: Sequence[IntervalRow], *, zero: bool) -> tuple[float, float]:
    """Range of the axis with a margin."""
    ends = [end for row in rows for end in (row.low, row.high, row.value)]
    ends += [end for row in rows if row.second for end in row.second]
    ends += [0.0] if zero else []
    low, high = min(ends), max(ends)
    air = 0.04 * (high - low) or 1.0
    return low - air, high + air


def _levels(places: Sequence[float], zero: float | None, top: float, bottom: float) -> list[str]:
    """Grid lines and zero for one interval, which do not cross its text."""
    ends = {"y1": top, "y2": bottom}
    parts = [svg.element("line", x1=x, x2=x, class_="line", **ends) for x in places]
    if zero is not None:
        dashed = svg.element(
            "line", x1=zero, x2=zero, class_="axis", stroke_dasharray="4 3", **ends
        )
        parts.append(dashed)
    return parts


def _tick_labels(values: Sequence[float], at: _Scale, bottom: float) -> list[str]:
    return [
        svg.text(label, at(value), bottom + 17, class_="muted small", anchor="middle")
        for value, label in zip(values, svg.tick_labels(values), strict=True)
    ]


def _written(value: float, *, signed: bool) -> str:
    rounded = round(value, 1)
    sign = "+" if signed and rounded else ""
    return f"{rounded + 0.0:{sign}.1f}".replace("-", "−")


def _row(row: IntervalRow, y: float, at: _Scale, right: float, *, signed: bool) -> str:
    value, low, high = (_written(v, signed=signed) for v in (row.value, row.low, row.high))
    written = f"{value} [{low}, {high}]"
    line = y + 26.0
    label_x = 24.0 if row.mark else 10.0
    parts = [
        svg.tip(f"{row.label}: {written}"),
        svg.text(
            svg.shorten(row.label, 30),
            label_x,
            y + 14,
            class_="strong" if row.mark == "chosen" else None,
        ),
        svg.text(written, right, y + 14, anchor="end", class_="muted"),
        svg.element(
            "line",
            x1=at(row.low),
            x2=at(row.high),
            y1=line,
            y2=line,
            class_="curve",
            stroke_width=3,
        ),
        svg.element("circle", cx=at(row.value), cy=line, r=4.5, class_="accent"),
    ]
    if row.mark:
        parts.append(svg.mark(row.mark, 13, y + 10))
    if row.second:
        parts += _second(row.second, line + 8, at)
    return svg.element("g", *parts)


def _second(interval: tuple[float, float, float], y: float, at: _Scale) -> list[str]:
    """The thin line and hollow diamond of the second interval."""
    value, low, high = interval
    place = f"translate({at(value):.2f} {y:.2f}) rotate(45)"
    size = {"x": -3.0, "y": -3.0, "width": 6.0, "height": 6.0, "stroke_width": 1.4}
    return [
        svg.element("line", x1=at(low), x2=at(high), y1=y, y2=y, class_="axis"),
        svg.element("rect", transform=place, class_="hollow", **size),
    ]
