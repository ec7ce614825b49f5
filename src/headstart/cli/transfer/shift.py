"""``headstart transfer shift``: two folders with the same classes, and adaptation between them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import answer_with_page, progress_bars

if TYPE_CHECKING:
    from rich.console import Console


def shift(
    source: Annotated[
        str, typer.Argument(help="Labelled images: folder of class folders or data set name.")
    ],
    target: Annotated[
        str | None, typer.Argument(help="The same classes from elsewhere; or --corrupt.")
    ] = None,
    corrupt: Annotated[
        str | None,
        typer.Option(help="Make the target of the source: invert, blur, noise, grey or dark."),
    ] = None,
    tap: options.Tap = None,
    size: options.Size = None,
    seeds: Annotated[int, typer.Option(help="Repeats of DANN.", min=1)] = 3,
    seed: Annotated[int, typer.Option(help="The first seed, and that of the split.", min=0)] = 0,
    backbone: options.Backbone = "embedded",
    weights: options.Weights = None,
    arch: options.Arch = None,
    split: Annotated[
        Path | None, typer.Option(help="CSV or JSON file of the source's train and test.")
    ] = None,
    test_size: options.TestSize = 0.2,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    device: options.Device = None,
    out: Annotated[Path | None, options.results("runs/SOURCE-shift")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure what a shift of domain costs, and what unlabelled target images win back.

    A linear SVM on frozen features is trained on the source and tested on held-out images of both.
    AdaBN, CORAL and DANN then adapt with the target's training images, without labels; the same
    SVM trained with their labels is the upper bound.

    Examples:

        headstart transfer shift photos/ sketches/

        headstart transfer shift photos/ --corrupt blur
    """
    from headstart.backbones import load
    from headstart.errors import InputError
    from headstart.experiments.shift.corruption import corrupted_copy
    from headstart.experiments.shift.measure import measure_shift
    from headstart.experiments.shift.page import shift_sections
    from headstart.features import cache_folder
    from headstart.finetune.network import features_tap
    from headstart.runs.report.pages import data_section

    if (target is None) == (corrupt is None):
        raise InputError(
            "give a TARGET folder, or --corrupt to make one of the source; one of them"
        )
    net = load(backbone, weights=weights, arch=arch)
    with progress_bars(quiet=as_json) as progress:
        here = options.index_data(
            source,
            split=split,
            test_size=test_size,
            seed=seed,
            classes_from=classes_from,
            merge_labels=merge_labels,
            progress=progress,
        )
        if corrupt is not None:
            there = corrupted_copy(here, corrupt, cache=cache_folder(), progress=progress)
        else:
            assert target is not None
            there = options.index_data(
                target,
                test_size=test_size,
                seed=seed,
                classes_from=classes_from,
                merge_labels=merge_labels,
                progress=progress,
            )
        found = measure_shift(
            here,
            there,
            net,
            size_px=size,
            tap=tap,
            seeds=options.chosen_seeds(seed, seeds),
            device=device,
            progress=progress,
        )
    figures = {
        **found.to_dict(),
        "source_name": here.root.name,
        "target_name": f"{here.root.name} ({corrupt})" if corrupt else there.root.name,
        "backbone": net.name,
        "tap": tap or features_tap(net).name,
        "size_px": size or net.preprocessing.size_px,
        "notes": list(dict.fromkeys((*here.notes, *there.notes, *found.notes))),
    }
    what = f"shift-{corrupt}" if corrupt else "shift"
    answer_with_page(
        out or options.default_folder(source, what),
        "shift",
        figures,
        _show,
        title="Across a shift of domain",
        sections=[*shift_sections(figures), data_section(here, notes=())],
        as_json=as_json,
    )


def _show(found: Mapping[str, Any], out: Console) -> None:
    from rich import box
    from rich.table import Table

    from headstart.experiments.shift.page import cells, source_cells

    table = Table(
        box=box.SIMPLE_HEAD,
        caption="accuracy on held-out images in %; points against no adaptation, paired",
        caption_justify="left",
    )
    table.add_column("")
    table.add_column("accuracy", justify="right")
    table.add_column("points", justify="right")
    for row in (source_cells(found), *(cells(row) for row in found["methods"])):
        table.add_row(*row)
    out.print(table)
    for line in found["findings"]:
        out.print(line, markup=False, soft_wrap=True)
