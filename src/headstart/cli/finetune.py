"""``headstart finetune``: train the network, or compare ways of training it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli.comparison import (
    chosen_seeds,
    default_folder,
    run_comparison,
    show_comparison,
)
from headstart.cli.console import console, progress_bars
from headstart.cli.texts import Texts, check_table_there, finetune_texts

if TYPE_CHECKING:
    from headstart.backbones import Backbone

COMPARED = ("regimes", "bn")
TITLES = {
    "": "Fine-tuning against frozen features",
    "regimes": "Regimes compared",
    "bn": "Policies of batch normalisation compared",
}


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(finetune)


def finetune(
    data: Annotated[
        str,
        typer.Argument(
            help="Folder of class folders, table of paths or of texts, split file or data set name."
        ),
    ],
    compare: Annotated[
        str | None,
        typer.Option(help="regimes or bn (texts: variants): measure all of them instead of one."),
    ] = None,
    regime: Annotated[
        str, typer.Option(help="scratch, all, lower, upper or output.", rich_help_panel="Training")
    ] = "all",
    tap: Annotated[
        str | None,
        typer.Option(
            help="Layer at which lower ends and upper begins.", rich_help_panel="Training"
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Default 6; of texts 10.", rich_help_panel="Training"),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(help="Highest rate of the output layer.", rich_help_panel="Training"),
    ] = None,
    layer_decay: Annotated[
        float | None,
        typer.Option(
            help="Factor on the rate from a layer to the one below.", rich_help_panel="Training"
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
            help="Images or texts a step; default 32, of texts 50.",
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
            help="Begin with a random output layer, not with the linear SVM's.",
            rich_help_panel="Training",
        ),
    ] = False,
    size: Annotated[
        int | None, typer.Option(help="Crops in pixels; default the network's own.", min=16)
    ] = None,
    seeds: Annotated[int, typer.Option(help="With --compare: how many.", min=1)] = 3,
    seed: Annotated[int, typer.Option(help="The first seed.", min=0)] = 0,
    backbone: Annotated[
        str, typer.Option(help="Pretrained network: see `headstart backbones`.")
    ] = "embedded",
    weights: Annotated[Path | None, typer.Option(help="Local weights, with --arch.")] = None,
    arch: Annotated[str | None, typer.Option(help="Architecture of --weights.")] = None,
    split: Annotated[Path | None, typer.Option(help="CSV or JSON file of train and test.")] = None,
    test_size: Annotated[float, typer.Option(help="Share held out where there is no split.")] = 0.2,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; default the best.")] = None,
    text: Texts.text = None,
    label: Texts.label = None,
    split_column: Texts.split_column = None,
    embeddings: Texts.embeddings = None,
    variant: Annotated[
        str,
        typer.Option(
            help="rand, static, non-static or multichannel: what a TextCNN does with word vectors.",
            rich_help_panel="Texts",
        ),
    ] = "non-static",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; default runs/DATA-finetune.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Train the network itself, or compare ways of training it.

    A training is set against the linear SVM on frozen features, and its learning curves are
    shown with what they say. With `--compare`, every regime (or every policy of batch normalisation) is trained with
    several seeds, beside the linear SVM on frozen features, and the answer says which to take
    and by how much. What is finished is kept: the same command goes on where it was stopped.

    Examples:

        headstart finetune photos/ --compare regimes --size 160

        headstart finetune photos/ --regime all --epochs 8 --augment mixup

        headstart finetune photos/ --compare bn --batch-size 8

        headstart finetune reviews.csv --compare variants
    """
    import dataclasses

    from headstart.backbones import load
    from headstart.data import index
    from headstart.data.texts import is_text_table
    from headstart.errors import InputError, did_you_mean
    from headstart.features import cache_folder
    from headstart.finetune import TrainSettings
    from headstart.transfer import bn_arms, regime_arms

    if is_text_table(data, text_column=text):
        finetune_texts(
            data,
            compare=compare,
            variant=variant,
            columns=(text, label, split_column),
            embeddings=embeddings,
            training={"epochs": epochs, "lr": lr, "optimizer": optimizer, "batch_size": batch_size},
            seeds=chosen_seeds(seed, seeds if compare else 1),
            test_size=test_size,
            device=device,
            out=out,
            as_json=as_json,
        )
        return
    if compare == "variants":
        check_table_there(data)
    if compare is not None and compare not in COMPARED:
        raise InputError(
            f"--compare must be {' or '.join(COMPARED)}; got {compare!r}."
            f"{did_you_mean(compare, COMPARED)}"
        )
    given: dict[str, Any] = {"lr": lr, "layer_decay": layer_decay, "optimizer": optimizer, "bn": bn}
    base = TrainSettings(
        epochs=epochs or 6,
        batch_size=batch_size or 32,
        augment=augment,
        normalise=not random_head,
        seed=seed,
        **{k: v for k, v in given.items() if v is not None},
    )
    if tap is not None and regime not in ("lower", "upper") and compare != "regimes":
        raise InputError(f"--tap goes with --regime lower or upper; --regime is {regime!r}")
    net = load(backbone, weights=None if weights is None else str(weights), arch=arch)
    with progress_bars(quiet=as_json) as progress:
        indexed = index(
            data,
            split=None if split is None else str(split),
            test_size=test_size,
            seed=seed,
            cache=cache_folder(),
            progress=progress,
        )
    if compare == "regimes":
        arms = regime_arms(net, base, tap=tap)
    elif compare == "bn":
        _require_batchnorm(net)
        arms = bn_arms(dataclasses.replace(base, bn=None))
    else:
        first, _, arm = regime_arms(net, base, tap=tap, names=[regime])
        arms = (first, arm)
    folder = out or default_folder(data, compare or f"finetune-{regime}")
    found = run_comparison(
        indexed,
        net,
        arms,
        title=TITLES[compare or ""],
        seeds=chosen_seeds(seed, seeds if compare else 1),
        size_px=size,
        device=device,
        folder=folder,
        quiet=as_json,
    )
    if compare is None and not as_json:
        _show_curves(found)
    show_comparison(found, folder, as_json=as_json)


def _require_batchnorm(net: Backbone) -> None:
    from headstart.errors import BackboneError
    from headstart.finetune.batchnorm import without_batchnorm

    if said := without_batchnorm(net.module):
        raise BackboneError(f"{net.name}: {said}")


def _show_curves(found: Mapping[str, Any]) -> None:
    """The learning curves of the last arm, and what they say."""
    from headstart.cli.curves import learning_curves
    from headstart.finetune import Epoch
    from headstart.finetune.diagnosis import diagnose
    from headstart.finetune.history import curves_of

    row = found["arms"][-1]
    history = [Epoch.from_dict(epoch) for epoch in row["histories"][0]]
    out = console()
    out.print(
        learning_curves(**curves_of(row["histories"][0]), best=row["best_epochs"][0]),
        markup=False,
        soft_wrap=True,
    )
    for finding in diagnose(history, n_train=found["n_fit"], n_val=found["n_val"]):
        out.print(f"{finding.sentence}: {finding.suggestion}", markup=False, soft_wrap=True)
