"""Data sets on the scale of distances to the source, and whether the scale predicts transfer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from headstart.experiments.correlation import RankCorrelation, rank_correlation, too_few
from headstart.experiments.similarity.distance import Distance, measure_distance, source_statistics
from headstart.experiments.similarity.references import N_IMAGES, ImageSet, pixel_rows
from headstart.heads import Interval
from headstart.probe import judge, training_folds
from headstart.probe.folds import require_two_each
from headstart.progress import Progress, silent
from headstart.wording import headline, listed

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index

BATCH = 16
PIXELS_PX = 32
MAX_LABELLED = 1500


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What transfer gave on a labelled set.

    Attributes
    ----------
    n_images, n_classes : int
    features, pixels : Interval
        Cross-validated accuracy of the linear SVM on the frozen features, and on the pixels of the
        images at 32 px.
    chance : float
        Share of the largest class.
    """

    n_images: int
    n_classes: int
    features: Interval
    pixels: Interval
    chance: float

    @property
    def errors_removed(self) -> float:
        """Share of the errors of the SVM on pixels that the features remove; below 0: they add."""
        return 1 - (1 - self.features.value) / max(1 - self.pixels.value, 1e-9)

    @property
    def above_chance(self) -> float:
        """``(accuracy - chance) / (1 - chance)``."""
        return (self.features.value - self.chance) / (1 - self.chance)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "n_images": self.n_images,
            "n_classes": self.n_classes,
            **{
                name: {"value": i.value, "low": i.low, "high": i.high}
                for name, i in (("features", self.features), ("pixels", self.pixels))
            },
            "chance": self.chance,
            "errors_removed": self.errors_removed,
            "above_chance": self.above_chance,
        }


@dataclass(frozen=True, kw_only=True)
class Placed:
    """One set on the scale."""

    name: str
    note: str
    distance: Distance
    gain: Gain | None

    @property
    def kl(self) -> float:
        """The number that sets are put in order by: the median over layers of the symmetric KL."""
        return self.distance.medians["kl"][0]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "name": self.name,
            "note": self.note,
            "distance": self.distance.to_dict(),
            "gain": None if self.gain is None else self.gain.to_dict(),
        }


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """All sets, the nearest to the source first.

    Attributes
    ----------
    target : str
        The name of the set that was asked about.
    sets : tuple of Placed
    by_errors, by_chance : RankCorrelation
        Over the labelled sets, between distance and `Gain.errors_removed` or `Gain.above_chance`.
        A distance that predicts transfer has a negative one.
    """

    target: str
    sets: tuple[Placed, ...]
    by_errors: RankCorrelation
    by_chance: RankCorrelation

    @property
    def place(self) -> str:
        """Where the target lies among all sets, as a sentence."""
        nearer, equal, farther = self._around()
        between = [
            f"{words} {listed(names)}"
            for words, names in (
                ("farther than", nearer), ("as far as", equal), ("nearer than", farther),
            )
            if names
        ]  # fmt: skip
        return f"{self._lies}: {', '.join(between)}." if between else f"{self._lies}."

    @property
    def _lies(self) -> str:
        value, low, high = self._of_target.distance.medians["kl"]
        return f"{self.target} lies {value:.3f} [{low:.3f}, {high:.3f}] from the source"

    @property
    def _of_target(self) -> Placed:
        return next(s for s in self.sets if s.name == self.target)

    def _around(self) -> tuple[list[str], list[str], list[str]]:
        """The sets that lie nearer than the target, as far (as it reads), and farther; near to far."""
        own = round(self._of_target.kl, 3)
        others = [s for s in self.sets if s.name != self.target]
        return (
            [s.name for s in others if round(s.kl, 3) < own],
            [s.name for s in others if round(s.kl, 3) == own],
            [s.name for s in others if round(s.kl, 3) > own],
        )

    @property
    def verdict(self) -> str:
        """Whether the distance predicts what transfer gave, as a sentence."""
        found = self.by_errors
        if found.n < 3:
            return (
                f"Whether it predicts transfer needs three labelled sets; there "
                f"{'is' if found.n == 1 else 'are'} {found.n}."
            )
        if found.kendall is None:
            return "The labelled sets are all alike, so it predicts nothing about them."
        direction = "hardly agrees with"
        if found.kendall <= -0.5:
            direction = "agrees with"
        elif found.kendall > -0.2:
            direction = "fails to predict"
        sure = "too few sets" if too_few(found.n) else "not significant"
        return (
            f"Over {found.n} labelled sets the distance {direction} what transfer gave (Kendall "
            f"{found.kendall:.2f}, −1 would be perfect){'' if found.is_telling else f': {sure}'}."
        ).replace("Kendall -", "Kendall −")

    @property
    def sentence(self) -> str:
        """The answer."""
        nearer, equal, farther = self._around()
        between = [
            *(f"farther than {name}" for name in nearer[-1:]),
            *(f"as far as {name}" for name in equal[:1]),
            *(f"nearer than {name}" for name in farther[:1]),
        ]
        if not between:
            return f"{self._lies}."
        return headline(f"{self._lies}, {listed(between)}.", f"{self._lies}.")

    @property
    def detail(self) -> str:
        """All that lie nearer and farther, and whether the distance predicts transfer."""
        return f"{self.place} {self.verdict}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "target": self.target,
            "sets": [s.to_dict() for s in self.sets],
            "by_errors": self.by_errors.to_dict(),
            "by_chance": self.by_chance.to_dict(),
            "place": self.place,
            "verdict": self.verdict,
            "caution": too_few(self.by_errors.n) if self.by_errors.n else "",
            "sentence": self.sentence,
            "detail": self.detail,
        }


def place(
    backbone: Backbone,
    target: ImageSet,
    references: Sequence[ImageSet],
    *,
    n_images: int = N_IMAGES,
    size_px: int | None = None,
    seed: int = 0,
    device: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Likeness:
    """Measure the distance of every set, and what transfer gave on those with labels.

    Parameters
    ----------
    backbone : Backbone
    target : ImageSet
    references : sequence of ImageSet
    n_images : int, default 200
        Images of each set, at most.
    size_px : int, optional
        Side of the crops; default the backbone's own.
    seed : int
    device, cache, progress
        As for :func:`headstart.features.extract`.

    Returns
    -------
    Likeness

    Raises
    ------
    InputError
        The backbone has no BatchNorm.
    """
    from headstart.backbones import at_size

    source_statistics(backbone)  # before any image is read
    net = at_size(backbone, size_px or backbone.preprocessing.size_px)
    placed = []
    for images in (target, *references):
        batches = _batches(net, images, n_images, progress)
        distance = measure_distance(net, batches, seed=seed)
        gain = None
        if images.indexed is not None:
            gain = _gain(net, images.indexed, seed, device, cache, progress)
        placed.append(Placed(name=images.name, note=images.note, distance=distance, gain=gain))
    placed.sort(key=lambda s: s.kl)
    known = [(s.kl, s.gain) for s in placed if s.gain is not None]
    distances = [kl for kl, _ in known]
    return Likeness(
        target=target.name,
        sets=tuple(placed),
        by_errors=rank_correlation(distances, [g.errors_removed for _, g in known]),
        by_chance=rank_correlation(distances, [g.above_chance for _, g in known]),
    )


def _batches(
    net: Backbone, images: ImageSet, n_images: int, progress: Progress
) -> Iterator[Tensor]:
    from headstart.backbones import normalise

    crops = images.crops(net.preprocessing, n_images)
    device = next(net.module.parameters()).device
    n_done = 0
    while lot := list(islice(crops, BATCH)):
        yield normalise(torch.from_numpy(np.stack(lot)), net.preprocessing).to(device)
        n_done += len(lot)
        progress(f"distance {images.name}", n_done, max(n_images, n_done))
    progress(f"distance {images.name}", n_done, n_done)


def _gain(
    net: Backbone,
    indexed: Index,
    seed: int,
    device: str | None,
    cache: Path | None,
    progress: Progress,
) -> Gain:
    """Frozen features against pixels, on the same images and folds."""
    import random

    from headstart.data import training_records
    from headstart.features import extract
    from headstart.finetune.network import features_tap

    records = list(training_records(indexed))
    if len(records) > MAX_LABELLED:
        records = random.Random(seed).sample(records, MAX_LABELLED)
    size = net.preprocessing.size_px
    done = extract(records, net, resolutions=[size], device=device, cache=cache, progress=progress)
    records = [r for r in records if r.digest not in done.unreadable]
    y = np.array([r.label for r in records])
    require_two_each(y)
    folds = training_folds(indexed, records, seed=seed)
    X = done.stores[size].read([r.digest for r in records], features_tap(net).name)
    pixels = pixel_rows([r.path for r in records], PIXELS_PX, net.preprocessing)
    counts = np.unique(y, return_counts=True)[1]
    return Gain(
        n_images=len(records),
        n_classes=len(counts),
        features=judge(X, y, folds).accuracy,
        pixels=judge(pixels, y, folds).accuracy,
        chance=float(counts.max() / counts.sum()),
    )
