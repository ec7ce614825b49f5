"""Runs on several labels per image, or on a number, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headstart.cli.console import console, print_answer, print_prose
from headstart.data.targets import NO_LABEL
from headstart.errors import one_line

if TYPE_CHECKING:
    from rich.table import Table

    from headstart.heads.multilabel import LabelsFigures
    from headstart.runs.predictions import LabelsPrediction, NumberPrediction
    from headstart.runs.target_run import TargetRun

# Rows of the table of labels.
N_SHOWN = 40


def show_targets(run: TargetRun) -> None:
    """The findings, the table tap x resolution, that of the labels, and the sentence that matters."""
    from headstart.cli.tables import data_lines, layer_tables
    from headstart.runs.report import story

    out, metrics = console(), run.metrics
    shares = story.members(metrics.chosen)
    for line in data_lines(metrics):
        print_prose(line, out)
    out.print(*layer_tables(metrics))
    unit = " in %" if metrics.target == "labels" else ""
    for line in (
        (
            f"{metrics.metric_name}{unit}, {metrics.selection.n_folds}-fold cross-validation on "
            f"{metrics.selection.n_train:,} training images"
        ),
        *story.legend(metrics),
        *([f"{story.place(metrics.chosen)}: {shares}"] if shares else []),
    ):
        print_prose(line, out, style="dim")
    if (labels := metrics.labels or metrics.cv_labels) is not None:
        out.print(_labels_table(labels))
        if len(labels.labels) > N_SHOWN:
            out.print(f"and {len(labels.labels) - N_SHOWN} more, in metrics.json")
    print_answer(run.sentence, run.detail, out)
    out.print(f"report   {run.report()}", soft_wrap=True)
    out.print(f"predict  headstart predict {run.folder} IMAGES...", soft_wrap=True)


def _labels_table(found: LabelsFigures) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("label", overflow="fold")
    for name in ("images", "average precision", "precision", "recall", "threshold"):
        table.add_column(name, justify="right")
    for f in found.labels[:N_SHOWN]:
        shares = (f.average_precision, f.precision, f.recall)
        table.add_row(
            one_line(f.name),
            f"{f.n:,}",
            *("–" if s is None else f"{100 * s.value:.1f}" for s in shares),
            f"{100 * f.threshold:.1f}",
        )
    return table


def target_lines(p: LabelsPrediction | NumberPrediction) -> Iterator[str]:
    """A prediction as lines."""
    from headstart.runs.predictions import LabelsPrediction, written_number

    if not isinstance(p, LabelsPrediction):
        value, low, high = ("" if v is None else written_number(v) for v in p.rounded())
        yield f"{value}  [{low}, {high}]" if low else value
        return
    given = {label for label, _ in p.labels}
    if not given:
        yield f"{NO_LABEL}; the most probable:"
    shown = [*p.labels, *(pair for pair in p.top if pair[0] not in given)]
    width = max(len(one_line(label)) for label, _ in shown)
    for label, probability in shown:
        mark = "*" if label in given else " "
        bar = "█" * round(20 * probability)
        yield f"{mark} {one_line(label):<{width}}  {100 * probability:5.1f} %  {bar}".rstrip()
