"""Runs side by side as a page: accuracies, paired differences, and what each run was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart import plots
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table, render_page, write_page
from headstart.runs.side_by_side import Entry, detail, sentence, side_by_side
from headstart.wording import points, signed_points

if TYPE_CHECKING:
    from headstart.runs.run import Run

Rows = Sequence[Mapping[str, Any]]


def comparison_page(entries: Sequence[Entry]) -> str:
    """The page as one self-contained HTML document."""
    rows = [entry.to_dict() for entry in entries]
    return render_page(
        "", "Runs side by side", sentence(rows), comparison_sections(rows), detail(rows)
    )


def write_comparison(runs: Sequence[Run], folder: Path) -> tuple[dict[str, Any], Path]:
    """Set runs side by side and write the page, with its Markdown and JSON, into a folder.

    Parameters
    ----------
    runs : sequence of Run, at least 2
    folder : Path
        Made where it does not exist.

    Returns
    -------
    found : dict
        ``sentence``, ``detail`` and ``runs``, a row for each run.
    page : Path

    Raises
    ------
    InputError
        There are fewer than two runs, or one twice.
    OutputError
        The folder cannot be written.
    """
    rows = [entry.to_dict() for entry in side_by_side(runs)]
    found: dict[str, Any] = {
        "sentence": sentence(rows),
        "detail": detail(rows),
        "runs": rows,
    }
    page = write_page(
        folder,
        "side-by-side",
        title="Runs side by side",
        sentence=found["sentence"],
        detail=found["detail"],
        sections=comparison_sections(rows),
        found=found,
    )
    return found, page


def comparison_sections(rows: Rows) -> list[Section]:
    """Accuracies, differences where they are fair, and a table."""
    sections = [_accuracies(rows)]
    if any(row["difference"] for row in rows):
        sections.append(_differences(rows))
    return [*sections, _table(rows)]


def _accuracies(rows: Rows) -> Section:
    shown = [
        plots.IntervalRow.of_shares(row["name"], row["cv"], second=row["test"] or None)
        for row in rows
    ]
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
        "Hollow diamonds: accuracy on the run's own test images.",
    )


def _differences(rows: Rows) -> Section:
    shown = [
        plots.IntervalRow.of_shares(row["name"], row["difference"])
        for row in rows
        if row["difference"]
    ]
    figure = plots.interval_plot(
        shown,
        name="runs-differences",
        title=f"Test accuracy against {rows[0]['name']}",
        description="; ".join(f"{r.label} {points(r.value / 100)} points" for r in shown),
        axis=f"percentage points over {rows[0]['name']}",
        zero=True,
    )
    return Section(
        heading=f"Against {rows[0]['name']}",
        figure=figure,
        caption="Paired differences on the same test images, with their 95 % intervals.",
    )


def _table(rows: Rows) -> Section:
    return Section(
        heading="What each run was",
        table=Table(
            header=[
                "", "data", "backbone", "taken", "training images",
                "cross-validation, %", "test, %", f"against {rows[0]['name']}, points", "time",
            ],
            rows=[_cells(row) for row in rows],
        ),
    )  # fmt: skip


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["name"],
        f"{row['data']}, {words.plural(row['n_classes'], 'class', 'classes')}",
        row["backbone"],
        row["chosen"],
        f"{row['n_train']:,}",
        bounded(row["cv"]),
        bounded(row["test"]) if row["test"] else "no test images",
        against(row),
        words.duration(row["seconds"]) if row["seconds"] is not None else "",
    ]


def against(row: Mapping[str, Any]) -> str:
    """The paired difference to the first run in points; empty where none is fair."""
    return signed_points(*row["difference"]) if row["difference"] else ""


def bounded(interval: Sequence[float]) -> str:
    """An accuracy in % with its interval."""
    value, low, high = (100 * v for v in interval)
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"
