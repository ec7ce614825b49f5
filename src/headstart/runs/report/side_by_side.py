"""Runs side by side as a page: accuracies, paired differences, and what each run was."""

from __future__ import annotations

from collections.abc import Sequence

from headstart import plots
from headstart.results import Interval
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table, render_page
from headstart.runs.side_by_side import ComparedRun, ComparedRuns, noun_of
from headstart.wording import signed_points

Rows = Sequence[ComparedRun]


def comparison_page(found: ComparedRuns) -> str:
    """The page as one self-contained HTML document."""
    return render_page(
        "", "Runs side by side", found.sentence, comparison_sections(found.runs), found.detail
    )


def comparison_sections(rows: Rows) -> list[Section]:
    """Accuracies, differences where they are fair, and a table."""
    sections = [_accuracies(rows)]
    if any(row.difference for row in rows):
        sections.append(_differences(rows))
    return [*sections, _table(rows)]


def _accuracies(rows: Rows) -> Section:
    shown = [plots.IntervalRow.of_shares(row.name, row.cv, second=row.test) for row in rows]
    figure = plots.interval_plot(
        shown,
        name="runs-accuracies",
        title="Accuracy of each run",
        description="; ".join(f"{r.label} {r.value:.1f} % cross-validated" for r in shown),
        axis="accuracy, %",
    )
    return Section(
        heading="Accuracy",
        figure=figure,
        caption="Dots: cross-validated accuracy of the frozen features with its 95 % interval. "
        f"Hollow diamonds: accuracy on the run's own test {noun_of(rows)}s.",
    )


def _differences(rows: Rows) -> Section:
    shown = [
        plots.IntervalRow.of_shares(row.name, row.difference) for row in rows if row.difference
    ]
    figure = plots.interval_plot(
        shown,
        name="runs-differences",
        title=f"Test accuracy against {rows[0].name}",
        axis=f"percentage points over {rows[0].name}",
        zero=True,
    )
    return Section(
        heading=f"Against {rows[0].name}",
        figure=figure,
        caption=f"Paired differences on the same test {noun_of(rows)}s, with their 95 % intervals.",
    )


def _table(rows: Rows) -> Section:
    header = [
        "run",
        "data",
        "backbone",
        "taken",
        f"training {noun_of(rows)}s",
        "cross-validation, %",
        "test, %",
        f"against {rows[0].name}, points",
        "time",
    ]
    columns = zip(header, *(_cells(row) for row in rows), strict=True)
    # Without a column of which every cell is empty: differences of other test images, times of old runs.
    header, *cells = map(list, zip(*(c for c in columns if any(c[1:])), strict=True))
    return Section(heading="What each run was", table=Table(header=header, rows=cells))


def _cells(row: ComparedRun) -> list[str]:
    return [
        row.name,
        f"{row.data}, {words.plural(row.n_classes, 'class', 'classes')}",
        row.backbone,
        row.chosen,
        f"{row.n_train:,}",
        bounded(row.cv),
        bounded(row.test) if row.test else f"no test {row.noun}s",
        against(row),
        words.duration(row.seconds) if row.seconds is not None else "",
    ]


def against(row: ComparedRun) -> str:
    """The paired difference to the first run in points; empty where none is fair."""
    return "" if row.difference is None else signed_points(*row.difference)


def bounded(interval: Interval) -> str:
    """An accuracy in % with its interval."""
    return "{:.1f} [{:.1f}, {:.1f}]".format(*interval.percent)
