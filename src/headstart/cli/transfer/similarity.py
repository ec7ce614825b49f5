"""``headstart transfer similarity``: how far are the images from those the network knows?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import answer_with_page, progress_bars

if TYPE_CHECKING:
    from rich.console import Console


def similarity(
    data: options.Data,
    reference: Annotated[
        list[str] | None,
        typer.Option(help="NAME=PATH: images to compare with; may be given several times."),
    ] = None,
    made: Annotated[
        bool,
        typer.Option(
            "--made/--no-made",
            help="The references that are always there: two photographs, digits, noise.",
        ),
    ] = True,
    n_images: Annotated[int, typer.Option("--images", help="Of each set, at most.", min=2)] = 200,
    size: options.Size = None,
    seed: Annotated[int, typer.Option(help="Of the images taken and of the folds.", min=0)] = 0,
    backbone: Annotated[
        str, typer.Option(help="Pretrained network with BatchNorm: see `headstart backbones`.")
    ] = "embedded",
    weights: options.Weights = None,
    arch: options.Arch = None,
    split: options.Split = None,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    device: options.Device = None,
    out: Annotated[Path | None, options.results("runs/DATA-similarity")] = None,
    as_json: options.AsJson = False,
) -> None:
    """How far your images lie from those that the network was trained on, without those images.

    The network's BatchNorm layers keep the statistics of its source. The distance to them is
    shown among reference sets, layer by layer, and against what transfer really gave on every set
    that has labels.

    Examples:

        headstart transfer similarity photos/

        headstart transfer similarity photos/ --reference textures=dtd/ --reference cells=cells/
    """
    from headstart.backbones import load
    from headstart.experiments.similarity.distance import source_statistics
    from headstart.experiments.similarity.measure import place
    from headstart.experiments.similarity.page import similarity_sections
    from headstart.experiments.similarity.references import (
        indexed_set,
        made_sets,
        parse_reference,
        read_reference,
    )
    from headstart.features import cache_folder
    from headstart.runs.report.pages import data_section

    asked = [parse_reference(text) for text in reference or []]
    net = load(backbone, weights=weights, arch=arch)
    source_statistics(net)  # a network without them is told before images are read
    folder, cache = out or options.default_folder(data, "similarity"), cache_folder()
    with progress_bars(quiet=as_json) as progress:
        indexed = options.index_data(
            data,
            split=split,
            seed=seed,
            classes_from=classes_from,
            merge_labels=merge_labels,
            progress=progress,
        )
        target = indexed_set(indexed.root.name, indexed, seed=seed)
        references = [
            read_reference(name, path, cache=cache, seed=seed, progress=progress)
            for name, path in asked
        ]
        taken = {target.name, *(s.name for s in references)}
        references += [
            dataclasses.replace(s, name=f"{s.name} (built in)") if s.name in taken else s
            for s in (made_sets(cache=cache, seed=seed) if made else [])
        ]
        _check_names([s.name for s in (target, *references)])
        likeness = place(
            net,
            target,
            references,
            n_images=n_images,
            size_px=size,
            seed=seed,
            device=device,
            cache=cache,
            progress=progress,
        )
    found = {
        "data": indexed.root.name,
        "backbone": net.name,
        "size_px": size or net.preprocessing.size_px,
        "seed": seed,
        **likeness.to_dict(),
    }
    answer_with_page(
        folder,
        "similarity",
        found,
        _show,
        title=f"{indexed.root.name}: how far from the source of {net.name}",
        sections=[*similarity_sections(found), data_section(indexed)],
        as_json=as_json,
    )


def _check_names(names: list[str]) -> None:
    from headstart.errors import InputError

    if len(set(names)) < len(names):
        raise InputError(
            f"every set needs a name of its own, the data's included; got {', '.join(names)}"
        )


def _show(found: Mapping[str, Any], out: Console) -> None:
    from rich import box
    from rich.table import Table

    from headstart.errors import one_line
    from headstart.experiments.similarity.page import gain_rows, scale_rows

    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption="KL, Fréchet: distance to the source, mean over channels, median over layers\n"
        "features, pixels: accuracy in % of a linear SVM on them\n"
        "removed: % of the errors on pixels that the features remove",
        caption_justify="left",
    )
    table.add_column("set", no_wrap=True)
    for column in ("KL", "95 %", "Fréchet", "features", "pixels", "removed"):
        table.add_column(column, justify="right", no_wrap=True)
    gains = {row[0]: row for row in gain_rows(found)}
    for name, _, kl, ends, frechet, _ in scale_rows(found):
        _, _, features, pixels, _, removed, _ = gains.get(name, [""] * 7)
        measured = (features.partition(" ")[0], pixels.partition(" ")[0], removed)
        style = "bold" if name == found["target"] else None
        table.add_row(one_line(name, limit=18), kl, ends, frechet, *measured, style=style)
    out.print(table)
