"""What `label-next` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from headstart.experiments.onrun import OnRun, RunFolder
from headstart.experiments.settings import Natural, Positive, about


@dataclass(frozen=True, kw_only=True)
class Settings(OnRun):
    """Choose the unlabelled images that are worth labelling next.

    Four strategies are first replayed on the run's own labelled images: how accurate would the
    classifier be if each had chosen the images to label, and how many random labels would reach the same? The
    best is used if it beats random labels significantly; otherwise the images are chosen at random.

    Examples:

        headstart label-next runs/photos unlabelled/

        headstart label-next runs/photos unlabelled/ --n 100 --strategy mix
    """

    run: RunFolder  # again, so that it comes first
    unlabelled: Annotated[str, about("Folder of images without labels.", is_argument=True)]
    n: Annotated[Positive, about("How many images to choose.")] = 50
    strategy: Annotated[
        Literal["auto", "random", "margin", "typicality", "coverage", "mix"],
        about(
            "auto: the best on the run's own images, or random; margin: the least sure; typicality: the "
            "densest of clusters without labels; coverage: the farthest from all labels; mix: unsure "
            "ones, spread out."
        ),
    ] = "auto"
    repeats: Annotated[
        Annotated[int, Meta(ge=2)], about("Random splits of the run's images to replay on.")
    ] = 20
    seed: Annotated[Natural, about("Random seed for the splits and random choices.")] = 0
