"""The rule's advice as sections: the four quadrants with the data as a dot, then what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart import plots
from headstart.experiments.advice.measure import ADVICE
from headstart.plots.quadrants import quadrant_plot
from headstart.runs.report.comparison import cells
from headstart.runs.report.pages import Section, Table
from headstart.wording import signed_points

Found = Mapping[str, Any]


def advice_sections(found: Found) -> list[Section]:
    """Quadrants, layers, and regimes where these were measured."""
    sections = [_quadrants(found)]
    if found["depth"]:
        sections.append(_depth(found))
    if "comparison" in found:
        sections.append(_regimes(found["comparison"], found["verdict"]))
    return sections


def _quadrants(found: Found) -> Section:
    figure = quadrant_plot(
        (found["n_per_class"], found["distance"]),
        (found["much"], found["far"]),
        ADVICE,
        label=found["data"],
        references=found["references"],
        x_axis="training images a class",
        y_axis="distance to the source (symmetric KL)",
        name="advice-quadrants",
        title="Size and likeness: what the rule advises",
        description=found["rule"],
    )
    told = (
        "as measured with the same network"
        if found["references"]
        else "as the embedded network sees them"
    )
    return Section(
        heading="Where your data lie",
        text=[found["rule"]],
        figure=figure,
        caption=f"The rule is that of the course CS231n. Its thresholds are conventions: much data "
        f"from {found['much']:g} images a class; unlike the source from {found['far']:.2f}, half-way "
        f"on a logarithmic scale between photographs and handwritten digits, {told}.",
    )


def _depth(found: Found) -> Section:
    depth = found["depth"]
    rows = [
        plots.IntervalRow.of_shares(f"{depth['early']} (best earlier layer)", depth["early_cv"]),
        plots.IntervalRow.of_shares(f"{depth['late']} (penultimate layer)", depth["late_cv"]),
    ]
    figure = plots.interval_plot(
        rows,
        name="advice-depth",
        title="Earlier layers against the last",
        description="; ".join(f"{r.label} {r.value:.1f} %" for r in rows),
        axis="cross-validated accuracy, %",
    )
    return Section(
        heading="Do earlier layers suit these images better?",
        text=[found.get("depth_verdict", found["verdict"])],
        figure=figure,
        caption=f"Paired difference: {signed_points(*depth['gain'])} points. The earlier layer is "
        "the best of several, which flatters it a little.",
    )


def _regimes(comparison: Mapping[str, Any], verdict: str) -> Section:
    rows = [cells(row, comparison) for row in comparison["arms"]]
    header = ["", "validation", "test", "over the seeds", f"against {comparison['reference']}"]
    return Section(
        heading="What measured best",
        text=[verdict],
        table=Table(
            header=[*header, "seconds", "trained"],
            rows=rows,
            chosen=next(i for i, row in enumerate(comparison["arms"]) if row["is_taken"]),
        ),
        caption="Accuracies in %, differences in points. * the quickest within one standard error of "
        "the best on the validation images.",
    )
