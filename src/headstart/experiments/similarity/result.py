"""What `transfer similarity` found."""

from __future__ import annotations

from msgspec import Struct

from headstart.experiments.correlation import RankCorrelation
from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.similarity.settings import Settings
from headstart.results import Estimate, Interval


class Distance(Struct, frozen=True, kw_only=True):
    """How far a set of images lies from the source; of texts, how far two sets lie apart."""

    n_images: int  # of texts, those of the data that the set is compared with
    layers: tuple[str, ...]  # length L; in network order
    # length L; symmetric Kullback-Leibler divergence, mean over the channels of a layer
    kl: tuple[float, ...]
    # length L; squared 2-Wasserstein (Fréchet) distance of the layer's normalised input, in squared
    # standard deviations of the source, so that layers can be compared; mean over the channels
    frechet: tuple[float, ...]
    medians: dict[str, Estimate]  # measure to Estimate; over the layers


class Gain(Struct, frozen=True, kw_only=True):
    """What transfer gave on a labelled set."""

    n_images: int
    n_classes: int
    # cross-validated accuracy of the linear SVM on the frozen features; of texts, on TF-IDF and the
    # sentence encoder
    features: Interval
    # cross-validated accuracy of the linear SVM on the pixels of the images at 32 px; of texts, on
    # TF-IDF alone
    pixels: Interval
    chance: float  # share of the largest class
    # share of the errors of the SVM on pixels that the features remove; below 0: they add errors
    errors_removed: float
    above_chance: float  # ``(accuracy - chance) / (1 - chance)``
    n_neighbour_images: int  # images of the quick score: a part of the `n_images`
    # accuracy of the five nearest neighbours by cosine of the features, from other folds, on the
    # images of the quick score
    neighbours: Interval
    neighbours_pixels: Interval  # as `neighbours`, by cosine of the pixels
    neighbours_removed: float  # as `errors_removed`, by the neighbours: the quick score
    # as `errors_removed`, on the images that have no part in the quick score; None where they are
    # too few to tell
    others_removed: float | None

    @property
    def n_other_images(self) -> int:
        """Images that have no part in the quick score."""
        return self.n_images - self.n_neighbour_images

    @classmethod
    def of(
        cls,
        features: Interval,
        pixels: Interval,
        *,
        neighbours: Interval,
        neighbours_pixels: Interval,
        chance: float,
        n_images: int,
        n_neighbour_images: int,
        n_classes: int,
        others: tuple[Interval, Interval] | None = None,
    ) -> Gain:
        """From the four accuracies, and those of features and pixels on the other images."""
        return cls(
            n_images=n_images,
            n_classes=n_classes,
            features=features,
            pixels=pixels,
            chance=chance,
            errors_removed=_removed(features, pixels, n_images),
            above_chance=(features.value - chance) / (1 - chance),
            n_neighbour_images=n_neighbour_images,
            neighbours=neighbours,
            neighbours_pixels=neighbours_pixels,
            neighbours_removed=_removed(neighbours, neighbours_pixels, n_neighbour_images),
            others_removed=None
            if others is None
            else _removed(*others, n_images - n_neighbour_images),
        )


def _removed(features: Interval, pixels: Interval, n_images: int) -> float:
    """Share of the pixels' errors; a method without an error counts as one with half an error."""
    fewest = 0.5 / n_images
    return 1 - max(1 - features.value, fewest) / max(1 - pixels.value, fewest)


class Placed(Struct, frozen=True, kw_only=True):
    """One set on the scale; `gain` is None for a set without labels."""

    name: str
    note: str
    distance: Distance
    gain: Gain | None
    # of texts: the distance at most, in 95 of 100 draws, of two sets of the same kind and of these sizes
    chance: float | None = None

    @property
    def kl(self) -> float:
        """The number that sets are put in order by: the median over layers of the symmetric KL."""
        return self.distance.medians["kl"].value


class ReferencePoints(Struct, frozen=True, kw_only=True):
    """Sets measured beforehand, which ship with the package."""

    version: str  # of the package that measured them
    # backbone, digest: the network, and the SHA-256 of its weights: the distances hold for it alone
    backbone: str
    digest: str
    preprocessing: dict[str, str]
    size_px: int
    layers: tuple[str, ...]  # of every set; in the file they stand here only
    n_images: int  # most images of a set, for the distance
    # set to tuple of str; of the sets of files, what their images are recognised by
    # (`references.sketch`)
    sketches: dict[str, tuple[str, ...]]
    sets: tuple[Placed, ...]


class TextPoint(Struct, frozen=True, kw_only=True):
    """A set of texts measured beforehand."""

    name: str
    note: str
    n_texts: int  # of which the statistics are
    # little-endian float16 (n_layers, 2, n_features): mean and variance of each feature
    statistics: bytes
    sketch: tuple[str, ...]  # what its texts are recognised by
    gain: Gain | None


class TextPoints(Struct, frozen=True, kw_only=True):
    """Sets of texts measured beforehand, which ship with the package."""

    version: str  # of the package that measured them
    encoder: str
    digest: str  # of the encoder: the statistics hold for it alone
    layers: tuple[str, ...]  # its taps
    sets: tuple[TextPoint, ...]


class SimilarityResult(ExperimentResult, frozen=True, kw_only=True, tag="similarity"):
    """All sets, the nearest first: of images to the source, of texts to the data."""

    settings: Settings
    data: str
    backbone: str  # of texts, the sentence encoder
    size_px: int | None  # None of texts
    # the name of the set that was asked about; of texts, its distance is what chance alone makes of two sets
    target: str
    sets: tuple[Placed, ...]
    # over the labelled sets, between distance and `Gain.errors_removed`; negative if distance
    # predicts transfer. Of texts, over the other sets and with the difference from the data's own
    # value; positive if near sets predict it
    by_errors: RankCorrelation
    # as `by_errors`, with `Gain.above_chance`
    by_chance: RankCorrelation
    # Between `Gain.neighbours_removed` and `Gain.others_removed`, over the sets that have it: the
    # two are measured on different images. 1 would be perfect.
    by_neighbours: RankCorrelation
    # the version of the package that measured the built-in references; empty where they were
    # measured now, or left out
    shipped: str = ""
    # built-in references left out because their images are among those given
    same: tuple[str, ...] = ()

    @property
    def labelled(self) -> list[Placed]:
        """The sets on which transfer was measured."""
        return [s for s in self.sets if s.gain is not None]
