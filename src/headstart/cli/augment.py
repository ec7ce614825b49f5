"""``headstart augment``: look at an augmentation policy, or learn one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import console, echo_json, progress_bars
from headstart.cli.views import views

if TYPE_CHECKING:
    from headstart.augment import SearchResult
    from headstart.data import Index, Record

app = typer.Typer(
    no_args_is_help=True, help="Augment training images: preview, learn or compare policies."
)

MARGIN = 1.15  # images are read larger than the crops, so that there is something to crop


def register(parent: typer.Typer) -> None:
    """Add the verbs of this file."""
    app.command()(views)
    parent.add_typer(app, name="augment")


@app.command()
def preview(
    data: options.Data,
    policy: Annotated[
        str, typer.Option(help="basic, mixup, cutmix:alpha=0.5, ..., or a learnt .json file.")
    ] = "basic",
    out: Annotated[Path, options.file_to_write("Picture to write.")] = Path("augment.png"),
    n_images: Annotated[int, typer.Option("--images", help="Rows.", min=1, max=50)] = 6,
    n_draws: Annotated[
        int, typer.Option("--draws", help="Random draws per image.", min=1, max=20)
    ] = 5,
    size_px: Annotated[int, typer.Option("--size", help="Side in pixels.", min=16, max=512)] = 160,
    seed: Annotated[
        int, typer.Option(help="Random seed for the images shown and the draws.", min=0)
    ] = 0,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the policy and the path as JSON.")
    ] = False,
) -> None:
    """Write a picture of what a policy does to your images.

    One row per image: the original, then random draws. Mixup and CutMix name the two images and their
    weights; AugMix is shown chain by chain.

    Examples:

        headstart augment preview photos/ --policy mixup --out mixup.png

        headstart augment preview photos/ --policy randaugment:magnitude=15
    """
    from headstart.augment import parse_policy, preview_grid

    chosen = parse_policy(policy)
    _check_picture(out)
    with progress_bars(quiet=as_json) as progress:
        indexed = options.index_data(
            data, classes_from=classes_from, merge_labels=merge_labels, progress=progress
        )
        records, _ = _training_records(indexed, n_images, seed)
        images = _read(records, round(size_px * MARGIN), progress)
    grid = preview_grid(
        chosen, images, [r.label for r in records], n_draws=n_draws, size_px=size_px, seed=seed
    )
    _save(grid, out)
    if as_json:
        echo_json({"policy": chosen.to_dict(), "out": str(out)})
    else:
        typer.echo(f"picture  {out}")


@app.command()
def search(
    data: options.Data,
    out: Annotated[Path, options.file_to_write("File of the policy to write (.json).")],
    budget: Annotated[str, typer.Option(help="Time for the search: 90s, 2m.")] = "2m",
    steps: Annotated[int, typer.Option(help="Maximum number of gradient steps.", min=1)] = 300,
    n_images: Annotated[
        int, typer.Option("--images", help="Maximum number of training images to use.", min=2)
    ] = 1000,
    size_px: Annotated[int, typer.Option("--size", help="Side in pixels.")] = 64,
    seed: Annotated[
        int, typer.Option(help="Random seed for the split, the images used and the search.", min=0)
    ] = 0,
    split: options.Split = None,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the policy.")] = False,
) -> None:
    """Learn an augmentation policy by gradient (Faster AutoAugment).

    Only training images are looked at. The file is a policy like any other: `--policy out.json`.

    Examples:

        headstart augment search photos/ --out policy.json --budget 2m

        headstart augment preview photos/ --policy policy.json
    """

    from headstart.augment import SearchSettings
    from headstart.errors import OutputError
    from headstart.files import write_atomically
    from headstart.wording import parse_seconds

    if out.suffix.lower() != ".json":
        raise OutputError(f"--out must end in .json; got {out}")
    settings = SearchSettings(
        budget_s=parse_seconds(budget), n_steps=steps, size_px=size_px, seed=seed
    )
    with progress_bars(quiet=as_json) as progress:
        indexed = options.index_data(
            data,
            split=split,
            seed=seed,
            classes_from=classes_from,
            merge_labels=merge_labels,
            progress=progress,
        )
        records, classes = _training_records(indexed, n_images, seed)
        found = _search(records, classes, settings, progress)
    text = json.dumps(found.to_dict(), indent=1)
    write_atomically(out, f"{text}\n".encode())
    if as_json:
        echo_json(found.to_dict())
    else:
        _show(found, out)


@app.command()
def trial(
    data: options.Data,
    policies: Annotated[
        str, typer.Option(help="Policies to compare with basic; `learnt` is searched for first.")
    ] = "mixup,cutmix,augmix,learnt",
    epochs: Annotated[int, typer.Option(min=1, help="Epochs, the same for every policy.")] = 6,
    search_budget: Annotated[str, typer.Option(help="Time for the search: 90s, 2m.")] = "2m",
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
    out: Annotated[Path | None, options.results("runs/DATA-augment")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Fine-tune with each policy and with basic augmentation: does any policy help?

    All have the same images, seeds and epochs, and the time of a search counts. The answer may
    be that basic augmentation is enough.

    Examples:

        headstart augment trial photos/ --size 160

        headstart augment trial photos/ --policies mixup:alpha=0.4,policy.json --seeds 5
    """
    from headstart.augment import parse_policy
    from headstart.backbones import load
    from headstart.cli.comparison import run_comparison, show_comparison
    from headstart.comparison.arms import augment_arms
    from headstart.features.engines import check_device
    from headstart.training import TrainSettings
    from headstart.wording import parse_seconds

    names = _policy_names(policies)
    budget_s = parse_seconds(search_budget)
    wanted = {name: None if name == "learnt" else parse_policy(name) for name in names}
    check_device(device)
    net = load(backbone, weights=weights, arch=options.built(arch, arch_args))
    with progress_bars(quiet=as_json) as progress:
        indexed = options.index_data(
            data,
            split=split,
            seed=seed,
            classes_from=classes_from,
            merge_labels=merge_labels,
            progress=progress,
        )
        compared: dict[str, tuple[Any, float]] = {"basic": ("basic", 0.0)}
        for name, policy in wanted.items():
            found = (policy, 0.0) if policy else _learnt(indexed, budget_s, seed, progress)
            compared[name] = (found[0].to_dict(), found[1])
    folder = out or options.default_folder(data, "augment")
    result = run_comparison(
        indexed,
        net,
        augment_arms(TrainSettings(epochs=epochs, normalise=True), compared),
        title="Augmentation policies compared",
        seeds=options.chosen_seeds(seed, seeds),
        size_px=size,
        device=device,
        folder=folder,
        quiet=as_json,
    )
    show_comparison(result, folder, as_json=as_json)


def _policy_names(text: str) -> list[str]:
    """The policies of a comma-separated list; a comma before ``name=`` belongs to a policy."""
    import re

    from headstart.errors import InputError

    names = [name.strip() for name in re.split(r",(?!\s*\w+=)", text)]
    if not all(names) or len(set(names)) < len(names):
        raise InputError(f"--policies takes different policies with commas between; got {text!r}")
    if "basic" in names:
        names.remove("basic")  # every policy is measured against it
    if not names:
        raise InputError("--policies needs one besides basic, which all are measured against")
    return names


def _learnt(indexed: Any, budget_s: float, seed: int, progress: Any) -> tuple[Any, float]:
    """A policy learnt on the training images, and the seconds that it took.

    It is kept in the cache: the same question searches once.
    """
    from headstart.augment import Policy, SearchSettings
    from headstart.data import training_records
    from headstart.errors import InputError
    from headstart.features import cache_folder
    from headstart.features.cores import n_cores
    from headstart.features.engines import machine_name
    from headstart.probe.memo import keep_json, memo_path, recall_json, report_damage

    records = sorted(training_records(indexed), key=lambda r: (r.digest, r.name))
    settings = SearchSettings(budget_s=budget_s, seed=seed)
    machine = [machine_name(), n_cores()]  # a search ends when its time is over
    asked = [machine, repr(settings), [(r.digest, r.label) for r in records]]
    kept = memo_path(cache_folder(), "policies", asked, code=("augment", "cli/augment.py", "data"))
    facts = recall_json(kept, dict[str, Any])
    if facts is not None:
        try:
            return Policy.from_dict(facts["policy"]), float(facts["seconds"])
        except (ValueError, KeyError, TypeError, InputError) as error:
            report_damage(kept, error)
    chosen, classes = _shuffled(records, 1000, seed), list(indexed.classes)
    found = _search(chosen, classes, settings, progress)
    facts = {"policy": found.policy.to_dict(), "seconds": found.seconds}
    keep_json(kept, facts)
    return found.policy, found.seconds


def _search(records: list[Record], classes: list[str], settings: Any, progress: Any) -> Any:
    """What a search on these records' images finds."""
    import torch

    from headstart.augment import search

    labels = torch.tensor([classes.index(r.label) for r in records])
    images = _read(records, settings.size_px, progress)
    return search(images, labels, n_classes=len(classes), settings=settings, progress=progress)


def _shuffled(records: list[Record], n: int, seed: int) -> list[Record]:
    import random

    mixed = list(records)
    random.Random(seed).shuffle(mixed)
    return mixed[:n]


def _training_records(indexed: Index, n_images: int, seed: int) -> tuple[list[Record], list[str]]:
    """A seeded choice of training images, and all classes."""
    records = list(indexed.train or indexed.records)
    return _shuffled(records, n_images, seed), list(indexed.classes)


def _read(records: list[Record], size_px: int, progress: Any) -> Any:
    """The largest centre squares, resized: uint8 tensor (n, 3, size_px, size_px)."""
    import numpy as np
    import torch
    from PIL import Image, ImageOps

    from headstart.data import read_rgb

    pictures = []
    for n, record in enumerate(records, start=1):
        image = read_rgb(record.path, at_least=size_px)
        square = ImageOps.fit(image, (size_px, size_px), Image.Resampling.BICUBIC)
        pictures.append(torch.from_numpy(np.array(square)).permute(2, 0, 1))
        progress("decode", n, len(records))
    return torch.stack(pictures)


def _check_picture(out: Path) -> None:
    from headstart.errors import OutputError

    if out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise OutputError(f"--out must end in .png, .jpg or .webp; got {out}")


def _save(picture: Any, out: Path) -> None:
    import io

    from headstart.files import write_atomically

    kind = {".png": "PNG", ".webp": "WEBP"}.get(out.suffix.lower(), "JPEG")
    payload = io.BytesIO()
    picture.save(payload, kind, **({} if kind == "PNG" else {"quality": 92}))
    write_atomically(out, payload.getvalue())


def _show(found: SearchResult, out: Path) -> None:
    """A table of what the policy does most, and where it is."""
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        caption="share: of the steps that pick it\napplied: how often, once picked\n"
        "strength: 1 is the strongest",
        caption_justify="left",
    )
    table.add_column("operation")
    for name in ("share", "applied", "strength"):
        table.add_column(name, justify="right")
    for name, share, applied, strength in found.shares():
        table.add_row(name, f"{share:.0%}", f"{applied:.0%}", f"{strength:.2f}")
    console().print(table)
    typer.echo(f"{len(found.history)} steps in {found.seconds:.0f} s   policy  {out}")
