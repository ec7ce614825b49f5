"""What `transfer similarity` found."""

from __future__ import annotations

from msgspec import Struct

from headstart.experiments.correlation import RankCorrelation
from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.similarity.settings import Settings
from headstart.results import Estimate, Interval


class Distance(Struct, frozen=True, kw_only=True):
    """How far a set of images lies from the source.

    Attributes
    ----------
    n_images : int
    layers : tuple of str, length L
        In network order.
    kl, frechet : tuple of float, length L
        Mean over the channels of a layer: symmetric Kullback-Leibler divergence, and squared
        2-Wasserstein (Fréchet) distance of the layer's normalised input (in squared standard
        deviations of the source), so that layers can be compared.
    medians : dict of measure to Estimate
        Over the layers.
    """

    n_images: int
    layers: tuple[str, ...]
    kl: tuple[float, ...]
    frechet: tuple[float, ...]
    medians: dict[str, Estimate]


class Gain(Struct, frozen=True, kw_only=True):
    """What transfer gave on a labelled set.

    Attributes
    ----------
    n_images, n_classes : int
    features, pixels : Interval
        Cross-validated accuracy of the linear SVM on the frozen features, and on the pixels of the
        images at 32 px.
    chance : float
        Share of the largest class.
    errors_removed : float
        Share of the errors of the SVM on pixels that the features remove; below 0: they add errors.
    above_chance : float
        ``(accuracy - chance) / (1 - chance)``.
    """

    n_images: int
    n_classes: int
    features: Interval
    pixels: Interval
    chance: float
    errors_removed: float
    above_chance: float

    @classmethod
    def of(
        cls, features: Interval, pixels: Interval, *, chance: float, n_images: int, n_classes: int
    ) -> Gain:
        """From the two accuracies."""
        return cls(
            n_images=n_images,
            n_classes=n_classes,
            features=features,
            pixels=pixels,
            chance=chance,
            errors_removed=1 - (1 - features.value) / max(1 - pixels.value, 1e-9),
            above_chance=(features.value - chance) / (1 - chance),
        )


class Placed(Struct, frozen=True, kw_only=True):
    """One set on the scale; `gain` is None for a set without labels."""

    name: str
    note: str
    distance: Distance
    gain: Gain | None

    @property
    def kl(self) -> float:
        """The number that sets are put in order by: the median over layers of the symmetric KL."""
        return self.distance.medians["kl"].value


class SimilarityResult(ExperimentResult, frozen=True, kw_only=True, tag="similarity"):
    """All sets, the nearest to the source first.

    Attributes
    ----------
    settings : Settings
    data, backbone : str
    size_px : int
    target : str
        The name of the set that was asked about.
    sets : tuple of Placed
    by_errors, by_chance : RankCorrelation
        Over the labelled sets, between distance and `Gain.errors_removed` or `Gain.above_chance`.
        A distance that predicts transfer has a negative one.
    """

    settings: Settings
    data: str
    backbone: str
    size_px: int
    target: str
    sets: tuple[Placed, ...]
    by_errors: RankCorrelation
    by_chance: RankCorrelation

    @property
    def labelled(self) -> list[Placed]:
        """The sets on which transfer was measured."""
        return [s for s in self.sets if s.gain is not None]
