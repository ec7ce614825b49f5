"""Which layers are general and which specific, as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart import plots
from headstart.plots.lines import Line, line_plot
from headstart.runs.report.pages import Section, Table
from headstart.wording import counted, points, signed_points

_WIDTH = 640.0


def generality_sections(found: Mapping[str, Any]) -> tuple[Section, ...]:
    """Findings, three figures, the table and how it was measured.

    Parameters
    ----------
    found : mapping
        `headstart.experiments.layers.measure.Generality.to_dict`, with ``a``, ``b``, ``backbone``,
        ``size_px``, ``settings`` and ``notes`` added.

    Returns
    -------
    tuple of Section
    """
    return (
        Section(heading="What was found", text=found["findings"]),
        _accuracies(found),
        _drops(found),
        _published(found),
        Section(heading="All figures", text=[_kinds(found)], table=_table(found)),
        Section(heading="How it was measured", text=method(found)),
    )


def method(found: Mapping[str, Any]) -> list[str]:
    """Data, network, training and intervals in words."""
    settings, n_seeds = found["settings"], len(found["seeds"])
    n_a, n_b = found["n_train"]
    data = (
        f"A: {found['a']}, {counted(n_a, 'training image')}. B: {found['b']}, {n_b:,} training and "
        f"{counted(found['n_test'], 'test image')}. {found['backbone']} from random weights, images of "
        f"{found['size_px']} px, {settings['epochs']} epochs of {settings['optimizer']} at "
        f"{settings['lr']:g}, augmentation {settings['augment']}, "
        f"{n_seeds} {'seeds' if n_seeds > 1 else 'seed'}. All nets of a seed are trained alike; the "
        "new layers of a seed are the same random ones for every kind and cut."
    )
    frozen = (
        "Frozen means frozen: weights, BatchNorm's weight and bias and its running statistics were "
        "hashed before and after. The random filters' BatchNorm statistics were taken from B's "
        "training images first, without labels."
    )
    intervals = (
        "Accuracies carry 95 % intervals. Differences are paired over seeds and test images, and "
        f"their intervals hold for all {len(found['layers'])} layers together with 95 % (Bonferroni). "
        "Few seeds estimate the spread between seeds poorly: more `seeds` make it surer."
    )
    return [data, frozen, intervals, *found["notes"]]


def cells(row: Mapping[str, Any]) -> list[str]:
    """One layer as the texts of a table's row: accuracies in %, drops in points."""
    accuracies = [f"{100 * value[0]:.1f}" for value in row["accuracy"].values()]
    return [
        row["layer"],
        *accuracies,
        signed_points(*row["co_adaptation"]),
        signed_points(*row["specificity"]),
    ]


def _ticks(found: Mapping[str, Any]) -> list[tuple[float, str]]:
    names = [(float(n), row["layer"]) for n, row in enumerate(found["layers"], start=1)]
    return [(0.0, "none"), *names]


def _accuracies(found: Mapping[str, Any]) -> Section:
    rows, base = found["layers"], [100 * v for v in found["base_b"]]
    xs = [float(n) for n in range(len(rows) + 1)]
    lines = [
        Line(label="base B", x=xs, y=[base[0]] * len(xs), has_points=False, is_faint=True),
        *(_line(found, kind, base) for kind in found["kinds"]),
    ]
    last = rows[-1]["accuracy"]
    figure = line_plot(
        lines,
        name="accuracies",
        title="Accuracy on B by the number of layers copied",
        description=f"base B {base[0]:.1f} %; with all layers copied "
        + ", ".join(f"{kind} {100 * value[0]:.1f} %" for kind, value in last.items()),
        x_axis="layers copied, up to and including",
        y_axis="accuracy on B's test images, %",
        x_ticks=_ticks(found),
        width=_WIDTH,
    )
    return Section(
        heading="Accuracy by layers copied",
        figure=figure,
        caption="Mean of the seeds with 95 % intervals. BnB: B's own layers; AnB: layers from A; +: "
        "trained on, else frozen; random: random filters, frozen.",
    )


def _line(found: Mapping[str, Any], kind: str, base: list[float]) -> Line:
    values = [row["accuracy"][kind] for row in found["layers"]]
    y, low, high = ([100 * v[i] for v in values] for i in range(3))
    return Line(
        label=kind,
        x=[float(n) for n in range(1, len(values) + 1)],
        y=y,
        low=low,
        high=high,
    )


def _drops(found: Mapping[str, Any]) -> Section:
    rows = [
        plots.IntervalRow.of_shares(f"{part} to {row['layer']}", row[field])
        for field, part in (("co_adaptation", "co-adaptation"), ("specificity", "specificity"))
        for row in found["layers"]
    ]
    figure = plots.interval_plot(
        rows,
        name="drops",
        title="The drop taken apart",
        description="; ".join(f"{r.label} {points(r.value / 100)} points" for r in rows),
        axis="points of accuracy lost on B",
        zero=True,
        width=480,
    )
    return Section(
        heading="The drop taken apart",
        figure=figure,
        caption="Co-adaptation: base B less BnB. Specificity: BnB less AnB. Right of the dashed line "
        "accuracy is lost. The intervals hold for all layers together with 95 %.",
    )


def _published(found: Mapping[str, Any]) -> Section:
    """Own and published drops over the share of layers copied: the two nets differ in depth."""
    n, base = len(found["layers"]), found["base_b"][0]
    own = [
        Line(
            label=f"{kind} here",
            x=[(i + 1) / (n + 1) for i in range(n)],
            y=[100 * (row["accuracy"][kind][0] - base) for row in found["layers"]],
        )
        for kind in found["published"]
    ]
    published = [
        Line(
            label=f"{kind} published",
            x=[(i + 1) / (len(values) + 1) for i in range(len(values))],
            y=[v - found["published_base"] for v in values],
            is_faint=True,
        )
        for kind, values in found["published"].items()
    ]
    figure = line_plot(
        [*own, *published],
        name="published",
        title="Beside the published experiment",
        description="Accuracy less that of base B over the share of layers copied, here and published",
        x_axis="share of the network's layers that were copied",
        y_axis="points against base B",
        width=_WIDTH,
    )
    return Section(
        heading="Beside the published experiment",
        figure=figure,
        caption=f"Faint: {found['published_name']}, AlexNet, the means of the authors' training logs "
        "(base 62.6 %; AnB+ rests on one or two runs a point). Other data, another network and far "
        "more images: the shapes may be compared, the sizes not.",
    )


def _kinds(found: Mapping[str, Any]) -> str:
    return "; ".join(f"{kind}: {line}" for kind, line in found["kinds"].items()) + "."


def _table(found: Mapping[str, Any]) -> Table:
    header = ["up to", *found["kinds"], "co-adaptation", "specificity"]
    base = f"{100 * found['base_b'][0]:.1f}"
    first = ["base B", base, *[""] * (len(header) - 2)]
    return Table(header=header, rows=[first, *(cells(row) for row in found["layers"])])
