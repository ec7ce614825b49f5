"""A comparison of regimes, policies or augmentations as a page and as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from headstart import plots
from headstart.comparison.result import ArmResult, ComparisonResult, accuracies, interval_rows
from headstart.files import write_atomically
from headstart.results import write
from headstart.runs.report import words
from headstart.runs.report.page import environment, source
from headstart.training.diagnosis import diagnose
from headstart.training.history import curves_of
from headstart.wording import counted


def write_comparison(folder: Path, r: ComparisonResult) -> Path:
    """Write ``comparison.json``, ``comparison.md`` and ``comparison.html``.

    Raises OutputError where the folder cannot be written. Returns the path of the page.

    `folder`: made where it does not exist.
    """
    write(folder / "comparison.json", r)
    write_atomically(folder / "comparison.md", markdown(r).encode())
    page = folder / "comparison.html"
    write_atomically(page, render(r).encode())
    return page


def markdown(r: ComparisonResult) -> str:
    """The answer and the table."""
    lines = [f"# {r.title}", "", r.sentence, ""]
    lines += [r.detail, ""] if r.detail else []
    lines += [method(r), ""]
    lines += [line for said in words.about_data(r.classes, r.notes) for line in (said, "")]
    header = ["", "validation", "test", "over the seeds", f"against {r.reference}"]
    header += ["seconds", "trained"]
    lines += ["| " + " | ".join(header) + " |", "| --- " * len(header) + "|"]
    lines += ["| " + " | ".join(cells(row, r)) + " |" for row in r.arms]
    lines += ["", *(f"- **{row.name}**: {row.line}" for row in r.arms), ""]
    return "\n".join(lines)


def cells(row: ArmResult, r: ComparisonResult) -> list[str]:
    """One arm as the texts of a table's row, accuracies in %, differences in points."""
    test, spread, gain = row.test, row.test_range, row.difference
    is_reference = row.name == r.reference
    return [
        f"{row.name} *" if row.is_taken else row.name,
        f"{100 * row.val_accuracy:.1f}",
        str(test) if test else "",
        f"{100 * spread[0]:.1f} to {100 * spread[1]:.1f}" if spread else "",
        "" if is_reference or not gain else str(gain),
        f"{row.seconds:,.0f}" if row.seconds >= 10 else f"{row.seconds:.1f}",
        f"{row.n_trained_parameters:,}",
    ]


def method(r: ComparisonResult) -> str:
    """How it was measured, in two sentences."""
    n_seeds = len(r.seeds)
    noun = r.noun
    nouns = f"{noun}s"
    crops = f", crops of {r.size_px} px" if r.size_px else ""
    test = f" The {counted(r.n_test, f'test {noun}')} had no part in the choice." * bool(r.n_test)
    return (
        f"{r.data}, {r.backbone}{crops}: "
        f"{counted(r.n_fit, noun)} to fit on and {r.n_val:,} to validate on, "
        f"{n_seeds} {'seeds' if n_seeds != 1 else 'seed'}, each with its own validation {nouns}. "
        f"* is taken: the quickest within one standard error of the best on the validation {nouns}.{test}"
    )


def render(r: ComparisonResult) -> str:
    """The page as one self-contained HTML document."""
    rows = [(row, cells(row, r)) for row in r.arms]
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            r=r,
            rows=rows,
            method=method(r),
            about_data=words.about_data(r.classes, r.notes),
            accuracies=Markup(accuracies(r.arms)) if r.n_test else None,
            differences=_differences(r),
            trainings=[_training(row, r, i) for i, row in enumerate(r.arms) if row.histories[0]],
            style=Markup(source("style.css") + plots.stylesheet()),
        )
    )


def _differences(r: ComparisonResult) -> Markup | None:
    others = [row for row in r.arms if row.name != r.reference]
    if not r.n_test or not others:
        return None
    rows = interval_rows(others, "difference")
    svg = plots.interval_plot(
        rows,
        name="differences",
        title=f"Test accuracy against {r.reference}",
        axis=f"points over {r.reference}",
        zero=True,
    )
    return Markup(svg)


def _training(row: ArmResult, r: ComparisonResult, number: int) -> dict[str, Any]:
    """The learning curves of an arm's first seed, and what they say of every seed."""
    svg = plots.learning_curves(
        **curves_of(row.histories[0]),
        best=row.best_epochs[0],
        name=f"curves-{number}",
        title=f"Learning curves of {row.name}",
        description=f"Loss and accuracy in {words.plural(len(row.histories[0]), 'epoch')}",
    )
    said = [diagnose(h, n_train=r.n_fit, n_val=r.n_val) for h in row.histories]
    findings = dict.fromkeys(
        f"Seed {seed}: {finding.sentence}: {finding.suggestion}"
        for seed, part in zip(r.seeds, said, strict=True)
        for finding in part
    )
    return {
        "name": row.name,
        "line": row.line,
        "svg": Markup(svg),
        "findings": list(findings),
    }
