"""``headstart transfer layers``: which layers are general and which specific (Yosinski 2014)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import answer_with_page, is_quiet, progress_bars

if TYPE_CHECKING:
    from rich.console import Console

    from headstart.backbones import Backbone
    from headstart.comparison.comparing import Outcome
    from headstart.data import Index

COMPACT_SIZE_PX = 32
DIGITS_A = ("0", "1", "2", "3", "4")


def layers(
    data: Annotated[
        str | None,
        typer.Argument(help="With --halves: the data whose classes are halved; default digits."),
    ] = None,
    halves: Annotated[
        bool, typer.Option("--halves", help="Split the classes of DATA into A and B.")
    ] = False,
    base: Annotated[str | None, typer.Option(help="A: the data that layers come from.")] = None,
    target: Annotated[str | None, typer.Option(help="B: the data that they are used on.")] = None,
    backbone: Annotated[
        str, typer.Option(help="Architecture, from random weights: see `headstart backbones`.")
    ] = "compact",
    size: Annotated[
        int | None,
        typer.Option(help="Images in pixels; default 32, or the backbone's own.", min=16),
    ] = None,
    cuts: Annotated[int, typer.Option(help="Layers to cut after, at most.", min=2)] = 8,
    epochs: Annotated[int, typer.Option(min=1, rich_help_panel="Training")] = 12,
    lr: Annotated[
        float, typer.Option(help="Highest learning rate.", rich_help_panel="Training")
    ] = 3e-3,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Images a step.", rich_help_panel="Training")
    ] = 32,
    augment: Annotated[
        str | None,
        typer.Option(
            help="Augmentation; default basic, for digits none.", rich_help_panel="Training"
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many repeats.", min=1)] = 3,
    seed: Annotated[int, typer.Option(help="The first seed, and that of --halves.", min=0)] = 0,
    test_size: options.TestSize = 0.5,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    device: options.Device = None,
    out: Annotated[Path | None, options.results("runs/DATA-layers")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure which layers are general and which specific.

    Base nets are trained on A and on B; then, for every layer, nets whose layers up to it come
    from A or B, frozen or trained on, with the rest trained anew on B. The drop is taken apart
    into co-adaptation and specificity. What is finished is kept: the same command goes on where it
    was stopped. Without data, A is the digits 0 to 4 and B the digits 5 to 9.

    Examples:

        headstart transfer layers

        headstart transfer layers photos/ --halves --size 64

        headstart transfer layers --base animals/ --target tools/ --backbone resnet18
    """
    from headstart.experiments.layers.measure import measure_generality
    from headstart.experiments.layers.page import generality_sections
    from headstart.finetune import TrainSettings
    from headstart.runs.report.pages import data_section

    is_digits = data is None and base is None and target is None
    settings = TrainSettings(
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        layer_decay=1.0,
        label_smoothing=0.0,
        bn="batch",
        augment=augment or ("none" if is_digits else "basic"),
        # A frozen part runs anew each epoch, so that all nets see images prepared alike.
        activations_mib=0,
    )
    _check(data, halves, base, target)
    make = _maker(backbone, size)

    with progress_bars(quiet=as_json) as progress:

        def read(path: str) -> Index:
            return options.index_data(
                path,
                test_size=test_size,
                seed=seed,
                classes_from=classes_from,
                merge_labels=merge_labels,
                progress=progress,
            )

        a, b = _sides(data, base, target, read, seed)
        net = make(seed)
        found = measure_generality(
            a,
            b,
            make,
            settings,
            seeds=options.chosen_seeds(seed, seeds),
            most_layers=cuts,
            device=device,
            keeps_checkpoints=backbone != "compact",
            progress=progress,
            on_net=_teller(quiet=as_json),
        )
    figures = {
        "a": _named(a),
        "b": _named(b),
        "backbone": net.name,
        "size_px": net.preprocessing.size_px,
        "settings": settings.to_dict(),
        "notes": list(dict.fromkeys((*a.notes, *b.notes))),
        **found.to_dict(),
    }
    answer_with_page(
        out or options.default_folder(data or target or "digits", "layers"),
        "layers",
        figures,
        _show,
        title="Which layers transfer",
        sections=[*generality_sections(figures), *(data_section(x, notes=()) for x in (a, b))],
        as_json=as_json,
    )


def _check(data: str | None, halves: bool, base: str | None, target: str | None) -> None:
    from headstart.errors import InputError

    if (base is None) != (target is None):
        raise InputError("--base and --target go together: one folder for A and one for B")
    if data is not None and base is not None:
        raise InputError("give DATA with --halves, or --base and --target, not both")
    if data is not None and not halves:
        raise InputError("DATA alone is one data set: add --halves, or give --base and --target")
    if halves and base is not None:
        raise InputError("--halves splits one data set: give DATA, not --base and --target")


def _sides(
    data: str | None,
    base: str | None,
    target: str | None,
    read: Callable[[str], Index],
    seed: int,
) -> tuple[Index, Index]:
    from headstart.experiments.layers.halves import digits_folder, split_classes
    from headstart.features import cache_folder

    if base is not None and target is not None:
        return read(base), read(target)
    if data is None:
        return split_classes(read(str(digits_folder(cache_folder()))), first=DIGITS_A)
    return split_classes(read(data), seed=seed)


def _maker(backbone: str, size: int | None) -> Callable[[int], Backbone]:
    """The architecture by seed."""
    from headstart.backbones import at_size, load
    from headstart.experiments.compact import NAME, compact_backbone

    if backbone == NAME:
        return lambda seed: compact_backbone(size or COMPACT_SIZE_PX, seed=seed)

    def make(seed: int) -> Backbone:
        net = load(backbone, pretrained=False, seed=seed)
        return net if size is None else at_size(net, size)

    return make


def _teller(*, quiet: bool) -> Callable[[str, str, int, Outcome], None]:
    def tell(kind: str, layer: str, seed: int, outcome: Outcome) -> None:
        if not (quiet or is_quiet()):
            share = outcome.test_correct.mean()
            where = f" to {layer}" if layer else ""
            typer.echo(
                f"{kind}{where}, seed {seed}: {100 * share:.1f} % in {outcome.seconds:.0f} s",
                err=True,
            )

    return tell


def _named(index: Index) -> str:
    names = ", ".join(index.classes[:8])
    more = f" and {len(index.classes) - 8} more" if len(index.classes) > 8 else ""
    return f"{index.root.name} ({names}{more})"


def _show(found: Mapping[str, Any], out: Console) -> None:
    from rich import box
    from rich.table import Table

    from headstart.experiments.layers.page import cells

    table = Table(
        box=box.SIMPLE_HEAD,
        caption=f"accuracy on B in %; base B {100 * found['base_b'][0]:.1f}. Points lost: to "
        "co-adaptation (base B less BnB)\nand to specificity (BnB less AnB), with intervals that "
        "hold for all layers together",
        caption_justify="left",
    )
    table.add_column("up to")
    for name in (*found["kinds"], "co-adapt.", "specific."):
        table.add_column(name, justify="right")
    for row in found["layers"]:
        *numbers, co, specific = cells(row)
        table.add_row(*numbers, co.replace(" [", "\n["), specific.replace(" [", "\n["))
    out.print(table)
    for line in found["findings"]:
        out.print(line, markup=False, soft_wrap=True)
