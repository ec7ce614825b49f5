"""``headstart transfer profile``: which layers at which resolutions, and which side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import answer_with_page, progress_bars

if TYPE_CHECKING:
    from rich.console import Console


def profile(
    data: options.Data,
    resolutions: Annotated[
        str | None,
        typer.Option(help="Pixels with commas between; default the network's own and 10/7 of it."),
    ] = None,
    taps: Annotated[
        str | None, typer.Option(help="Layers with commas between; default all.")
    ] = None,
    normalise: Annotated[str, typer.Option(help="l2, or power: signed square roots first.")] = "l2",
    pooling: Annotated[
        str, typer.Option(help="average, max, or pyramid (1x1 + 2x2), over positions.")
    ] = "average",
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Average features of each image and its mirror image.")
    ] = False,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole", help="Show the network each image whole too, squashed to a square."
        ),
    ] = False,
    max_blocks: Annotated[
        int, typer.Option(help="Of the concatenation; 1 leaves it out.", min=1)
    ] = 6,
    seed: options.SplitSeed = 0,
    backbone: options.Backbone = "embedded",
    weights: options.Weights = None,
    arch: options.Arch = None,
    split: options.Split = None,
    test_size: options.TestSize = 0.2,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    device: options.Device = None,
    out: Annotated[Path | None, options.results("runs/DATA-profile")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure what every layer knows of your images, and which layers to set side by side.

    A linear SVM on each layer at each resolution is judged by cross-validation on the training
    images. Blocks are then set beside the best one, as few as are within one standard error of
    the most accurate set. The test images are scored once for the usual layer (before the logits), the best block and the concatenation.

    Examples:

        headstart transfer profile photos/

        headstart transfer profile photos/ --resolutions 224,320 --mirror --whole
    """
    from headstart.backbones import load
    from headstart.backbones.tapped import POOLINGS
    from headstart.cli.console import parse_numbers
    from headstart.errors import InputError
    from headstart.experiments.features import NORMALISATIONS
    from headstart.experiments.profile.measure import measure_profile
    from headstart.experiments.profile.page import (
        profile_detail,
        profile_sections,
        profile_sentence,
    )
    from headstart.experiments.profile.profiled import to_dict
    from headstart.runs.report.pages import data_section

    if pooling not in POOLINGS:
        raise InputError(f"--pooling {pooling!r} is unknown: choose from {', '.join(POOLINGS)}")
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
        measured = measure_profile(
            indexed,
            net,
            resolutions=parse_numbers(resolutions, "--resolutions", int),
            taps=None if taps is None else [t.strip() for t in taps.split(",")],
            normalize=normalise,  # type: ignore[arg-type]
            pooling=pooling,  # type: ignore[arg-type]
            mirror=mirror,
            whole=whole,
            max_blocks=max_blocks,
            seed=seed,
            device=device,
            progress=progress,
        )
    found = {
        "data": indexed.root.name,
        "backbone": net.name,
        "normalize": normalise,
        "normalize_line": NORMALISATIONS[normalise],
        "pooling": pooling,
        "pooling_line": POOLINGS[pooling],
        "mirror": mirror,
        "whole": whole,
        "seed": seed,
        **to_dict(measured),
    }
    found["sentence"] = profile_sentence(found)
    found["detail"] = profile_detail(found)
    answer_with_page(
        out or options.default_folder(data, "profile"),
        "profile",
        found,
        _show,
        title=f"Layers of {net.name} on {indexed.root.name}",
        sections=[*profile_sections(found), data_section(indexed)],
        as_json=as_json,
    )


def _show(found: Mapping[str, Any], out: Console) -> None:
    from rich import box
    from rich.table import Table

    from headstart.experiments.profile.page import depth_sentence

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("layer")
    for view in found["views"]:
        table.add_column(f"{view} px", justify="right")
    for tap in found["taps"]:
        row = [c for c in found["cells"] if c["tap"] == tap]
        marks = ["*" if c["is_best"] else "~" if c["is_tie"] else " " for c in row]
        cells = [f"{100 * c['cv'][0]:.1f} {m}" for c, m in zip(row, marks, strict=True)]
        table.add_row(tap, *cells)
    out.print(table)
    out.print(
        f"accuracy in %, {found['n_folds']}-fold cross-validation on {found['n_train']:,} training "
        "images\n* highest   ~ within one standard error of it",
        markup=False,
        highlight=False,
    )
    out.print(depth_sentence(found), markup=False, soft_wrap=True)
