"""The page of ``lab overfitting``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart import plots
from headstart.finetune.history import curves_of
from headstart.runs.report.labs import cells
from headstart.runs.report.pages import Section, Table


def overfitting_sections(found: Mapping[str, Any]) -> list[Section]:
    """Validation accuracy and the gap against width, then three corners of the grid."""
    few, many = found["sizes"][0], found["sizes"][-1]
    narrow, wide = found["widths"][0], found["widths"][-1]
    corners = ((many, narrow), (few, wide), (many, wide))
    return [
        Section(
            heading="Capacity against data",
            text=(
                cells.method(
                    found,
                    f"A perceptron of one hidden layer, Adam, {found['n_epochs']} epochs of ten steps for "
                    f"every size, {found['n_val']:,} validation images.",
                ),
            ),
            figure=_lines(
                found, "val_accuracy", "validation", "Validation accuracy", "accuracy, %"
            ),
            table=_table(found),
            caption="A line a number of training images.",
        ),
        Section(
            heading="The gap between training and validation",
            figure=_lines(found, "gap", "gap", "Gap", "training less validation accuracy, points"),
            caption=_widest(found),
        ),
        *(_corner(found, n, width) for n, width in corners),
    ]


def _of_size(found: Mapping[str, Any], n: int) -> list[Mapping[str, Any]]:
    return [c for c in found["cells"] if c["n"] == n]


def _lines(found: Mapping[str, Any], key: str, name: str, title: str, axis: str) -> str:
    widths: Sequence[int] = found["widths"]
    lines = [
        cells.line(f"{n:,} images", widths, [c[key] for c in _of_size(found, n)], times=100)
        for n in found["sizes"]
    ]
    return plots.line_plot(
        lines,
        name=name,
        title=f"{title} against width",
        description="; ".join(
            f"{line.label}: {line.y[0]:.0f} to {line.y[-1]:.0f}" for line in lines
        ),
        x_axis="width of the hidden layer",
        y_axis=axis,
        log_x=True,
        x_ticks=[(w, str(w)) for w in widths],
    )


def _table(found: Mapping[str, Any]) -> Table:
    n_seeds = len(found["seeds"])
    return Table(
        header=("images", "width", "training, %", "validation, %", "gap, points", "diagnosis"),
        rows=[
            [
                f"{c['n']:,}",
                str(c["width"]),
                cells.percent(c["train_accuracy"]),
                cells.percent(c["val_accuracy"]),
                cells.percent(c["gap"]),
                _commonest(c["codes"], n_seeds),
            ]
            for c in found["cells"]
        ],
    )


def _widest(found: Mapping[str, Any]) -> str:
    widest = max(found["cells"], key=lambda c: c["gap"][0])
    return (
        f"The widest gap is {100 * widest['gap'][0]:.1f} points, at width {widest['width']} with "
        f"{widest['n']:,} images."
    )


def _commonest(codes: Mapping[str, int], n_seeds: int) -> str:
    """The finding of most seeds, with how many where not all."""
    code = max(codes, key=lambda name: codes[name])
    return code if codes[code] >= n_seeds else f"{code} ({codes[code]} of {n_seeds})"


def _corner(found: Mapping[str, Any], n: int, width: int) -> Section:
    cell = next(c for c in found["cells"] if (c["n"], c["width"]) == (n, width))
    curves = curves_of(cell["history"])
    best = min(curves["epochs"], key=lambda e: curves["val_loss"][curves["epochs"].index(e)])
    return Section(
        heading=f"Width {width} with {n:,} images",
        text=tuple(f"Diagnosis: {sentence}." for sentence in cell["diagnosis"]),
        figure=plots.learning_curves(
            **curves,
            best=best,
            name=f"corner-{n}-{width}",
            title=f"Learning curves of width {width} with {n} images",
            description="; ".join(cell["diagnosis"]),
        ),
        caption="The first seed. The star is the epoch of the least validation loss.",
    )
