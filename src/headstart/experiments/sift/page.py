"""SIFT, tiny pixels and frozen features compared, as a page."""

from __future__ import annotations

from headstart import plots
from headstart.experiments.sift.result import BaselineResult, Method, SiftResult
from headstart.heads import significance
from headstart.results import Difference
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table
from headstart.wording import counted, headline, points

HEADER = ("", "features", "cv", "test", "points", "p")


def title(r: BaselineResult) -> str:
    """The question."""
    return "SIFT against frozen features"


def sentence(r: BaselineResult) -> str:
    """Which is better on the test images, by how much, and whether that is significant."""
    on = f"on the {counted(r.n_test, 'test image')} of {r.data}"
    rival, network = _rival(r), r.methods[-1]
    if network.kind != "network" or rival.difference is None:
        return f"{rival.name}: {rival.test} {on}."
    value, low, high = rival.difference
    better, worse, gain = rival, network, rival.difference
    if value <= 0:
        better, worse, gain = network, rival, Difference(-value, -high, -low)
    reached = words.percent(better.test.value)
    if points(gain.value) == "0.0":
        text = f"{better.name} and {worse.name} are equally accurate ({reached})"
        return headline(f"{text} {on}.", f"{text}.")
    said = (
        f"{better.name} ({reached}) is {points(gain.value, sign=False)} points above {worse.name}"
    )
    return headline(
        f"{said} {on} ({significance(gain)}).",
        f"{said} on the test images ({significance(gain)}).",
        f"{said} ({significance(gain)}).",
    )


def detail(r: BaselineResult) -> str:
    """The paired difference of the best rival to the network, with its interval and the test."""
    rival, network = _rival(r), r.methods[-1]
    if network.kind != "network" or rival.difference is None or rival.p_value is None:
        return ""
    p_value = "p < 0.001" if rival.p_value < 0.001 else f"p = {rival.p_value:.3f}"
    return (
        f"{rival.name} less {network.name}: {rival.difference} points on the same images, "
        f"{significance(rival.difference)} by {r.paired_test} ({p_value})."
    )


def sections(r: BaselineResult) -> list[Section]:
    """The test accuracies, the differences, what was tried, and how it was measured."""
    parts = [_accuracies(r)]
    if any(row.difference for row in r.methods):
        parts.append(_differences(r))
    parts.append(_chosen(r))
    if any(row.tried for row in r.methods):
        parts.append(_tried(r))
    return [*parts, Section(heading="How it was measured", text=_method(r))]


def brief(r: BaselineResult) -> list[Section]:
    """What the terminal shows."""
    shown = (0, 2, 3, 4)
    rows = [[row[i] for i in shown] for row in map(cells, r.methods)]
    caption = (
        f"{counted(r.n_train, 'training image')}, {r.n_test:,} test images scored once;\n"
        "points against the last row, with 95 % intervals"
    )
    table = Table(header=[HEADER[i] for i in shown], rows=rows)
    return [Section(heading="", table=table, caption=caption)]


def _rival(r: BaselineResult) -> Method:
    """The method to set against the network, chosen as everything is, on the training images."""
    rivals = [m for m in r.methods if m.kind == "sift"] or [
        m for m in r.methods if m.kind == "pixels"
    ]
    return max(rivals, key=lambda m: m.cv_accuracy)


def cells(row: Method) -> list[str]:
    """A method as the texts of a table's row."""
    p = row.p_value
    return [
        row.name,
        f"{row.n_features:,}",
        f"{100 * row.cv_accuracy:.1f}",
        str(row.test),
        str(row.difference) if row.difference else "",
        "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}",
    ]


def _accuracies(r: BaselineResult) -> Section:
    rows = [plots.IntervalRow.of_shares(row.name, row.test) for row in r.methods]
    figure = plots.interval_plot(
        rows,
        name="baseline-accuracies",
        title="Test accuracy of each method",
        axis="test accuracy, %",
        width=520,
    )
    return Section(
        heading="On the test images",
        figure=figure,
        caption=f"Accuracy on {counted(r.n_test, 'test image')} with 95 % intervals (Wilson).",
        table=Table(header=HEADER, rows=[cells(row) for row in r.methods]),
    )


def _differences(r: BaselineResult) -> Section:
    rows = [
        plots.IntervalRow.of_shares(row.name, row.difference) for row in r.methods if row.difference
    ]
    last = r.methods[-1].name
    figure = plots.interval_plot(
        rows,
        name="baseline-differences",
        title=f"Test accuracy against {last}",
        axis=f"points over {last}",
        zero=True,
        width=520,
    )
    return Section(
        heading=f"Against {last}",
        figure=figure,
        caption="Paired: images that both get right, or both wrong, cancel out.",
    )


def _chosen(r: BaselineResult) -> Section:
    return Section(
        heading="What was chosen on the training images",
        text=["By cross-validation; the test images were scored once with these."],
        table=Table(
            header=("method", "choice"),
            rows=[(row.name, row.detail) for row in r.methods],
        ),
    )


def _tried(r: BaselineResult) -> Section:
    rows = [
        (row.name, variant, f"{100 * accuracy:.1f}")
        for row in r.methods
        for variant, accuracy in row.tried.items()
    ]
    return Section(
        heading="What was tried on the training images",
        text=["Cross-validated accuracy in %, each with its best C; the best was taken."],
        table=Table(header=("method", "vocabulary, assignment", "cross-validated, %"), rows=rows),
    )


def _method(r: BaselineResult) -> list[str]:
    text = [
        (
            f"{r.data}: {r.n_classes} classes, {counted(r.n_train, 'training image')}, "
            f"{counted(r.n_test, 'test image')} that had no part in any choice. Every method is judged "
            "by the same folds and, except for the nearest neighbours, by the same linear SVM."
        )
    ]
    if isinstance(r, SiftResult):
        settings = r.settings.sift
        sides = ", ".join(map(str, settings.patches_px))
        text.append(
            f"SIFT: patches of {sides} px every {settings.step_px} px "
            f"({r.n_descriptors:,} descriptors), RootSIFT; words by k-means on "
            f"{settings.n_sampled:,} descriptors of the training images, without their labels; "
            f"a pyramid of {settings.n_levels} levels; the chi-square kernel as a feature map. "
            "The Fisher vector: PCA, Gaussians that know the place in the image, signed square "
            "root, unit length."
        )
    if r.n_straddling:
        text.append(
            f"{r.n_straddling} groups of duplicates lie on both sides of the split, which "
            "flatters every method a little."
        )
    return text
