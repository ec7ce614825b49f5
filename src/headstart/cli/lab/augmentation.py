"""``headstart lab augmentation``."""

from __future__ import annotations

from typing import Annotated

import typer

from headstart.cli import options
from headstart.cli.console import progress_bars
from headstart.cli.lab.showing import Data, Out, Seeds, present


def augmentation(
    data: Data = None,
    seeds: Seeds = 20,
    seed: options.FirstSeed = 0,
    size: Annotated[int, typer.Option(min=32, max=320, help="Side of a picture in pixels.")] = 150,
    out: Out = None,
    as_json: options.AsJson = False,
) -> None:
    """Basic augmentation, AugMix chain by chain and Mixup with soft labels, as pictures.

    Without DATA on the two photographs that scikit-learn brings.

    Examples:

        headstart lab augmentation

        headstart lab augmentation photos/ --size 200
    """
    from headstart.labs import draw_gallery, read_photographs
    from headstart.labs.gallery import MARGIN
    from headstart.runs.report.labs import augmentation_sections

    with progress_bars(quiet=as_json) as progress:
        images, names, called = read_photographs(
            data, round(size * MARGIN), seed=seed, progress=progress
        )
        found, pictures = draw_gallery(
            images,
            names,
            options.chosen_seeds(seed, seeds),
            data=called,
            size_px=size,
            progress=progress,
        )
    sections = augmentation_sections(found, pictures)
    present(
        "augmentation",
        "Augmentation in pictures",
        found,
        sections,
        data=data,
        out=out,
        as_json=as_json,
    )
