"""``headstart transfer advice``: what the textbook rule advises, beside what was measured."""

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
    from headstart.comparison.comparing import Comparison
    from headstart.data import Index
    from headstart.progress import Progress

REGIMES = ("upper", "all")


def advice(
    data: options.Data,
    measure: Annotated[
        bool, typer.Option("--measure", help="Train: fine-tune a few layers, and all of them.")
    ] = False,
    distance: Annotated[
        float | None,
        typer.Option(help="To the source, if known; default measured, with its references."),
    ] = None,
    much: Annotated[
        float, typer.Option(help="Images a class from which data count as much.", min=1)
    ] = 100,
    epochs: Annotated[int, typer.Option(help="Of --measure.", min=1)] = 4,
    seeds: Annotated[int, typer.Option(help="Of --measure: how many.", min=1)] = 1,
    seed: options.FirstSeed = 0,
    size: options.Size = None,
    backbone: options.Backbone = "embedded",
    weights: options.Weights = None,
    arch: options.Arch = None,
    split: options.Split = None,
    test_size: options.TestSize = 0.2,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    device: options.Device = None,
    out: Annotated[Path | None, options.results("runs/DATA-advice")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Place your data by size and likeness, and check the rule's advice by measuring.

    Without `--measure` earlier layers are compared with the last one, which takes seconds. With it
    the network is fine-tuned as well, on the same images, and the winner is set against the rule.

    Examples:

        headstart transfer advice photos/

        headstart transfer advice photos/ --measure --epochs 4 --size 160
    """
    from headstart.backbones import load
    from headstart.experiments.advice.measure import compare_depths, distances, make_rule, to_dict
    from headstart.experiments.advice.page import advice_sections
    from headstart.experiments.profile.measure import measure_profile
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
        references: dict[str, float] = {}
        if distance is None:
            distance, references = distances(
                indexed, net, seed=seed, device=device, progress=progress
            )
        rule = make_rule(indexed, distance, references, much=much)
        profile = measure_profile(
            indexed,
            net,
            resolutions=[size or net.preprocessing.size_px],
            max_blocks=1,
            seed=seed,
            device=device,
            progress=progress,
        )
        comparison = None
        if measure:
            comparison = _measure(
                indexed, net, epochs, options.chosen_seeds(seed, seeds), size, device, progress
            )
    found: dict[str, Any] = {
        "data": indexed.root.name,
        "backbone": net.name,
        "seed": seed,
        **to_dict(rule, references, compare_depths(profile), comparison),
    }
    answer_with_page(
        out or options.default_folder(data, "advice"),
        "advice",
        found,
        _show,
        title=f"What to do with {indexed.root.name}",
        sections=[*advice_sections(found), data_section(indexed)],
        as_json=as_json,
    )


def _measure(
    indexed: Index,
    net: Backbone,
    epochs: int,
    seeds: tuple[int, ...],
    size: int | None,
    device: str | None,
    progress: Progress,
) -> Comparison:
    """The linear SVMs, fine-tuning of a few layers and of all."""
    from headstart.comparison.arms import regime_arms
    from headstart.comparison.comparing import compare
    from headstart.finetune import TrainSettings

    base = TrainSettings(epochs=epochs, normalise=True, seed=seeds[0])
    return compare(
        indexed,
        net,
        regime_arms(net, base, names=REGIMES),
        seeds=seeds,
        size_px=size,
        device=device,
        progress=progress,
    )


def _show(found: Mapping[str, Any], out: Console) -> None:
    much, far = found["has_much"], found["is_far"]
    out.print(
        f"images   {found['n_per_class']:.0f} a class: {'much' if much else 'little'} "
        f"(much from {found['much']:g}, a convention)",
        markup=False,
        soft_wrap=True,
    )
    out.print(
        f"distance {found['distance']:.3f} to the source: {'unlike' if far else 'like'} "
        f"(unlike from {found['far']:.3f}, a convention)",
        markup=False,
        soft_wrap=True,
    )
