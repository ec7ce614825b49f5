"""``headstart transfer scores``: which backbone or layer, told before running it?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import answer_with_page, progress_bars

if TYPE_CHECKING:
    from rich.console import Console

    from headstart.backbones import Backbone


def scores(
    data: options.Data,
    backbones: options.Backbones = None,
    per: Annotated[
        str, typer.Option(help="backbone, or tap: every layer is a candidate.")
    ] = "backbone",
    size: options.SizeOfEach = None,
    seed: options.SplitSeed = 0,
    split: options.Split = None,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    device: options.Device = None,
    out: Annotated[Path | None, options.results("runs/DATA-scores")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Rank backbones by LogME, H-score, LEEP and NCE, and measure whether the order is right.

    Each score is computed from the features of the training images; beside it stands the measured
    accuracy of a linear SVM on the same features, and how well both orders agree.

    Examples:

        headstart transfer scores photos/ --backbones embedded,resnet18,resnet50

        headstart transfer scores photos/ --per tap
    """
    from headstart.errors import InputError
    from headstart.experiments.scores.measure import PER, rank
    from headstart.experiments.scores.page import score_sections
    from headstart.runs.report.pages import data_section

    if per not in PER:
        raise InputError(f"--per must be {' or '.join(PER)}; got {per!r}")
    nets = named_backbones(backbones)
    folder = out or options.default_folder(data, "scores")
    with progress_bars(quiet=as_json) as progress:
        indexed = options.index_data(
            data,
            split=split,
            seed=seed,
            classes_from=classes_from,
            merge_labels=merge_labels,
            progress=progress,
        )
        ranking = rank(
            indexed,
            nets,
            per=per,
            size_px=size,
            seed=seed,
            device=device,
            progress=progress,
        )
    found = {"data": indexed.root.name, "seed": seed, **ranking.to_dict()}
    answer_with_page(
        folder,
        "scores",
        found,
        _show,
        title=f"Transferability scores on {indexed.root.name}",
        sections=[*score_sections(found), data_section(indexed)],
        as_json=as_json,
    )


def named_backbones(text: str | None) -> list[Backbone]:
    """The backbones of a comma-separated list; by default those whose weights are here."""
    from headstart.backbones import catalogue, load
    from headstart.backbones.loading import check
    from headstart.errors import InputError

    if text is None:
        names = [entry.name for entry in catalogue() if entry.weights_here]
    else:
        names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise InputError(f"--backbones takes different names with commas between; got {text!r}")
    if not names:
        raise InputError("no backbone's weights are here: name one or more with --backbones")
    asked = [_file_and_arch(name) for name in names]
    for name, weights, arch in asked:  # before the first is loaded
        check(name, weights=weights, arch=arch)
    return [load(name, weights=weights, arch=arch) for name, weights, arch in asked]


def _file_and_arch(text: str) -> tuple[str, str | None, str | None]:
    """Name, weight file and architecture from ``NAME`` or ``FILE@ARCH``."""
    file, at, arch = text.rpartition("@")
    return (file, file, arch) if at else (text, None, None)


def _show(found: Mapping[str, Any], out: Console) -> None:
    from rich import box
    from rich.table import Table

    from headstart.errors import one_line
    from headstart.experiments.scores.page import agreement_rows, candidate_rows, score_names

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("layer" if found["per"] == "tap" else "backbone")
    shown = [n for n in score_names(found) if n != "H-score"]
    for column in ("accuracy, %", *shown):
        table.add_column(column, justify="right")
    names = score_names(found)
    for name, accuracy, _, *values in candidate_rows(found):
        kept = [v for n, v in zip(names, values, strict=True) if n in shown]
        cells = ["–" if v == "not available" else v for v in kept]
        table.add_row(one_line(name), accuracy.replace("\u00a0", " "), *cells)
    out.print(table)
    if found["agreements"]:
        table = Table(
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            caption="Kendall, Spearman: of score and accuracy\n"
            "lost: points, by taking what the score puts first",
            caption_justify="left",
        )
        table.add_column("score")
        for column in ("Kendall", "Spearman", "p", "puts first", "lost"):
            table.add_column(column, justify="right")
        for row in agreement_rows(found):
            table.add_row(*map(one_line, row))
        out.print(table)
