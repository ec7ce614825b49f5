"""Accuracy across a shift of domain, as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart import plots
from headstart.runs.report.pages import Section, Table
from headstart.wording import counted, signed_points

_PLAIN = "no adaptation"


def shift_sections(found: Mapping[str, Any]) -> tuple[Section, ...]:
    """Findings, the figure with the table, and how it was measured.

    Parameters
    ----------
    found : mapping
        `headstart.experiments.shift.measure.Shift.to_dict`, with ``source_name``, ``target_name``,
        ``backbone``, ``tap`` and ``size_px`` added.

    Returns
    -------
    tuple of Section
    """
    return (
        Section(heading="What was found", text=found["findings"]),
        Section(
            heading="Accuracy on the target",
            figure=_figure(found),
            caption="Held-out images, 95 % intervals. The first line is the source's own held-out "
            "images, the others are the target's.",
            table=_table(found),
        ),
        Section(heading="What was compared", text=_lines(found)),
        Section(heading="How it was measured", text=method(found)),
    )


def method(found: Mapping[str, Any]) -> list[str]:
    """Data, network and intervals in words."""
    (n_source, n_target), (n_source_test, n_target_test) = found["n_train"], found["n_test"]
    n_seeds = len(found["seeds"])
    data = (
        f"Source: {found['source_name']}, {n_source:,} training and {n_source_test:,} held-out images. "
        f"Target: {found['target_name']}, {counted(n_target, 'training image')}, whose labels only the last "
        f"line uses, and {n_target_test:,} held-out images, which no method sees. {found['backbone']}, "
        f"layer {found['tap']}, {found['size_px']} px, frozen."
    )
    choice = (
        "C of each SVM is chosen by cross-validation on what it is trained on. Nothing is chosen by the "
        "target's labels, and so nothing here says beforehand which adaptation to take."
    )
    intervals = (
        "Gains are paired on the same images, and their intervals hold for the three adaptations "
        f"together with 95 % (Bonferroni). DANN is trained with {n_seeds} "
        f"{'seeds' if n_seeds > 1 else 'seed'}; the others draw nothing."
    )
    return [data, choice, intervals, *found["notes"]]


def cells(row: Mapping[str, Any]) -> list[str]:
    """One method as the texts of a table's row: accuracy in %, gain in points."""
    if row["accuracy"] is None:
        return [row["name"], "not available", ""]
    value, low, high = (100 * v for v in row["accuracy"])
    gain = signed_points(*row["gain"]) if row["gain"] else ""
    return [row["name"], f"{value:.1f} [{low:.1f}, {high:.1f}]", gain]


def source_cells(found: Mapping[str, Any]) -> list[str]:
    """The source's own held-out images as a row."""
    value, low, high = (100 * v for v in found["source"])
    return ["on the source itself", f"{value:.1f} [{low:.1f}, {high:.1f}]", ""]


def _table(found: Mapping[str, Any]) -> Table:
    return Table(
        header=["", "accuracy, %", "points against no adaptation"],
        rows=[source_cells(found), *(cells(row) for row in found["methods"])],
    )


def _figure(found: Mapping[str, Any]) -> str:
    named = [("on the source itself", found["source"])]
    named += [(row["name"], row["accuracy"]) for row in found["methods"] if row["accuracy"]]
    rows = [plots.IntervalRow.of_shares(name, shares) for name, shares in named]
    return plots.interval_plot(
        rows,
        name="accuracies",
        title="Accuracy on held-out images",
        description="; ".join(f"{r.label} {r.value:.1f} %" for r in rows),
        axis="accuracy, %",
        width=480,
    )


def _lines(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for row in found["methods"]:
        why = f" Not available: {row['absent']}." if row["absent"] else ""
        lines.append(f"{row['name']}: {row['line']}.{why}")
    return lines
