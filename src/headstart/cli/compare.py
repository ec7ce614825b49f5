"""``headstart compare``: backbones on one's own data, accuracy against what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import answer_with_page, progress_bars

if TYPE_CHECKING:
    from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(compare)


def compare(
    data: options.Data,
    backbones: options.Backbones = None,
    size: options.SizeOfEach = None,
    seed: options.SplitSeed = 0,
    split: options.Split = None,
    split_column: options.SplitColumn = None,
    group: options.GroupColumn = None,
    group_by: options.GroupBy = None,
    test_size: options.TestSize = 0.2,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    device: options.Device = None,
    out: Annotated[Path | None, options.results("runs/DATA-compare")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare networks on your images: accuracy, size and speed.

    Computation is shown too. The last layer before the output layer of each, with a linear SVM, is judged by cross-validation on the same folds of the
    training images; test images are scored once each. The page draws accuracy against
    multiply-accumulates and names the Pareto front.

    Examples:

        headstart compare photos/ --backbones embedded,resnet18,resnet50,vgg16
    """
    from headstart.cli.transfer.scores import named_backbones
    from headstart.experiments.backbones.measure import compare_backbones
    from headstart.experiments.backbones.page import backbone_sections
    from headstart.runs.report.pages import data_section

    nets = named_backbones(backbones)
    with progress_bars(quiet=as_json) as progress:
        indexed = options.index_data(
            data,
            split=split,
            split_column=split_column,
            group_column=group,
            group_by=group_by,
            test_size=test_size,
            seed=seed,
            classes_from=classes_from,
            merge_labels=merge_labels,
            progress=progress,
        )
        measured = compare_backbones(
            indexed, nets, size_px=size, seed=seed, device=device, progress=progress
        )
    found = {"data": indexed.root.name, "seed": seed, **measured.to_dict()}
    answer_with_page(
        out or options.default_folder(data, "compare"),
        "compare",
        found,
        _show,
        title=f"Backbones on {indexed.root.name}",
        sections=[*backbone_sections(found), data_section(indexed)],
        as_json=as_json,
    )


def _show(found: Mapping[str, Any], out: Console) -> None:
    from rich import box
    from rich.table import Table

    from headstart.errors import one_line
    from headstart.experiments.backbones.page import cells

    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption="cv: cross-validation on the training images; MACs: multiply-accumulates of one\n"
        "image; * the cheapest within one standard error and one point of the most accurate",
        caption_justify="left",
    )
    table.add_column("backbone")
    for name in ("cv, %", "test, %", "MACs", "parameters", "images/s"):
        table.add_column(name, justify="right")
    for row in found["candidates"]:
        name, _, cv, test, _, macs, parameters, speed, _ = cells(row)
        style = "bold" if row["is_chosen"] else None
        # An opening bracket followed by a figure is no markup to Rich.
        table.add_row(
            one_line(name), cv, test.partition(" ")[0], macs, parameters, speed, style=style
        )
    out.print(table)
