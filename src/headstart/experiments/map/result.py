"""What `map` found."""

from __future__ import annotations

import msgspec

from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.map.settings import Settings
from headstart.results import Interval


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One image on the map.

    Attributes
    ----------
    predicted : str
        Class that a classifier gave which had not seen the image: the run's own for a test image,
        cross-validation's for a training one. Empty where no such classifier exists.
    x, y : float in [0, 1]
    novelty : float in [0, 1] or None
        Share of the images that are less unlike all others; None where all are of one group.
    """

    name: str
    path: str
    label: str
    split: str
    predicted: str
    x: float
    y: float
    novelty: float | None

    @property
    def is_wrong(self) -> bool:
        """Whether it was classified, wrongly."""
        return self.predicted not in ("", self.label)


class MapResult(ExperimentResult, frozen=True, kw_only=True, tag="map"):
    """Images of a run in two dimensions.

    Attributes
    ----------
    method : {"pca", "tsne"}
        The one that was used.
    n_features : int
        Dimensions before.
    n_images : int
        Of the run, on the map or not.
    on_map, in_features : Interval or None
        Share of images whose nearest other image is of the same class: on the map, and by all features.
        Copies of an image, and images of its group, are not other images. None where there are no others.
    trustworthiness : float
        How far the neighbours on the map are neighbours by all features too (Venna and Kaski 2001); 1 is
        best, random positions have about 0.5.
    judged_by : str
        Where training images were not judged by the run's own model: by what, in a sentence.
    """

    settings: Settings
    method: str
    n_features: int
    n_images: int
    on_map: Interval | None
    in_features: Interval | None
    trustworthiness: float
    points: tuple[Point, ...]
    judged_by: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of the images on the map, sorted."""
        return tuple(sorted({p.label for p in self.points}))
