"""The comparison of SIFT, tiny pixels and frozen features as a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart import plots
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table, write_page
from headstart.wording import counted, points, signed_points

HEADER = ("", "features", "cv", "test", "points", "McNemar p")
TITLES = {
    "sift": "SIFT against frozen features",
    "pixels": "Tiny pixels against frozen features",
}


def write_baseline(folder: Path, name: str, found: Mapping[str, Any]) -> Path:
    """Write the page of `headstart.baselines.compare_sift` (or ``compare_pixels``).

    Parameters
    ----------
    folder : Path
    name : {"sift", "pixels"}
        Stem of the files.
    found : mapping

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    return write_page(
        folder,
        name,
        title=TITLES[name],
        sentence=found["sentence"],
        detail=found.get("detail", ""),
        sections=sections(found),
        found=found,
    )


def sections(found: Mapping[str, Any]) -> list[Section]:
    """The test accuracies, the differences, what was tried, and how it was measured."""
    parts = [_accuracies(found)]
    if any(row["difference"] for row in found["methods"]):
        parts.append(_differences(found))
    parts.append(_chosen(found))
    if any(row["tried"] for row in found["methods"]):
        parts.append(_tried(found))
    return [*parts, Section(heading="How it was measured", text=_method(found))]


def cells(row: Mapping[str, Any]) -> list[str]:
    """A method as the texts of a table's row."""
    value, low, high = (100 * v for v in row["test"])
    difference = signed_points(*row["difference"]) if row["difference"] else ""
    p = row["p_value"]
    return [
        row["name"],
        f"{row['n_features']:,}",
        f"{100 * row['cv_accuracy']:.1f}",
        f"{value:.1f} [{low:.1f}, {high:.1f}]",
        difference,
        "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}",
    ]


def _accuracies(found: Mapping[str, Any]) -> Section:
    rows = [plots.IntervalRow.of_shares(row["name"], row["test"]) for row in found["methods"]]
    figure = plots.interval_plot(
        rows,
        name="baseline-accuracies",
        title="Test accuracy of each method",
        description="; ".join(f"{r.label} {r.value:.1f} %" for r in rows),
        axis="test accuracy, %",
        width=520,
    )
    return Section(
        heading="On the test images",
        figure=figure,
        caption=f"Accuracy on {counted(found['n_test'], 'test image')} with 95 % intervals (Wilson).",
        table=Table(header=HEADER, rows=[cells(row) for row in found["methods"]]),
    )


def _differences(found: Mapping[str, Any]) -> Section:
    rows = [
        plots.IntervalRow.of_shares(row["name"], row["difference"])
        for row in found["methods"]
        if row["difference"]
    ]
    last = found["methods"][-1]["name"]
    figure = plots.interval_plot(
        rows,
        name="baseline-differences",
        title=f"Test accuracy against {last}",
        description="; ".join(f"{r.label} {points(r.value / 100)} points" for r in rows),
        axis=f"points over {last}",
        zero=True,
        width=520,
    )
    return Section(
        heading=f"Against {last}",
        figure=figure,
        caption="Paired: images that both get right, or both wrong, cancel out.",
    )


def _chosen(found: Mapping[str, Any]) -> Section:
    return Section(
        heading="What was chosen on the training images",
        text=["By cross-validation; the test images were scored once with these."],
        table=Table(
            header=("method", "choice"),
            rows=[(row["name"], row["detail"]) for row in found["methods"]],
        ),
    )


def _tried(found: Mapping[str, Any]) -> Section:
    rows = [
        (row["name"], variant, f"{100 * accuracy:.1f}")
        for row in found["methods"]
        for variant, accuracy in row["tried"].items()
    ]
    return Section(
        heading="What was tried on the training images",
        text=["Cross-validated accuracy in %, each with its best C; the best was taken."],
        table=Table(header=("method", "vocabulary, assignment", "cross-validated, %"), rows=rows),
    )


def _method(found: Mapping[str, Any]) -> list[str]:
    text = [
        (
            f"{found['data']}: {found['n_classes']} classes, {counted(found['n_train'], 'training image')}, "
            f"{counted(found['n_test'], 'test image')} that had no part in any choice. Every method is judged "
            "by the same folds and, except for the nearest neighbours, by the same linear SVM."
        )
    ]
    if "classes" in found:
        text += words.about_data(found["classes"], found["notes"])
    if settings := found.get("settings"):
        sides = ", ".join(map(str, settings["patches_px"]))
        text.append(
            f"SIFT: patches of {sides} px every {settings['step_px']} px "
            f"({found['n_descriptors']:,} descriptors), RootSIFT; words by k-means on "
            f"{settings['n_sampled']:,} descriptors of the training images, without their labels; "
            f"a pyramid of {settings['n_levels']} levels; the chi-square kernel as a feature map. "
            "The Fisher vector: PCA, Gaussians that know the place in the image, signed square "
            "root, unit length."
        )
    if found["n_straddling"]:
        text.append(
            f"{found['n_straddling']} groups of duplicates lie on both sides of the split, which "
            "flatters every method a little."
        )
    return text
