"""``headstart finetune``: train the network, or compare ways of training it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.comparison import (
    run_comparison,
    show_comparison,
)
from headstart.cli.console import console, echo_json, progress_bars
from headstart.cli.several import follows, require_one
from headstart.cli.texts import Texts, check_table_there, finetune_texts

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.cli.console import Shown
    from headstart.comparison.arms import Arm
    from headstart.data import Index
    from headstart.training import TrainSettings

COMPARED = ("regimes", "bn")
TITLES = {
    "regimes": "Regimes compared",
    "bn": "Policies of batch normalisation compared",
}


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(finetune)


def finetune(
    context: typer.Context,
    data: options.DataOrTexts,
    compare: Annotated[
        str | None,
        typer.Option(
            help="Compare all regimes or all bn policies (texts: variants) instead of training one."
        ),
    ] = None,
    regime: Annotated[
        str, typer.Option(help="scratch, all, lower, upper or output.", rich_help_panel="Training")
    ] = "all",
    tap: Annotated[
        str | None,
        typer.Option(
            help="Layer that divides the network: the last of `lower`; `upper` begins after it.",
            rich_help_panel="Training",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs; default: 6, for texts 10.", rich_help_panel="Training"),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Maximum learning rate, that of the output layer.", rich_help_panel="Training"
        ),
    ] = None,
    layer_decay: Annotated[
        float | None,
        typer.Option(
            help="Factor on the learning rate from each layer to the one below.",
            rich_help_panel="Training",
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="sgd, momentum, nesterov, rmsprop, adam or adamw.", rich_help_panel="Training"
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Images or texts per step; default: 32, for texts 50.",
            rich_help_panel="Training",
        ),
    ] = None,
    bn: Annotated[
        str | None,
        typer.Option(
            help="Statistics of batch normalisation: source, batch, reestimate, adabn, "
            "frozen-affine, affine-only.",
            rich_help_panel="Training",
        ),
    ] = None,
    augment: Annotated[
        str,
        typer.Option(
            help="none, basic, mixup, cutmix, augmix, randaugment or a learnt .json file.",
            rich_help_panel="Training",
        ),
    ] = "basic",
    random_head: Annotated[
        bool,
        typer.Option(
            "--random-head",
            help="Start with a random output layer instead of the linear SVM's.",
            rich_help_panel="Training",
        ),
    ] = False,
    further: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting of a training, such as label_smoothing=0, ema_decay=0.98, "
            "l2_sp=0.01, wise_ft=0.5, gradual_unfreezing=1, dropout=0.2, schedule=one-cycle, "
            "clip_norm=null, patience=3. May be given several times.",
            rich_help_panel="Training",
        ),
    ] = None,
    find_rate: Annotated[
        bool,
        typer.Option(
            "--find-rate",
            help="Only run a learning-rate range test of a hundred steps, and suggest a rate.",
            rich_help_panel="Training",
        ),
    ] = False,
    size: options.Size = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds for --compare.", min=1)] = 3,
    seed: options.FirstSeed = 0,
    backbone: options.Backbone = "embedded",
    weights: options.Weights = None,
    arch: options.Arch = None,
    arch_args: options.ArchArgs = None,
    split: options.Split = None,
    split_column: options.SplitColumn = None,
    group: options.GroupColumn = None,
    group_by: options.GroupBy = None,
    test_size: options.TestSize = 0.2,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    device: options.Device = None,
    processes: Annotated[
        int,
        typer.Option(
            min=1,
            help="Number of training processes on this machine, one per GPU; for several machines use torchrun.",
        ),
    ] = 1,
    text: Texts.text = None,
    label: Texts.label = None,
    embeddings: Texts.embeddings = None,
    encoder: Texts.encoder = None,
    variant: Annotated[
        str,
        typer.Option(
            help="rand, static, non-static or multichannel: what a TextCNN does with word vectors.",
            rich_help_panel="Texts",
        ),
    ] = "non-static",
    out: Annotated[Path | None, options.results("runs/DATA-finetune")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the run folder (without --compare).")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Train the network itself, or compare ways of training it.

    Training writes a run folder like that of `headstart fit`, for `headstart predict` and all
    other commands: the trained network, its learning curves with a diagnosis, and the linear SVM on
    frozen features beside it. With `--compare`, every regime (or every policy of batch normalisation) is trained with
    several seeds, beside the linear SVM on frozen features, and the answer says which to use
    and by how much it is better. Finished parts are kept: the same command resumes where it was stopped.

    Examples:

        headstart finetune photos/ --compare regimes --size 160

        headstart finetune photos/ --regime all --epochs 8 --augment mixup --out runs/tuned

        headstart finetune photos/ --find-rate

        headstart finetune photos/ --compare bn --batch-size 8

        headstart finetune reviews.csv --compare variants
    """
    import dataclasses

    from headstart.backbones import load
    from headstart.comparison.arms import bn_arms, regime_arms
    from headstart.data.texts import is_text_table
    from headstart.errors import InputError, require_choice
    from headstart.features.engines import check_device

    def backbone_asked() -> Backbone:
        return load(backbone, weights=weights, arch=options.built(arch, arch_args))

    if follows(processes, context.obj, device, backbone_asked):
        return
    check_device(device)
    if is_text_table(data, text_column=text):
        require_one("a training on texts")
        if further or find_rate or group_by is not None:
            option = "--set" if further else "--find-rate" if find_rate else "--group-by"
            raise InputError(f"{option} is for images, and {data!r} is a table of texts")
        finetune_texts(
            data,
            compare=compare,
            variant=variant,
            columns={
                "text_column": text,
                "label_column": label,
                "split_column": split_column,
                "group_column": group,
            },
            embeddings=embeddings,
            encoder=encoder,
            training={"epochs": epochs, "lr": lr, "optimizer": optimizer, "batch_size": batch_size},
            seeds=options.chosen_seeds(seed, seeds if compare else 1),
            test_size=test_size,
            merge_labels=merge_labels,
            device=device,
            out=out,
            as_json=as_json,
        )
        return
    if compare == "variants":
        check_table_there(data)
    if compare is not None:
        require_choice("compare", compare, COMPARED)
    base = _settings(
        {"epochs": epochs or 6, "batch_size": batch_size, "augment": augment, "seed": seed}
        | {"lr": lr, "layer_decay": layer_decay, "optimizer": optimizer, "bn": bn}
        | {"normalise": not random_head},
        further or (),
    )
    if tap is not None and regime not in ("lower", "upper") and compare != "regimes":
        raise InputError(f"--tap goes with --regime lower or upper; --regime is {regime!r}")
    net = backbone_asked()
    given: dict[str, Any] = {
        "split": None if split is None else str(split),
        "split_column": split_column,
        "group_column": group,
        "group_by": group_by,
        "test_size": test_size,
        "seed": seed,
        "classes_from": classes_from,
        "merge_labels": merge_labels,
    }
    if compare is None:
        arm = regime_arms(net, base, tap=tap, names=[regime])[-1]
        if not find_rate:
            given |= {"backbone": backbone, "arch": arch, "device": device}
            given |= {"weights": None if weights is None else str(weights)}
            given |= {"resolutions": (size or net.preprocessing.size_px,)}
            _train(data, arm, given, out=out, force=force, as_json=as_json)
            return
    elif find_rate:
        raise InputError("--find-rate and --compare exclude each other: choose one")
    with progress_bars(quiet=as_json) as progress:
        indexed = options.index_data(data, progress=progress, **given)
        if compare is None:
            _find_rate(data, indexed, net, arm, size, device, progress, as_json=as_json)
            return
    if compare == "regimes":
        arms = regime_arms(net, base, tap=tap)
    else:
        _require_batchnorm(net)
        arms = bn_arms(dataclasses.replace(base, bn=None))
    folder = out or options.default_folder(data, compare)
    found = run_comparison(
        indexed,
        net,
        arms,
        title=TITLES[compare],
        seeds=options.chosen_seeds(seed, seeds),
        size_px=size,
        device=device,
        folder=folder,
        quiet=as_json,
    )
    show_comparison(found, folder, as_json=as_json)


def _settings(given: Mapping[str, Any], further: Sequence[str]) -> TrainSettings:
    """The training's settings from the options, and from ``--set NAME=VALUE``."""
    import dataclasses
    import json

    from headstart.errors import InputError, did_you_mean
    from headstart.training import TrainSettings

    values = {name: value for name, value in given.items() if value is not None}
    own = {*given, "regime", "tap", "size_px"}
    known = [f.name for f in dataclasses.fields(TrainSettings) if f.name not in own]
    for word in further:
        name, is_pair, text = word.partition("=")
        if name not in known or not is_pair:
            raise InputError(
                f"--set takes NAME=VALUE; got {word!r}.{did_you_mean(name, known)} The names are "
                f"{', '.join(known)}"
            )
        try:
            values[name] = json.loads(text)
        except ValueError:  # a word, such as one-cycle
            values[name] = text
    return TrainSettings(**values)


def _train(
    data: str, arm: Arm, given: Mapping[str, Any], *, out: Path | None, force: bool, as_json: bool
) -> None:
    """One training, whose run folder is shown as that of a fit."""
    from headstart.cli.fit import show
    from headstart.runs.fit import train
    from headstart.runs.training_plan import Asked

    assert arm.settings is not None
    asked = Asked(settings=arm.settings, starts_from_svm=arm.starts_from_svm)
    with progress_bars(quiet=as_json) as progress:
        run = train(
            data,
            asked,
            out=out,
            force=force,
            progress=progress,
            on_epoch=progress.on_epoch,
            **given,
        )
    if as_json:
        echo_json(run.metrics)
    else:
        show(run)


def _find_rate(
    data: str,
    indexed: Index,
    net: Backbone,
    arm: Arm,
    size: int | None,
    device: str | None,
    progress: Shown,
    *,
    as_json: bool,
) -> None:
    """The range test, and the rate that it suggests."""

    from headstart.cli.curves import rate_lines
    from headstart.comparison.comparing import make_split
    from headstart.comparison.fitting import Fitter
    from headstart.features import cache_folder

    assert arm.settings is not None
    fitter = Fitter(
        backbone=net,
        classes=indexed.classes,
        test=(),
        size_px=size or net.preprocessing.size_px,
        cache=cache_folder(),
        device=device,
        progress=progress,
    )
    found = fitter.find_rate(arm, make_split(indexed, arm.settings.seed))
    if as_json:
        echo_json(found.to_dict())
        return
    out = console()
    for line in rate_lines(found):
        out.print(line, soft_wrap=True)
    if found.suggestion is not None:
        command = f"headstart finetune {data} --regime {arm.name} --lr {found.suggestion:.1g}"
        out.print(f"train    {command}", soft_wrap=True)


def _require_batchnorm(net: Backbone) -> None:
    from headstart.errors import BackboneError
    from headstart.training.batchnorm import without_batchnorm

    if said := without_batchnorm(net.module):
        raise BackboneError(f"{net.name}: {said}")
