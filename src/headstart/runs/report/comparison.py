"""A comparison of regimes, policies or augmentations as a page and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from headstart import plots
from headstart.files import write_atomically
from headstart.finetune.diagnosis import diagnose
from headstart.finetune.history import Epoch, curves_of
from headstart.runs.folder import write_json
from headstart.runs.report import words
from headstart.runs.report.page import environment, source
from headstart.wording import counted, points, signed_points


def write_comparison(folder: Path, found: Mapping[str, Any]) -> Path:
    """Write ``comparison.json``, ``comparison.md`` and ``comparison.html``.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    found : mapping
        `headstart.comparison.comparing.Comparison.to_dict`, with ``title``, ``data`` and ``backbone`` added,
        and ``classes`` and ``notes`` of the data.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    write_json(folder / "comparison.json", found)
    write_atomically(folder / "comparison.md", markdown(found).encode())
    page = folder / "comparison.html"
    write_atomically(page, render(found).encode())
    return page


def markdown(found: Mapping[str, Any]) -> str:
    """The answer and the table."""
    lines = [f"# {found['title']}", "", found["sentence"], ""]
    lines += [found["detail"], ""] if found.get("detail") else []
    lines += [method(found), ""]
    lines += [line for said in _about_data(found) for line in (said, "")]
    header = ["", "validation", "test", "over the seeds", f"against {found['reference']}"]
    header += ["seconds", "trained"]
    lines += ["| " + " | ".join(header) + " |", "| --- " * len(header) + "|"]
    lines += ["| " + " | ".join(cells(row, found)) + " |" for row in found["arms"]]
    lines += ["", *(f"- **{row['name']}**: {row['line']}" for row in found["arms"]), ""]
    return "\n".join(lines)


def cells(row: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """One arm as the texts of a table's row, accuracies in %, differences in points."""
    test, spread, gain = row["test"], row["test_range"], row["difference"]
    is_reference = row["name"] == found["reference"]
    return [
        f"{row['name']} *" if row["is_taken"] else row["name"],
        f"{100 * row['val_accuracy']:.1f}",
        f"{100 * test[0]:.1f} [{100 * test[1]:.1f}, {100 * test[2]:.1f}]" if test else "",
        f"{100 * spread[0]:.1f} to {100 * spread[1]:.1f}" if spread else "",
        "" if is_reference or not gain else signed_points(*gain),
        f"{row['seconds']:,.0f}" if row["seconds"] >= 10 else f"{row['seconds']:.1f}",
        f"{row['n_trained_parameters']:,}",
    ]


def method(found: Mapping[str, Any]) -> str:
    """How it was measured, in two sentences."""
    n_seeds = len(found["seeds"])
    noun = found.get("noun", "image")
    nouns = f"{noun}s"
    crops = f", crops of {found['size_px']} px" if found["size_px"] else ""
    test = f" The {counted(found['n_test'], f'test {noun}')} had no part in the choice." * bool(
        found["n_test"]
    )
    return (
        f"{found['data']}, {found['backbone']}{crops}: "
        f"{counted(found['n_fit'], noun)} to fit on and {found['n_val']:,} to validate on, "
        f"{n_seeds} {'seeds' if n_seeds != 1 else 'seed'}, each with its own validation {nouns}. "
        f"* is taken: the quickest within one standard error of the best on the validation {nouns}.{test}"
    )


def render(found: Mapping[str, Any]) -> str:
    """The page as one self-contained HTML document."""
    rows = [{**row, "cells": cells(row, found)} for row in found["arms"]]
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            found=found,
            rows=rows,
            method=method(found),
            about_data=_about_data(found),
            accuracies=_accuracies(found),
            differences=_differences(found),
            trainings=[
                _training(row, found, i) for i, row in enumerate(rows) if row["histories"][0]
            ],
            style=Markup(source("style.css") + plots.stylesheet()),
        )
    )


def _about_data(found: Mapping[str, Any]) -> list[str]:
    """Nothing in a comparison that was written before classes were kept."""
    if "classes" not in found:
        return []
    return words.about_data(found["classes"], found["notes"])


def _accuracies(found: Mapping[str, Any]) -> Markup | None:
    if not found["n_test"]:
        return None
    rows = _interval_rows(found["arms"], "test")
    svg = plots.interval_plot(
        rows,
        name="accuracies",
        title="Test accuracy of each",
        description="; ".join(f"{r.label} {r.value:.1f} %" for r in rows),
        axis="test accuracy, %",
    )
    return Markup(svg)


def _differences(found: Mapping[str, Any]) -> Markup | None:
    others = [row for row in found["arms"] if row["name"] != found["reference"]]
    if not found["n_test"] or not others:
        return None
    rows = _interval_rows(others, "difference")
    svg = plots.interval_plot(
        rows,
        name="differences",
        title=f"Test accuracy against {found['reference']}",
        description="; ".join(f"{r.label} {points(r.value / 100)} points" for r in rows),
        axis=f"points over {found['reference']}",
        zero=True,
    )
    return Markup(svg)


def _interval_rows(arms: Sequence[Mapping[str, Any]], field: str) -> list[plots.IntervalRow]:
    """Value, low and high of every arm, in % or points."""
    return [
        plots.IntervalRow.of_shares(
            arm["name"], arm[field], mark="chosen" if arm["is_taken"] else ""
        )
        for arm in arms
    ]


def _training(row: Mapping[str, Any], found: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The learning curves of an arm's first seed, and what they say of every seed."""
    histories = [[Epoch.from_dict(epoch) for epoch in h] for h in row["histories"]]
    svg = plots.learning_curves(
        **curves_of(row["histories"][0]),
        best=row["best_epochs"][0],
        name=f"curves-{number}",
        title=f"Learning curves of {row['name']}",
        description=f"Loss and accuracy in {words.plural(len(histories[0]), 'epoch')}",
    )
    said = [diagnose(h, n_train=found["n_fit"], n_val=found["n_val"]) for h in histories]
    findings = dict.fromkeys(
        f"Seed {seed}: {finding.sentence}: {finding.suggestion}"
        for seed, part in zip(found["seeds"], said, strict=True)
        for finding in part
    )
    return {
        "name": row["name"],
        "line": row["line"],
        "svg": Markup(svg),
        "findings": list(findings),
    }
