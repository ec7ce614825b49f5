"""The page of ``lab optimizers``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from headstart import plots
from headstart.runs.report.labs import cells
from headstart.runs.report.pages import Section, Table


def optimizers_sections(found: Mapping[str, Any]) -> list[Section]:
    """The curves and the table, then the choice of the rates."""
    rows = found["rows"]
    curves = plots.line_plot(
        [_curve(row, found["steps_an_epoch"]) for row in _in_order(found)],
        name="curves",
        title="Training loss of six optimizers",
        description="; ".join(
            f"{r['name']} ends at {r['last_loss'][0] or math.inf:.2g}" for r in rows
        ),
        x_axis="steps",
        y_axis="training loss",
        log_y=True,
        height=340,
    )
    return [
        Section(
            heading="One task, one start, six optimizers",
            text=(
                cells.method(
                    found,
                    f"A perceptron of two hidden layers of 64, {found['n_train']} training images, "
                    "batches of 50. With one seed all six start from the same weights and see the same "
                    "batches; each has its own best rate.",
                ),
            ),
            figure=curves,
            caption="Training loss after each epoch, of the network at rest: the geometric mean over seeds, every fifth with its interval.",
            table=_table(found),
        ),
        _rates(found),
    ]


def _in_order(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """By name, so that a line looks the same in both figures."""
    return sorted(found["rows"], key=lambda row: row["name"].lower())


def _curve(row: Mapping[str, Any], steps_an_epoch: int) -> plots.Line:
    curve = row["curve"]
    value, low, high = (
        [math.nan if v is None else v for v in curve[key]] for key in ("value", "low", "high")
    )
    # Every fifth interval is enough to see them by.
    low = [v if i % 5 == 0 else math.nan for i, v in enumerate(low)]
    return plots.Line(
        label=row["name"],
        x=[i * steps_an_epoch for i in range(len(value))],
        y=value,
        low=low,
        high=high,
    )


def _table(found: Mapping[str, Any]) -> Table:
    header = ["", "best rate"]
    if found["target"] is not None:
        header += [f"steps to a loss of {found['target']:.2g}", "behind the first"]
    header += ["last loss", "validation accuracy, %"]
    rows = []
    for i, row in enumerate(found["rows"]):
        cell = [row["name"], f"{row['rate']:.2g}{' (edge)' if row['is_at_edge'] else ''}"]
        if found["target"] is not None:
            tie = "" if not i or row["is_significant"] else " ~"
            cell += [cells.whole(row["steps"]), f"{cells.whole(row['behind'])}{tie}" if i else ""]
        cell += [cells.interval(row["last_loss"], ".2g"), cells.percent(row["val_accuracy"])]
        rows.append(cell)
    return Table(header=header, rows=rows, chosen=0 if found["target"] is not None else None)


def _rates(found: Mapping[str, Any]) -> Section:
    lines = [
        plots.Line(
            label=row["name"],
            x=found["rates"],
            # Far above guessing nothing more is to be seen.
            y=[math.nan if v is None or v > 10 else v for v in row["tuning_losses"]],
        )
        for row in _in_order(found)
    ]
    n_tuning = len(found["tuning_seeds"])
    return Section(
        heading="How the rates were chosen",
        text=(
            (
                f"The rate with the least training loss, averaged over the epochs of {n_tuning} trainings "
                "with seeds that are not among those above. The grid is the same for all, in half decades. "
                "~ in the table: not significantly slower than the first. Where a best rate is called the edge, the "
                "grid may have missed a better one."
            ),
        ),
        figure=plots.line_plot(
            lines,
            name="rates",
            title="Mean training loss against the rate",
            description="; ".join(f"{r['name']} is best at {r['rate']:.2g}" for r in found["rows"]),
            x_axis="learning rate",
            y_axis="mean training loss",
            log_x=True,
            log_y=True,
        ),
        caption="Losses above 10 and those that are no longer numbers are left out.",
    )
