"""The figures of a run as text and tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from headstart.cli.flags import note_line
from headstart.data.labels import name_classes
from headstart.data.records import UNEVEN
from headstart.errors import one_line
from headstart.runs.target_result import TargetResult
from headstart.wording import counted

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from headstart.data.summary import Duplicates
    from headstart.runs.result import CandidateResult, FinetuningResult, FitResult
    from headstart.runs.side_by_side import ComparedRun

N_NAMED = 5


def data_lines(metrics: FitResult | TargetResult) -> Iterator[str]:
    """What was found in the data, the bad news by name."""
    data = metrics.data
    names = [c.name for c in data.classes]
    one, many = "class", "classes"
    if isinstance(metrics, TargetResult):
        one, many = "label", "labels"
    how_many = f", {counted(len(names), one)}" if names else ""
    yield (
        f"{counted(data.n_examples, data.noun)}{how_many}: "
        f"{data.n_train + data.n_val:,} train, {data.n_test:,} test"
    )
    if names:
        yield f"{many}: {name_classes(names)}"
    if data.n_groups:
        yield f"groups: {data.n_groups:,}"
    if data.imbalance > UNEVEN:
        yield f"imbalance: the largest {one} has {data.imbalance:.1f} times the smallest"
    yield from _listed("not usable", [f"{one_line(q.name)}: {q.reason}" for q in data.quarantine])
    for kind, groups in (("exact", data.exact_duplicates), ("near", data.near_duplicates)):
        across = [_group(g) for g in groups if g.straddles]
        yield from _listed(f"{kind} duplicates across the split", across)
        if rest := len(groups) - len(across):
            yield f"{kind} duplicates on one side of the split: {rest} (named in the report)"
        yield from _listed(
            f"{kind} duplicates with different labels",
            [_group(g) for g in groups if g.conflicting and not g.straddles],
        )
    for note in [*data.notes, *metrics.notes]:
        yield note_line(note)


def _group(group: Duplicates) -> str:
    pairs = zip(group.names, group.splits, strict=True)
    return " = ".join(f"{one_line(name)} ({split})" for name, split in pairs)


def _listed(title: str, items: list[str]) -> Iterator[str]:
    if items:
        yield f"{title}: {len(items)}"
        yield from (f"  {item}" for item in items[:N_NAMED])
        if len(items) > N_NAMED:
            yield f"  and {len(items) - N_NAMED} more, in the report"


def layer_tables(metrics: FitResult | TargetResult) -> list[Table]:
    """Cross-validated accuracy of every tap (rows) at every resolution (columns).

    Of texts, of every candidate. With several backbones a table for each, and one for their joins.
    What they show is said by `layer_caption`.
    """
    from headstart.runs.report.story import by_backbone

    groups = by_backbone(metrics.candidates)
    is_known = isinstance(metrics, TargetResult) or metrics.n_judged > 0
    return [
        _layer_table(some, title=name, noun=metrics.data.noun, is_known=is_known)
        for name, some in groups.items()
    ]


def _layer_table(
    candidates: Sequence[CandidateResult], *, title: str, noun: str, is_known: bool
) -> Table:
    from rich import box
    from rich.table import Table

    from headstart.runs.report.story import row_name

    table = Table(box=box.SIMPLE_HEAD, title=one_line(title) or None, title_justify="left")
    table.add_column("layer" if noun == "image" else "candidate")
    table.add_column("features", justify="right")
    sizes = list(dict.fromkeys(c.resolution for c in candidates))
    for size in sizes:
        table.add_column(f"{size} px" if size else "accuracy", justify="right")
    cells = {(row_name(c), c.resolution): c for c in candidates}
    for tap in dict.fromkeys(map(row_name, candidates)):
        row = [cells.get((tap, size)) for size in sizes]
        n_features = next(c.n_features for c in row if c)
        shown = [_cell(c, is_known=is_known) if c else "" for c in row]
        table.add_row(tap, f"{n_features:,}", *shown)
    return table


def layer_caption(metrics: FitResult) -> tuple[str, ...]:
    """What the cells of `layer_tables` are, their signs, and what the chosen mean is of."""
    from headstart.runs.report.story import cheap_line, legend, members

    n_train, n_folds = metrics.selection.n_train, metrics.selection.n_folds
    examples = f"training {metrics.noun}s"
    if not metrics.n_judged:
        return f"no accuracies: {n_train:,} {examples} are too few to cross-validate", "* chosen"
    some = f"{metrics.n_judged:,} of " if metrics.n_judged < n_train else ""
    is_other = any(c.cv_metric is not None for c in metrics.candidates)
    name = metrics.objective.name if is_other and metrics.objective else "accuracy in %"
    shares = members(metrics.chosen)
    return (
        f"{name}, {n_folds}-fold cross-validation on {some}{n_train:,} {examples}",
        *legend(metrics),
        *(f"--prefer cheap: {line}" for line in filter(None, [cheap_line(metrics)])),
        *([f"{metrics.chosen.tap}: {one_line(shares, limit=400)}"] if shares else []),
    )


def accuracy_line(metrics: FitResult) -> str:
    """Accuracy and balanced accuracy, of what the sentence speaks of, the leading one first."""
    from headstart.runs.report.story import balanced_over, headline

    head = headline(metrics)
    over = balanced_over(metrics)
    of = {"Balanced accuracy": f", {over}" if over else ""}
    first, second = (
        f"{name.lower()} {interval}{of.get(name, '')}"
        for name, interval in ((head.name, head.interval), (head.other_name, head.other))
    )
    return f"{first}; {second}"


def runs_table(rows: Sequence[ComparedRun]) -> Table:
    """Runs side by side: what each took, reached, and its difference to the first."""
    from rich import box
    from rich.table import Table

    from headstart.runs.report.side_by_side import against, bounded

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold")
    table.add_column("taken", overflow="fold")
    table.add_column("test, %", justify="right", no_wrap=True)
    table.add_column("points over the first", justify="right", no_wrap=True)
    for row in rows:
        test = bounded(row.test) if row.test is not None else f"no test {row.noun}s"
        table.add_row(one_line(row.name), one_line(row.chosen), test, against(row))
    return table


def _cell(candidate: CandidateResult, *, is_known: bool) -> Text:
    from rich.text import Text

    tie = "~" if candidate.tie and is_known else " "
    mark = "*" if candidate.chosen else tie
    value = f"{100 * candidate.cv.value:.1f}"
    if candidate.cv_metric is not None:
        value = f"{candidate.cv_metric.value:.3f}".replace("-", "−")
    if candidate.screened:
        return Text(f"({value})")
    text = f"{value} {mark}" if is_known else f"– {mark}"
    return Text(text, style="bold" if candidate.chosen else "")


def finetuning_lines(tuned: FinetuningResult | None) -> Iterator[str]:
    """Learning curves, what they show, and what came of fine-tuning; nothing where not asked for."""
    from headstart.cli.curves import learning_curves
    from headstart.training.history import curves_of

    if tuned is None:
        return
    history = tuned.history
    if history:
        yield from learning_curves(**curves_of(history)).splitlines()
        for finding in tuned.diagnosis:
            yield f"curves: {finding.sentence}"
    yield tuned.sentence
    if tuned.reason and tuned.validation:
        yield note_line(tuned.reason)
