"""Data sets on the scale of distances to the source, and whether the scale predicts transfer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.data.groups import groups_of
from headstart.data.records import Example, Examples
from headstart.errors import DataError, InputError, one_line
from headstart.experiments.correlation import RankCorrelation, rank_correlation
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.features import labels_of
from headstart.experiments.scores.scores import neighbours_correct
from headstart.experiments.similarity.distance import measure_distance, source_statistics
from headstart.experiments.similarity.references import (
    N_IMAGES,
    ImageSet,
    holds,
    indexed_set,
    labelled_sample,
    made_sets,
    parse_reference,
    pixel_rows,
    points_for,
    read_reference,
    sketch,
)
from headstart.experiments.similarity.result import Gain, Placed, SimilarityResult
from headstart.experiments.similarity.settings import Settings
from headstart.heads import accuracy_interval
from headstart.probe import judge, training_folds
from headstart.probe.folds import require_two_each
from headstart.progress import Progress, Whole, silent

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index

BATCH = 16
PIXELS_PX = 32
# In passes of an image through the converted network: one through that of torch, which notes what each
# BatchNorm is given, and the classifiers on an image's features and pixels.
NOTING_COST, CLASSIFIERS_COST = 3.0, 0.5
MAX_LABELLED = 500
# Images that the quick score has not seen, fewer than which say nothing of it.
MIN_OTHERS = 50


def measure(s: Settings, inputs: Inputs) -> SimilarityResult:
    """Measure the distance of the data and of every reference.

    Raises InputError where the backbone has no BatchNorm, or two sets have the same name.
    """
    if inputs.is_text:
        from headstart.experiments.similarity.texts import measure_texts

        return measure_texts(s, inputs)
    from headstart.features import cache_folder

    asked = [parse_reference(text) for text in s.reference]
    net, cache = inputs.backbone(), inputs.cache or cache_folder()
    source_statistics(net)  # before images are read
    index = inputs.index(split=s.split)
    target = indexed_set(index.root.name, index, seed=s.seed)
    references = [
        read_reference(name, path, cache=cache, seed=s.seed, progress=inputs.progress)
        for name, path in asked
    ]
    size_px = s.size_px or net.preprocessing.size_px
    points = points_for(net, size_px, s.n_images) if s.made else None
    taken = {target.name, *(r.name for r in references)}
    given = [index, *(r.indexed for r in references if r.indexed is not None)]
    made = made_sets(cache=cache, seed=s.seed) if s.made else []
    sketches = dict(points.sketches) if points is not None else {}
    # Of what is written here, the bytes are those of this machine's encoder.
    sketches |= {m.name: sketch(m.indexed) for m in made if m.indexed is not None}
    same = [name for name, known in sketches.items() if is_given(known, given)]
    if points is None:
        references += [
            dataclasses.replace(m, name=distinct_name(m.name, taken))
            for m in made
            if m.name not in same
        ]
    names = [target.name, *(r.name for r in references)]
    if len(set(names)) < len(names):
        raise InputError(
            f"every set needs a name of its own, the data's included; got {', '.join(names)}"
        )
    placed = place(
        net,
        target,
        references,
        n_images=s.n_images,
        size_px=s.size_px,
        seed=s.seed,
        device=s.device,
        cache=cache,
        progress=inputs.progress,
    )
    if points is not None:
        known = [
            msgspec.structs.replace(p, name=distinct_name(p.name, taken))
            for p in points.sets
            if p.name not in same
        ]
        placed = tuple(sorted([*placed, *known], key=lambda p: p.kl))
    by_errors, by_chance, by_neighbours = correlations(placed)
    return SimilarityResult(
        settings=s,
        datasets=(DataFacts.of(index),),
        data=index.root.name,
        backbone=net.name,
        size_px=size_px,
        target=target.name,
        sets=placed,
        by_errors=by_errors,
        by_chance=by_chance,
        by_neighbours=by_neighbours,
        shipped=points.version if points is not None else "",
        same=tuple(same),
    )


def is_given(known: Collection[str], given: Sequence[Examples[Any]]) -> bool:
    """Whether the examples of a sketch are among those given."""
    return any(holds(images, known) for images in given)


def distinct_name(name: str, taken: Container[str]) -> str:
    """The name of a built-in set, which is never that of one of the user's."""
    return f"{name} (built in)" if name in taken else name


def correlations(placed: Sequence[Placed]) -> tuple[RankCorrelation, ...]:
    """Of the distance with errors removed and accuracy above chance; of the quick score with errors.

    The last are those of other images than the quick score has seen.
    """
    known = [(p.kl, p.gain) for p in placed if p.gain is not None]
    quick = [
        (g.neighbours_removed, g.others_removed) for _, g in known if g.others_removed is not None
    ]
    distances = [kl for kl, _ in known]
    removed = [g.errors_removed for _, g in known]
    return (
        rank_correlation(distances, removed),
        rank_correlation(distances, [g.above_chance for _, g in known]),
        rank_correlation([score for score, _ in quick], [others for _, others in quick]),
    )


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
) -> tuple[Placed, ...]:
    """Measure the distance of every set, and what transfer gave on those with labels.

    Raises InputError where the backbone has no BatchNorm. The nearest to the source comes first.

    `n_images`: images of each set, at most. `size_px`: side of the crops; default the backbone's
    own. `device`, `cache`, `progress`: as for :func:`headstart.features.extract`.
    """
    from headstart.backbones import at_size

    source_statistics(backbone)  # before any image is read
    net = at_size(backbone, size_px or backbone.preprocessing.size_px)
    placed, sets = [], (target, *references)
    whole = Whole(progress, "compare sets", _costs(net, sets, n_images, seed, cache))
    for images in sets:
        parts = [f"{part} {images.name}" for part in ("distance", "features", "classifiers")]
        batches = _batches(net, images, n_images, whole.part(parts[0]))
        distance = measure_distance(net, batches, seed=seed)
        whole.end(parts[0])
        gain, note = None, images.note
        if images.indexed is not None:
            tell = _about(images.name, whole.part(parts[1]))
            measure = partial(_gain, net, images.indexed, seed, device, cache, tell)
            if images is target:
                with naming_set(target.name):
                    gain = measure()
            else:
                gain, note = gain_or_reason(note, measure)
        whole.end(*parts)
        placed.append(Placed(name=images.name, note=note, distance=distance, gain=gain))
    placed.sort(key=lambda s: s.kl)
    return tuple(placed)


@contextmanager
def naming_set(name: str) -> Iterator[None]:
    """Name the user's set where its labels cannot be cross-validated, in a DataError."""
    try:
        yield
    except (DataError, ValueError) as error:
        raise DataError(f"{one_line(name)}: {error}") from error


def gain_or_reason(note: str, measure: Callable[[], Gain | None]) -> tuple[Gain | None, str]:
    """What transfer gave on a reference, and its note; None where its labels cannot be cross-validated."""
    try:
        return measure(), note
    except (DataError, ValueError) as error:
        return None, f"{note}, labels not used ({one_line(str(error), limit=200)})"


def _batches(
    net: Backbone, images: ImageSet, n_images: int, progress: Progress
) -> Iterator[Tensor]:
    from headstart.backbones import normalise

    crops = images.crops(net.preprocessing, n_images)
    device = next(net.module.parameters()).device
    n_done, n_images = 0, _count(images, n_images)
    while lot := list(islice(crops, BATCH)):
        yield normalise(torch.from_numpy(np.stack(lot)), net.preprocessing).to(device)
        n_done += len(lot)
        progress(f"distance {images.name}", n_done, max(n_images, n_done))
    progress(f"distance {images.name}", n_done, n_done)


def _about(name: str, progress: Progress) -> Progress:
    """The stages of a set, with its name."""
    return lambda stage, done, total: progress(f"{stage}, {name}", done, total)


def _count(images: ImageSet, n_images: int) -> int:
    """How many images of a set the distance takes; at most, where they are not indexed."""
    if images.indexed is None:
        return n_images
    from headstart.data import training_records

    return min(n_images, len(training_records(images.indexed)))


def _costs(
    net: Backbone, sets: Sequence[ImageSet], n_images: int, seed: int, cache: Path | None
) -> dict[str, float]:
    """What each part is expected to cost, in passes of an image through the converted network."""
    from headstart.data import training_records
    from headstart.features.extraction import count_missing

    costs: dict[str, float] = {}
    for images in sets:
        costs[f"distance {images.name}"] = NOTING_COST * _count(images, n_images)
        if images.indexed is not None:
            records = labelled_sample(training_records(images.indexed), MAX_LABELLED, seed)
            costs[f"features {images.name}"] = count_missing(records, net, cache=cache)
            costs[f"classifiers {images.name}"] = CLASSIFIERS_COST * len(records)
    return costs


def _gain(
    net: Backbone,
    indexed: Index,
    seed: int,
    device: str | None,
    cache: Path | None,
    progress: Progress,
) -> Gain:
    """Frozen features against pixels, on the same images and folds."""
    from headstart.data import training_records
    from headstart.features import extract
    from headstart.training.network import features_tap

    records = labelled_sample(training_records(indexed), MAX_LABELLED, seed)
    size = net.preprocessing.size_px
    done = extract(records, net, resolutions=[size], device=device, cache=cache, progress=progress)
    records = [r for r in records if r.digest not in done.unreadable]
    require_two_each(labels_of(records))
    folds = training_folds(indexed, records, seed=seed)
    X = done.stores[size].read([r.digest for r in records], features_tap(net).name)
    pixels = pixel_rows([r.path for r in records], PIXELS_PX, net.preprocessing)
    return gain_over(pixels, X, records, folds)


def gain_over(baseline: Any, X: Any, records: Sequence[Example], folds: NDArray[np.int64]) -> Gain:
    """What features gave beyond a baseline's, on the same examples and folds; rows may be sparse."""
    y = labels_of(records)
    counts = np.unique(y, return_counts=True)[1]
    few = slice(N_IMAGES)  # of all classes alike, as the sample is drawn
    groups = groups_of(records)
    among = groups and groups[few]
    by_features, by_baseline = judge(X, y, folds), judge(baseline, y, folds)
    others = None
    if len(y) >= N_IMAGES + MIN_OTHERS:
        rest = slice(N_IMAGES, None)
        others = (
            accuracy_interval(by_features.correct[rest], groups=groups and groups[rest]),
            accuracy_interval(by_baseline.correct[rest], groups=groups and groups[rest]),
        )
    quick = (
        accuracy_interval(neighbours_correct(_dense(rows[few]), y[few], folds[few]), groups=among)
        for rows in (X, baseline)
    )
    return Gain.of(
        accuracy_interval(by_features.correct, groups=groups),
        accuracy_interval(by_baseline.correct, groups=groups),
        neighbours=next(quick),
        neighbours_pixels=next(quick),
        chance=float(counts.max() / counts.sum()),
        n_images=len(records),
        n_neighbour_images=len(y[few]),
        n_classes=len(counts),
        others=others,
    )


def _dense(rows: Any) -> NDArray[np.float32]:
    """Few rows as an array; of sparse ones, without columns that are zero in all of them."""
    if not hasattr(rows, "nnz"):
        return np.asarray(rows)
    used = np.unique(rows.indices)
    return np.asarray(rows[:, used].toarray())
