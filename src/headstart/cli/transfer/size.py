"""``headstart transfer size``: how many images are enough, and what more of them would bring."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import answer_with_page, progress_bars
from headstart.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from headstart.data import Index
    from headstart.experiments.size.measure import DataSize
    from headstart.progress import Progress


def size(
    data: options.Data,
    more: Annotated[
        int, typer.Option(help="Images a class to be added: what would they bring?", min=1)
    ] = 100,
    sizes: Annotated[
        str | None, typer.Option(help="Images a class with commas between; default 1,2,3,5,7,10...")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Foretell the larger sizes from the smaller ones.")
    ] = False,
    scratch: Annotated[
        bool, typer.Option("--scratch", help="Train a compact network from random weights as well.")
    ] = False,
    epochs: Annotated[int, typer.Option(help="Of --scratch, at least.", min=1)] = 30,
    tap: options.Tap = None,
    seeds: Annotated[int, typer.Option(help="Random orders of the images.", min=2)] = 5,
    seed: options.FirstSeed = 0,
    crops: options.Size = None,
    backbone: options.Backbone = "embedded",
    weights: options.Weights = None,
    arch: options.Arch = None,
    split: options.Split = None,
    test_size: options.TestSize = 0.2,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    device: options.Device = None,
    out: Annotated[Path | None, options.results("runs/DATA-size")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Tell what more images a class would bring.

    A linear SVM on frozen features is fitted to nested subsets of the training images; a power law
    through its errors, with an interval, says what more images would do.

    Examples:

        headstart transfer size photos/ --more 100 --check

        headstart transfer size photos/ --scratch
    """
    from headstart.backbones import load
    from headstart.cli.console import parse_numbers
    from headstart.experiments.size.measure import measure_datasize, to_dict
    from headstart.experiments.size.page import (
        datasize_detail,
        datasize_sections,
        datasize_sentence,
    )
    from headstart.runs.report.pages import data_section

    net = load(backbone, weights=weights, arch=arch)
    with progress_bars(quiet=as_json) as progress:
        indexed = options.index_data(
            data,
            split=split,
            test_size=test_size,
            seed=seed,
            classes_from=classes_from,
            merge_labels=merge_labels,
            progress=progress,
        )
        measured = measure_datasize(
            indexed,
            net,
            tap=tap,
            size_px=crops,
            counts=parse_numbers(sizes, "--sizes", int),
            seeds=options.chosen_seeds(seed, seeds),
            device=device,
            progress=progress,
        )
        found: dict[str, Any] = {
            "data": indexed.root.name,
            "backbone": net.name,
            "seed": seed,
            "is_checked": check,
            **to_dict(measured, more),
        }
        if scratch:
            found["scratch"] = _from_scratch(indexed, measured, epochs, seed, device, progress)
    found["sentence"] = datasize_sentence(found)
    found["detail"] = datasize_detail(found)
    answer_with_page(
        out or options.default_folder(data, "size"),
        "size",
        found,
        _show,
        title=f"How many images of {indexed.root.name} are enough",
        sections=[*datasize_sections(found), data_section(indexed)],
        as_json=as_json,
    )


def _from_scratch(
    indexed: Index,
    measured: DataSize,
    epochs: int,
    seed: int,
    device: str | None,
    progress: Progress,
) -> dict[str, Any]:
    from headstart.experiments.size.scratch import scratch_counts, to_dict, train_from_scratch

    points = train_from_scratch(
        indexed,
        scratch_counts(measured.counts),
        epochs=epochs,
        seed=seed,
        device=device,
        progress=progress,
    )
    return to_dict(points, measured, "A compact network")


def _show(found: Mapping[str, Any], out: Console) -> None:
    from rich import box
    from rich.table import Table

    from headstart.experiments.size.page import check_sentence, scratch_sentence

    table = Table(
        box=box.SIMPLE_HEAD,
        caption=f"accuracy in %, mean of {found['n_repeats']} orders, {counted(found['n_test'], 'image')}",
        caption_justify="left",
    )
    for name in ("images a class", "accuracy", "95 %"):
        table.add_column(name, justify="right")
    for point in found["points"]:
        value, low, high = (100 * v for v in point["accuracy"])
        table.add_row(f"{point['n']}", f"{value:.1f}", f"[{low:.1f}, {high:.1f}]")
    # Brackets of an interval are no markup.
    out.print(table, markup=False)
    if found["is_checked"]:
        out.print(check_sentence(found["forecasts"]), markup=False, soft_wrap=True)
    if found.get("scratch"):
        out.print(scratch_sentence(found["scratch"]), markup=False, soft_wrap=True)
