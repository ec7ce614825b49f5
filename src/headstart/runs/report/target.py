"""``report.html`` of a run whose targets are labels or numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headstart import plots
from headstart.errors import one_line
from headstart.files import write_atomically
from headstart.runs.report import story, words
from headstart.runs.target_result import PER_FOLD
from headstart.wording import amounts

if TYPE_CHECKING:
    from headstart.heads.multilabel import LabelsFigures
    from headstart.heads.regression import NumberFigures
    from headstart.results import Interval
    from headstart.runs.report.pages import Section
    from headstart.runs.target_result import TargetResult

N_RANKED = 40
# Labels in the figure and in the table: of more, those of the lowest average precision.
N_DRAWN, N_LISTED = 40, 200


def write_target_report(folder: Path, found: TargetResult, sheet: bytes, *, run_name: str) -> Path:
    """Write the page of a run into its folder.

    `sheet`: a PNG of the first of ``found.worst``, numbered; empty where there are none.
    `run_name`: how the page names the run.
    """
    from headstart.runs.report.pages import render_page

    title = f"report of the run {one_line(Path(run_name).name)}"
    html = render_page("", title, found.sentence, target_sections(found, sheet), found.detail)
    page = folder / "report.html"
    write_atomically(page, html.encode("utf-8", "surrogateescape"))
    return page


def target_sections(found: TargetResult, sheet: bytes = b"") -> list[Section]:
    """The sections of the page; `sheet` as of `write_target_report`."""
    from headstart.runs.report.pages import Section

    sections = []
    if (labels := found.labels or found.cv_labels) is not None:
        sections.append(_labels_section(labels, is_test=found.labels is not None))
    if (number := found.number or found.cv_number) is not None:
        sections.append(_number_section(number, is_test=found.number is not None))
    sections += [layers_section(found), _candidates_section(found)]
    if found.worst:
        sections.append(_worst_section(found, sheet))
    data = found.data
    kept = f"{data.n_train + data.n_val:,} training images, {data.n_test:,} test images."
    notes = [f"{n[:1].upper()}{n[1:]}." for n in (*data.notes, *found.notes)]
    bad = [f"Not usable: {q.name} ({q.reason})." for q in data.quarantine]
    named = words.about_data(found.names) if found.target == "labels" else []
    named = [text.replace("Classes:", "Labels:", 1) for text in named]
    sections.append(Section(heading="The data", text=[kept, *named, *notes, *bad]))
    return sections


def _of(is_test: bool) -> str:
    return "test images" if is_test else "training images, each held out"


def _labels_section(found: LabelsFigures, *, is_test: bool) -> Section:
    from headstart.runs.report.pages import Section, Table

    # Those that no image has come last.
    hardest = sorted(
        found.labels,
        key=lambda f: 2.0 if f.average_precision is None else f.average_precision.value,
    )
    listed = found.labels if len(found.labels) <= N_LISTED else hardest[:N_LISTED]
    drawn = found.labels if len(found.labels) <= N_DRAWN else hardest[:N_DRAWN]
    rows = [
        plots.IntervalRow.of_shares(one_line(f.name), f.average_precision)
        for f in drawn
        if f.average_precision is not None
    ]
    figure = rows and plots.interval_plot(
        rows,
        name="figure-labels",
        title="Average precision of each label",
        description="Dots with 95 % intervals; the same numbers stand in the table.",
        axis="average precision, %",
    )
    table = Table(
        header=(
            "label",
            "images",
            "prevalence, %",
            "average precision, %",
            "threshold, %",
            "precision, %",
            "recall, %",
            "F1, %",
        ),
        rows=[
            (
                f.name,
                f"{f.n:,}",
                f"{100 * f.prevalence:.1f}",
                _share(f.average_precision),
                f"{100 * f.threshold:.1f}",
                _share(f.precision),
                _share(f.recall),
                _share(f.f1),
            )
            for f in listed
        ],
    )
    text = [
        (
            f"Of {found.n:,} {_of(is_test)}: mean average precision "
            f"{found.mean_average_precision or words.NOTHING}, micro-F1 {found.micro_f1 or words.NOTHING}, "
            f"macro-F1 {found.macro_f1 or words.NOTHING}, all labels right in {found.exact}."
        ),
        (
            "The threshold of each label was chosen for the highest F1 on training images that were held "
            "out. Intervals are 95 % intervals: by Wilson of precision, recall and all labels right, bootstrap "
            "intervals over images of the others."
        ),
    ]
    if found.trivial_map is None or found.trivial_micro_f1 is None:
        text.insert(1, "None of these images has a label: what has no value is not defined.")
    else:
        text.insert(
            1,
            f"A random order of the images has a mean average precision of {100 * found.trivial_map:.1f} % on "
            f"average; every label for every image has a micro-F1 of {100 * found.trivial_micro_f1:.1f} % and "
            f"a macro-F1 of {100 * (found.trivial_macro_f1 or 0):.1f} %.",
        )
    if not is_test:
        text.append(PER_FOLD)
    if len(listed) < len(found.labels):
        text.append(
            f"The table has the {len(listed):,} labels of the lowest average precision; metrics.json has all "
            f"{len(found.labels):,}."
        )
    return Section(heading="Each label", text=text, figure=figure or "", table=table)


def _share(interval: Interval | None) -> str:
    if interval is None:
        return words.NOTHING
    return f"{100 * interval.value:.1f} {words.bounds(interval)}"


def _number_section(found: NumberFigures, *, is_test: bool) -> Section:
    from headstart.runs.report.pages import Section, Table

    def cells(interval: Interval, trivial: float) -> tuple[str, str]:
        *own, other = amounts(interval, trivial)
        return "{} [{}, {}]".format(*own), other

    table = Table(
        header=("figure", "this run", "the mean of the training images"),
        rows=[
            (
                "R²",
                words.NOTHING if found.r2 is None else str(found.r2),
                words.NOTHING if found.trivial_r2 is None else f"{found.trivial_r2:.3f}",
            ),
            ("mean absolute error", *cells(found.mae, found.trivial_mae)),
            ("root of the mean squared error", *cells(found.rmse, found.trivial_rmse)),
        ],
    )
    text = [
        f"Of {found.n:,} {_of(is_test)}. Intervals are 95 % bootstrap intervals over images.",
        "There are too few training images, or groups of them, for intervals of predictions."
        if found.half_width is None
        else (
            f"A prediction has an interval of ±{found.half_width:.4g}, from the errors of held-out training "
            f"images, that is meant to hold {100 * found.level:.0f} % of new numbers; it held "
            f"{found.coverage} of these."
        ),
    ]
    return Section(heading="The number", text=text, table=table)


def layers_section(found: TargetResult) -> Section:
    """Every layer and resolution as a map, and the rule of the choice."""
    from headstart.runs.report.pages import Section

    # R² is shown in hundredths, as the figure shows shares.
    candidates = [c for c in found.candidates if len(c.backbones) < 2 and not c.n_averaged]
    unit = "%" if found.target == "labels" else "hundredths"
    title = f"Cross-validated {found.metric_name} of every layer and resolution, {unit}"
    figure = plots.layer_map(
        list(dict.fromkeys(c.tap for c in candidates)),
        list(dict.fromkeys(c.resolution for c in candidates)),
        {(c.tap, c.resolution): 100 * c.cv.value for c in candidates},
        marks={(c.tap, c.resolution): c.mark for c in candidates if c.mark},
        name="figure-map",
        title=title,
        description=f"Chosen: {story.place(found.chosen)}.",
        points="percentage points" if found.target == "labels" else unit,
    )
    text = [found.selection.rule]
    if shares := story.members(found.chosen):
        text.append(f"Chosen: {story.place(found.chosen)}: {shares}.")
    return Section(heading="Layers", text=text, figure=figure, caption=title + ".")


def _candidates_section(found: TargetResult) -> Section:
    from headstart.runs.report.pages import Section, Table

    order = sorted(found.candidates, key=lambda c: (-c.cv.value, c.macs or 0))[:N_RANKED]
    rows = [
        (
            story.place(c),
            _share(c.cv) if c.cv_metric is None else str(c.cv_metric),
            f"{c.n_features:,}",
            words.macs(c.macs),
            words.NOTHING if c.C is None else f"{c.C:g}",
        )
        for c in order
    ]
    at = next((i for i, c in enumerate(order) if c.chosen), None)
    header = ("layer", found.metric_name, "features", "multiply-accumulates", "ridge")
    text = [
        (
            f"{found.selection.n_folds}-fold cross-validation of a ridge regression on "
            f"{found.selection.n_train:,} training images."
        )
    ]
    return Section(
        heading="All candidates", text=text, table=Table(header=header, rows=rows, chosen=at)
    )


def _worst_section(found: TargetResult, sheet: bytes) -> Section:
    from headstart.runs.report.pages import Section, Table

    rows = [(str(i), w.name, w.truth, w.predicted) for i, w in enumerate(found.worst, start=1)]
    return Section(
        heading="The worst test images",
        image=sheet,
        caption="The first of them, by their numbers in the table.",
        text=["The largest errors first: a label in the table may be wrong, or the image be hard."],
        table=Table(header=("no.", "image", "in the table", "predicted"), rows=rows),
    )
