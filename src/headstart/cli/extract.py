"""``headstart extract``: features into the store, here or on many machines."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli import options
from headstart.cli.console import console, echo_json, parse_numbers, progress_bars
from headstart.cli.flags import note_line

if TYPE_CHECKING:
    from headstart.runs.extracting import Extracted

N_NAMED = 5


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(extract)


def extract(
    data: Annotated[
        str,
        typer.Argument(
            help="Folder of class folders, table, data set name, Parquet file of image bytes, tar "
            "shards (shards/*.tar), or a URL of any of the last or of class folders."
        ),
    ],
    backbone: options.Backbone = "embedded",
    resolutions: Annotated[
        str | None, typer.Option(help="Crop sizes in pixels; default those of `headstart fit`.")
    ] = None,
    engine: options.Engine = "local",
    address: options.ClusterAddress = None,
    workers: options.ClusterWorkers = None,
    weights: options.Weights = None,
    arch: options.Arch = None,
    arch_args: options.ArchArgs = None,
    image_column: Annotated[
        str | None, typer.Option(help="Column of a table: paths, or bytes in Parquet.")
    ] = None,
    label_column: options.LabelColumn = None,
    split_column: options.SplitColumn = None,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    crop: Annotated[
        str | None,
        typer.Option(
            help="How images become squares: center, squash or letterbox; default the network's own."
        ),
    ] = None,
    precision: options.Precision = "auto",
    device: options.Device = None,
    as_json: options.AsJsonObject = False,
) -> None:
    """Compute the features of your images once, for later fits.

    Every image goes through the network once at each resolution, and the features of all layers are kept in the
    store that `headstart fit` reads, which then needs no forward pass. Features that exist are not
    computed again, and a command that was stopped resumes where it was. With --engine ray the work is
    shared among the workers of a Ray cluster (extra `ray`), each with the network; a lost worker is
    replaced.

    Examples:

        headstart extract photos/

        headstart extract photos/ --engine ray --workers 2

        headstart extract 's3://bucket/shards/*.tar' --engine ray --address auto
    """
    from headstart.runs.extracting import ExtractSettings, extract_data

    settings = ExtractSettings(
        data=data,
        backbone=backbone,
        weights=None if weights is None else str(weights),
        arch=options.built(arch, arch_args),
        resolutions=parse_numbers(resolutions, "--resolutions", int),
        image_column=image_column,
        label_column=label_column,
        split_column=split_column,
        classes_from=classes_from,
        merge_labels=merge_labels,
        crop=crop,
        precision=precision,
        device=device,
        engine=engine,
        address=address,
        n_workers=workers,
    )
    with progress_bars(quiet=as_json) as progress:
        done = extract_data(settings, progress=progress)
    if as_json:
        echo_json(done.to_dict())
    else:
        _show(done)


def _show(done: Extracted) -> None:
    from headstart.data.labels import name_classes
    from headstart.errors import one_line

    out, made = console(), done.extraction

    def say(text: str) -> None:
        out.print(text, soft_wrap=True)

    if done.classes:
        say(f"classes: {name_classes(done.classes)}")
    for note in done.notes:
        say(note_line(note))
    if made.images_per_s:
        speed = f"in {made.seconds:,.0f} s, {made.images_per_s:,.0f} a second"
        say(f"computed  {made.n_forward:,} passes by {made.engine}, {speed}")
    else:
        say("computed  nothing: all features were there")
    if made.n_forward and made.n_cached:
        say(f"there     {made.n_cached:,} passes were in the store")
    if done.unusable:
        say(f"not usable: {len(done.unusable)}")
        for name, reason in done.unusable[:N_NAMED]:
            say(f"  {one_line(name)}: {one_line(reason)}")
        if len(done.unusable) > N_NAMED:
            say(f"  and {len(done.unusable) - N_NAMED} more (--json names all)")
    for size, store in sorted(made.stores.items()):
        say(f"{size:>4} px   {len(store):,} images in {store.folder}")
    say(f"fit       {fit_command(done)}")


def fit_command(done: Extracted) -> str:
    """The fit that makes no forward pass now."""
    s = done.settings
    words = ["headstart", "fit", s.data]
    for option, value in (
        ("--backbone", None if s.backbone == "embedded" or s.weights else s.backbone),
        ("--weights", s.weights),
        ("--arch", s.arch),
        ("--resolutions", s.resolutions and ",".join(map(str, s.resolutions))),
        ("--image-column", s.image_column),
        ("--label-column", s.label_column),
        ("--split-column", s.split_column),
        ("--classes-from", None if s.classes_from == "auto" else s.classes_from),
        ("--crop", s.crop),
        ("--precision", s.precision),
    ):
        words += [option, value] if value else []
    if s.merge_labels:
        words.append("--merge-labels")
    return shlex.join(words)
