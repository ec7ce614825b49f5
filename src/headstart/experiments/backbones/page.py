"""Backbones compared as sections: the bubbles, then the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart import plots
from headstart.plots.bubbles import Bubble, bubble_plot
from headstart.runs.report.pages import Section, Table
from headstart.wording import counted, signed_points

Found = Mapping[str, Any]
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def backbone_sections(found: Found) -> list[Section]:
    """Figure and table."""
    return [_bubbles(found), _speeds(found), _table(found)]


def cells(row: Mapping[str, Any]) -> list[str]:
    """One backbone as the texts of a table's row."""
    mark = " *" * row["is_chosen"]
    return [
        f"{row['name']}{mark}",
        f"{row['size_px']}",
        _bounded(row["cv"]),
        _bounded(row["test"]) if row["test"] else "",
        "" if row["is_best"] else signed_points(*row["behind"]),
        short(row["macs"]),
        short(row["n_parameters"]),
        f"{row['images_per_s']:,.0f}"
        if row["images_per_s"] >= 10
        else f"{row['images_per_s']:.1f}",
        "yes" if row["is_on_front"] else "",
    ]


def shown_name(row: Mapping[str, Any]) -> str:
    """The name for a figure, where a file's suffix would only take room."""
    return str(row["name"]).removesuffix(".safetensors")


def method(found: Found) -> str:
    """How it was measured."""
    return (
        f"The last layer before the output layer of each network with a linear SVM, on {counted(found['n_train'], 'training image')} "
        f"of {found['data']}."
    )


HEADER = (
    "backbone", "px", "cross-validation, %", "test, %", "against the best, points",
    "multiply-accumulates", "parameters", "images/s", "on the front",
)  # fmt: skip


def short(n: float) -> str:
    """``407,000,000`` as ``407 M``."""
    for size, unit in _UNITS:
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n:.3g}"


def _bubbles(found: Found) -> Section:
    rows = found["candidates"]
    points = [
        Bubble(
            label=shown_name(row),
            x=row["macs"] / 1e9,
            y=100 * row["cv"][0],
            low=100 * row["cv"][1],
            high=100 * row["cv"][2],
            area=row["n_parameters"],
            mark="chosen" if row["is_chosen"] else "best" if row["is_best"] else "",
        )
        for row in rows
    ]
    figure = bubble_plot(
        points,
        name="backbones",
        title=f"Backbones on {found['data']}",
        description="; ".join(
            f"{p.label}: {p.y:.1f} %, {p.x:.3g} G multiply-accumulates" for p in points
        ),
        x_axis="multiply-accumulates of one image, G",
        y_axis="cross-validated accuracy, %",
        area_axis="parameters",
        area_unit=short,
        front=[shown_name(row) for row in rows if row["is_on_front"]],
    )
    return Section(
        heading="Accuracy against computation",
        text=[method(found)],
        figure=figure,
        caption="The area of a bubble is its number of parameters, the line through it the 95 % "
        "interval of the accuracy. The dashed line joins the Pareto front; a star is the cheapest "
        "within one standard error of the most accurate (a diamond), and at most one point lower.",
    )


def _speeds(found: Found) -> Section:
    rows = [
        plots.IntervalRow.of_shares(
            f"{shown_name(row)}: {row['images_per_s']:,.0f} images/s",
            row["cv"],
            mark="chosen" if row["is_chosen"] else "best" if row["is_best"] else "",
        )
        for row in sorted(found["candidates"], key=lambda r: -r["images_per_s"])
    ]
    figure = plots.interval_plot(
        rows,
        name="backbone-speeds",
        title="Accuracy, the fastest first",
        description="; ".join(f"{r.label}, {r.value:.1f} %" for r in rows),
        axis="cross-validated accuracy, %",
    )
    return Section(
        heading="The fastest first",
        figure=figure,
        caption="Images a second as measured on this machine, decoding included: multiply-"
        "accumulates do not tell it alone.",
    )


def _table(found: Found) -> Section:
    rows = [cells(row) for row in found["candidates"]]
    chosen = next(i for i, row in enumerate(found["candidates"]) if row["is_chosen"])
    return Section(
        heading="In figures",
        table=Table(header=HEADER, rows=rows, chosen=chosen),
        caption="* the cheapest within one standard error of the most accurate, and at most one point lower. The choice "
        "looks at cross-validation on the training images alone.",
    )


def _bounded(interval: Sequence[float]) -> str:
    value, low, high = (100 * v for v in interval)
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"
