"""What `map` found."""

from __future__ import annotations

import msgspec

from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.map.settings import Settings
from headstart.results import Interval


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One image on the map."""

    name: str
    path: str
    label: str
    split: str
    # Class that a classifier gave which had not seen the image: the run's own for a test image,
    # cross-validation's for a training one. Empty where no such classifier exists.
    predicted: str
    x: float  # horizontal position, in [0, 1]
    y: float  # vertical position, in [0, 1]
    # in [0, 1]; share of the images that are less unlike all others; None where all are of one
    # group
    novelty: float | None

    @property
    def is_wrong(self) -> bool:
        """Whether it was classified, wrongly."""
        return self.predicted not in ("", self.label)


class MapResult(ExperimentResult, frozen=True, kw_only=True, tag="map"):
    """Images of a run in two dimensions."""

    settings: Settings
    method: str  # {"pca", "tsne", "opentsne"}; the one that was used
    n_features: int  # dimensions before
    n_images: int  # of the run, on the map or not
    # share of images whose nearest other image on the map is of the same class; copies of an image,
    # and images of its group, are not other images; None where there are no others
    on_map: Interval | None
    in_features: Interval | None  # as `on_map`, with the nearest by all features
    # how far the neighbours on the map are neighbours by all features too (Venna and Kaski 2001); 1
    # is best, random positions have about 0.5
    trustworthiness: float
    points: tuple[Point, ...]
    # where training images were not judged by the run's own model: by what, in a sentence
    judged_by: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of the images on the map, sorted."""
        return tuple(sorted({p.label for p in self.points}))
