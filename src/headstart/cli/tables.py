"""The figures of a run as text and tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headstart.cli.flags import note_line
from headstart.data.labels import name_classes
from headstart.data.records import UNEVEN
from headstart.errors import one_line

if TYPE_CHECKING:
    from rich.table import Table

N_NAMED = 5


def data_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """What was found in the data, the bad news by name."""
    data = metrics["data"]
    held_out, nouns = data["n_test"], noun(metrics) + "s"
    yield (
        f"{data[f'n_{nouns}']:,} {nouns}, {len(metrics['classes'])} classes: "
        f"{data['n_train'] + data['n_val']:,} train, {held_out:,} test"
    )
    yield f"classes: {name_classes(metrics['classes'])}"
    if data["imbalance"] > UNEVEN:
        yield f"imbalance: the largest class has {data['imbalance']:.1f} times the smallest"
    yield from _listed(
        "not usable", [f"{one_line(q['name'])}: {q['reason']}" for q in data["quarantine"]]
    )
    for kind in ("exact", "near"):
        groups = data[f"{kind}_duplicates"]
        across = [_group(g) for g in groups if g["straddles"]]
        yield from _listed(f"{kind} duplicates across the split", across)
        if rest := len(groups) - len(across):
            yield f"{kind} duplicates on one side of the split: {rest} (named in the report)"
        yield from _listed(
            f"{kind} duplicates with different labels",
            [_group(g) for g in groups if g["conflicting"] and not g["straddles"]],
        )
    for note in [*(data.get("notes") or ()), *(metrics.get("notes") or ())]:
        yield note_line(note)


def noun(metrics: Mapping[str, Any]) -> str:
    """What an example is called: ``image``, or ``text``."""
    return str(metrics["data"].get("noun", "image"))


def _group(group: Mapping[str, Any]) -> str:
    pairs = zip(group["names"], group["splits"], strict=True)
    return " = ".join(f"{one_line(name)} ({split})" for name, split in pairs)


def _listed(title: str, items: list[str]) -> Iterator[str]:
    if items:
        yield f"{title}: {len(items)}"
        yield from (f"  {item}" for item in items[:N_NAMED])
        if len(items) > N_NAMED:
            yield f"  and {len(items) - N_NAMED} more, in the report"


def layer_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Cross-validated accuracy of every tap (rows) at every resolution (columns).

    Of texts, of every candidate. With several backbones a table for each, and one for their joins.
    What they show is said by `layer_caption`.
    """
    from headstart.runs.report.story import by_backbone

    groups = by_backbone(metrics["candidates"])
    return [_layer_table(metrics, some, title=name) for name, some in groups.items()]


def _layer_table(
    metrics: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]], *, title: str
) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from headstart.runs.report.story import row_name

    table = Table(box=box.SIMPLE_HEAD, title=escape(one_line(title)) or None, title_justify="left")
    table.add_column("layer" if noun(metrics) == "image" else "candidate")
    table.add_column("features", justify="right")
    sizes = list(dict.fromkeys(c["resolution"] for c in candidates))
    for size in sizes:
        table.add_column(f"{size} px" if size else "accuracy", justify="right")
    cells = {(row_name(c), c["resolution"]): c for c in candidates}
    is_known = n_judged(metrics) > 0
    for tap in dict.fromkeys(map(row_name, candidates)):
        row = [cells.get((tap, size)) for size in sizes]
        n_features = next(c["n_features"] for c in row if c)
        shown = [_cell(c, is_known=is_known) if c else "" for c in row]
        table.add_row(tap, f"{n_features:,}", *shown)
    return table


def layer_caption(metrics: Mapping[str, Any]) -> tuple[str, str]:
    """What the cells of `layer_tables` are, and their signs."""
    n_train, n_folds = metrics["selection"]["n_train"], metrics["selection"]["n_folds"]
    examples = f"training {noun(metrics)}s"
    if not n_judged(metrics):
        return f"no accuracies: {n_train:,} {examples} are too few to cross-validate", "* chosen"
    some = f"{n_judged(metrics):,} of " if n_judged(metrics) < n_train else ""
    is_default = metrics["selection"].get("is_default")
    how = "the usual candidate" if is_default else "the cheapest tie within a point"
    if metrics["selection"].get("prefer") == "accurate":
        how = "the best as a rule, unless significantly beaten"
    objective = metrics.get("objective") or {}
    is_other = any(c.get("cv_metric") for c in metrics["candidates"])
    name = objective["name"] if is_other else "accuracy in %"
    return (
        f"{name}, {n_folds}-fold cross-validation on {some}{n_train:,} {examples}",
        f"* chosen: {how}   ~ tie: within one standard error",
    )


def n_judged(metrics: Mapping[str, Any]) -> int:
    """How many training examples cross-validation could judge."""
    selection = metrics["selection"]
    found = selection.get("n_judged")
    return int(selection["n_train"] if found is None else found)


def accuracy_line(metrics: Mapping[str, Any]) -> str:
    """Accuracy and balanced accuracy, of what the sentence speaks of, the leading one first."""
    from headstart.runs.report.story import balanced_over, headline

    head = headline(metrics)
    over = balanced_over(metrics)
    of = {"Balanced accuracy": f", {over}" if over else ""}
    first, second = (
        f"{head[name].lower()} {_percent(head[value])}{of.get(head[name], '')}"
        for name, value in (("name", "interval"), ("other_name", "other"))
    )
    return f"{first}; {second}"


def _percent(interval: Mapping[str, float]) -> str:
    value, low, high = (100 * interval[key] for key in ("value", "low", "high"))
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"


def runs_table(rows: Sequence[Mapping[str, Any]]) -> Table:
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
        test = bounded(row["test"]) if row["test"] else "no test images"
        table.add_row(one_line(row["name"]), one_line(row["chosen"]), test, against(row))
    return table


def _cell(candidate: Mapping[str, Any], *, is_known: bool) -> str:
    tie = "~" if candidate["tie"] and is_known else " "
    mark = "*" if candidate["chosen"] else tie
    value = f"{100 * candidate['cv']['value']:.1f}"
    if candidate.get("cv_metric"):
        value = f"{candidate['cv_metric']['value']:.3f}"
    if candidate.get("screened"):
        return f"({value})"
    text = f"{value} {mark}" if is_known else f"– {mark}"
    return f"[bold]{text}[/bold]" if candidate["chosen"] else text


def finetuning_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Learning curves, what they show, and what came of fine-tuning; nothing where not asked for."""
    from headstart.cli.curves import learning_curves
    from headstart.finetune.history import curves_of

    tuned = metrics.get("finetuning")
    if not tuned:
        return
    history = tuned["history"]
    if history:
        yield from learning_curves(**curves_of(history)).splitlines()
        for finding in tuned["diagnosis"]:
            yield f"curves: {finding['sentence']}"
    yield tuned["sentence"]
    if tuned["reason"] and tuned["validation"]:
        yield note_line(tuned["reason"])
