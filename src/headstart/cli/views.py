"""``headstart augment views``: several crops of each image for off-the-shelf features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import options
from headstart.cli.console import progress_bars


def views(
    data: options.Data,
    n_views: Annotated[
        int, typer.Option("--views", help="Number of views per image, including the centre crop.")
    ] = 8,
    seeds: Annotated[int, typer.Option(min=1, help="How many.")] = 3,
    seed: options.FirstSeed = 0,
    size: options.Size = None,
    backbone: options.Backbone = "embedded",
    weights: options.Weights = None,
    arch: options.Arch = None,
    arch_args: options.ArchArgs = None,
    split: options.Split = None,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    device: options.Device = None,
    out: Annotated[Path | None, options.results("runs/DATA-views")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Augment off-the-shelf features: do jittered views of each image help the linear SVM?

    The network is frozen. Features of the last layer of several crops of each image are pooled, or
    added as training rows (Razavian 2014), and set against those of the centre crop.

    Example:

        headstart augment views photos/ --views 8
    """
    from headstart.backbones import load
    from headstart.cli.comparison import show_comparison, told
    from headstart.comparison.comparing import compare_with
    from headstart.comparison.views import ViewFitter, view_arms
    from headstart.data import training_records
    from headstart.features import cache_folder
    from headstart.features.engines import check_device
    from headstart.runs.report.comparison import write_comparison

    arms = view_arms(n_views)
    check_device(device)
    net = load(backbone, weights=weights, arch=options.built(arch, arch_args))
    size_px = size or net.preprocessing.size_px
    with progress_bars(quiet=as_json) as progress:
        indexed = options.index_data(
            data,
            split=split,
            seed=seed,
            classes_from=classes_from,
            merge_labels=merge_labels,
            progress=progress,
        )
        fitter = ViewFitter(
            backbone=net,
            classes=indexed.classes,
            records=training_records(indexed),
            test=indexed.test,
            size_px=size_px,
            n_views=n_views,
            cache=cache_folder(),
            device=device,
            progress=progress,
        )
        found = compare_with(
            fitter,
            indexed,
            arms,
            seeds=options.chosen_seeds(seed, seeds),
            cache=cache_folder(),
            progress=progress,
            on_outcome=told(quiet=as_json),
        )
    figures = found.result(
        indexed,
        title="Views of each image for off-the-shelf features",
        backbone=net.name,
        size_px=size_px,
    )
    folder = out or options.default_folder(data, "views")
    write_comparison(folder, figures)
    show_comparison(figures, folder, as_json=as_json)
