"""What `map` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from headstart.experiments.onrun import OnRun
from headstart.experiments.settings import Natural, about

# Images that a map needs.
FEWEST = 10


@dataclass(frozen=True, kw_only=True)
class Settings(OnRun):
    """Draw a map of a run's images by similarity.

    explore.html shows the picture under the pointer, colours the images by class, mistake, novelty or split, and
    saves the names of the images inside a line that you draw. How well the map preserves neighbourhoods
    is measured.

    Examples:

        headstart map runs/photos

        headstart map runs/photos --method pca
    """

    method: Annotated[
        Literal["auto", "pca", "tsne", "opentsne"],
        about(
            "pca: the two directions of largest spread; tsne: neighbourhoods, distances between far "
            "groups mean little; opentsne: the same in a quarter of the time (extra map); auto: tsne up "
            "to 5,000 images, of more opentsne if it is installed, otherwise pca."
        ),
    ] = "auto"
    most: Annotated[
        Annotated[int, Meta(ge=FEWEST)],
        about("Maximum number of images on the map; of more, a random sample is shown."),
    ] = 10_000
    seed: Annotated[Natural, about("Random seed for the sample and t-SNE.")] = 0
