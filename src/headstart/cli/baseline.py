"""``headstart baseline``: what came before the networks, on the same split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import answer, progress_bars
from headstart.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from headstart.backbones import Backbone
    from headstart.data import Index
    from headstart.progress import Progress

group = typer.Typer(
    name="baseline",
    help="Compare with what came before: SIFT, and tiny pixels.",
    no_args_is_help=True,
)

Backbone_ = Annotated[
    str,
    typer.Option("--backbone", help="Pretrained network to compare with; none: leave it out."),
]
Seed = Annotated[int, typer.Option(help="Of split, folds and words.", min=0)]
Out = Annotated[Path | None, options.results("runs/DATA-baseline")]


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    app.add_typer(group)


@group.command()
def sift(
    data: options.Data,
    words: Annotated[str, typer.Option(help="Sizes of the vocabulary to choose from.")] = "200,400",
    step: Annotated[int, typer.Option(help="Pixels between descriptors.")] = 8,
    patches: Annotated[str, typer.Option(help="Sides of the patches in pixels.")] = "16,24,32",
    levels: Annotated[int, typer.Option(help="Levels of the spatial pyramid.")] = 3,
    gaussians: Annotated[int, typer.Option(help="Gaussians of the Fisher vector.")] = 64,
    backbone: Backbone_ = "embedded",
    size: options.Size = None,
    split: options.Split = None,
    test_size: options.TestSize = 0.2,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    seed: Seed = 0,
    device: options.Device = None,
    out: Out = None,
    as_json: options.AsJson = False,
) -> None:
    """Dense SIFT as bag of words, spatial pyramid and Fisher vector, against frozen features.

    Vocabulary, assignment and C are chosen by cross-validation on the training images; the test
    images are scored once. Everything is judged by the same linear SVM and on the same split, so the
    difference has a paired test. Descriptors are kept: the same command goes on where it was
    stopped.

    Examples:

        headstart baseline sift photos/

        headstart baseline sift scene15/ --split split.csv --words 200,400

        headstart baseline sift photos/ --backbone none --patches 16
    """
    from headstart.baselines import SiftSettings, compare_sift
    from headstart.features import cache_folder

    settings = SiftSettings(
        step_px=step,
        patches_px=_whole_numbers(patches, "--patches"),
        n_words=_whole_numbers(words, "--words"),
        n_levels=levels,
        n_gaussians=gaussians,
        seed=seed,
    )

    def compare(indexed: Index, net: Backbone | None, progress: Progress) -> dict[str, Any]:
        return compare_sift(
            indexed, net, settings, cache=cache_folder(), size_px=size, device=device,
            progress=progress,
        )  # fmt: skip

    folder = out or options.default_folder(data, "baseline")
    found = _compared(
        compare,
        data,
        backbone,
        split,
        test_size,
        seed,
        classes_from=classes_from,
        merge_labels=merge_labels,
        quiet=as_json,
    )
    _write_and_show(found, folder, "sift", as_json=as_json)


@group.command()
def pixels(
    data: options.Data,
    backbone: Backbone_ = "embedded",
    size: options.Size = None,
    split: options.Split = None,
    test_size: options.TestSize = 0.2,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    seed: Seed = 0,
    device: options.Device = None,
    out: Out = None,
    as_json: options.AsJson = False,
) -> None:
    """The floor: pictures of 16 x 16 pixels, their nearest neighbours, and nothing learnt.

    Examples:

        headstart baseline pixels photos/
    """
    from headstart.baselines import compare_pixels
    from headstart.features import cache_folder

    def compare(indexed: Index, net: Backbone | None, progress: Progress) -> dict[str, Any]:
        return compare_pixels(
            indexed, net, cache=cache_folder(), seed=seed, size_px=size, device=device,
            progress=progress,
        )  # fmt: skip

    folder = out or options.default_folder(data, "baseline")
    found = _compared(
        compare,
        data,
        backbone,
        split,
        test_size,
        seed,
        classes_from=classes_from,
        merge_labels=merge_labels,
        quiet=as_json,
    )
    _write_and_show(found, folder, "pixels", as_json=as_json)


def _compared(
    compare: Callable[[Index, Backbone | None, Progress], dict[str, Any]],
    data: str,
    backbone: str,
    split: Path | None,
    test_size: float,
    seed: int,
    *,
    classes_from: str,
    merge_labels: bool,
    quiet: bool,
) -> dict[str, Any]:
    from headstart.backbones import load

    net = None if backbone == "none" else load(backbone)
    with progress_bars(quiet=quiet) as progress:
        indexed = options.index_data(
            data,
            split=split,
            test_size=test_size,
            seed=seed,
            classes_from=classes_from,
            merge_labels=merge_labels,
            progress=progress,
        )
        found = compare(indexed, net, progress)
        return found | {"classes": list(indexed.classes), "notes": list(indexed.notes)}


def _write_and_show(found: Mapping[str, Any], folder: Path, name: str, *, as_json: bool) -> None:
    from headstart.runs.report.sift import write_baseline

    answer(found, write_baseline(folder, name, found), _show, as_json=as_json)


def _show(found: Mapping[str, Any], out: Console) -> None:
    from rich import box
    from rich.table import Table

    from headstart.runs.report.sift import HEADER, cells

    table = Table(
        box=box.SIMPLE_HEAD,
        caption=f"accuracy in %; {counted(found['n_train'], 'training image')}, {found['n_test']:,} test "
        "images scored once;\npoints against the last row, with 95 % intervals",
        caption_justify="left",
    )
    shown = (0, 2, 3, 4)
    for i in shown:
        table.add_column(HEADER[i], justify="right" if i else "left")
    for row in found["methods"]:
        of_row = cells(row)
        table.add_row(*(of_row[i] for i in shown))
    out.print(table)


def _whole_numbers(text: str, option: str) -> tuple[int, ...]:
    from headstart.errors import InputError

    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise InputError(
            f"{option} takes whole numbers with commas between; got {text!r}"
        ) from error
