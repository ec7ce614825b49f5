"""Accuracy in parts of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.data import read_rgb
from headstart.data.appearance import appearance
from headstart.data.groups import groups_by_pattern
from headstart.errors import DataError, HeadstartError, argument
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.onrun import training_images
from headstart.experiments.slices.result import SlicesResult
from headstart.experiments.slices.settings import Settings
from headstart.features import cache_folder
from headstart.heads import accuracy_interval
from headstart.probe import judge, judgeable, training_folds
from headstart.reliability.asking import clusters_of, reduce
from headstart.reliability.slices import FEWEST, in_thirds, judge_parts
from headstart.runs.checks import divisions_of
from headstart.runs.metrics import groups_of
from headstart.runs.retrieval import index_of

if TYPE_CHECKING:
    from headstart.data import Record
    from headstart.runs.retrieval import TrainingImages

SHARPNESS_PX = 256


def measure(s: Settings, inputs: Inputs) -> SlicesResult:
    """Judge every image by a classifier that has not seen it, then divide.

    Raises
    ------
    InputError, DataError
        There is no such column, or the pattern does not match.
    RunError
        As :func:`headstart.experiments.onrun.training_images`.
    """
    images = training_images(s, inputs)
    kept, correct = _judged(images, inputs)
    records = [[*images.records, *images.held_out][i] for i in kept]
    divisions: dict[str, Sequence[str]] = {}
    if s.slice is not None or s.slice_by is not None:
        divisions[s.slice or "name"] = _values(s, images, inputs, records)
    divisions |= divisions_of(appearance(records, inputs.cache or cache_folder()))
    divisions["sharpness"] = in_thirds(
        [_sharpness(r, i, len(records), inputs) for i, r in enumerate(records)],
        ("blurred", "medium", "sharp"),
    )
    if s.clusters > 1:
        divisions["cluster"] = _clusters(images.X[kept], records, s.clusters)
    asked = Counter(divisions.get(s.slice or "name", ()))
    parts = judge_parts(correct, divisions, groups=groups_of(records))
    return SlicesResult(
        settings=s,
        datasets=(DataFacts.of(images.index),),
        n_train=sum(r.split != "test" for r in records),
        n_test=sum(r.split == "test" for r in records),
        accuracy=accuracy_interval(correct, groups=groups_of(records)),
        parts=tuple(parts),
        too_small=tuple(v for v, n in asked.items() if v and n < FEWEST),
    )  # fmt: skip


def _judged(images: TrainingImages, inputs: Inputs) -> tuple[list[int], NDArray[np.bool_]]:
    """Rows that could be judged, and whether each was classified correctly."""
    train, n = images.records, len(images.records)
    y = np.array([r.label for r in train])
    settings = images.run.settings["settings"]
    folds = training_folds(
        images.index, train, n_folds=settings.get("n_folds", 5), seed=settings["seed"]
    )
    can = judgeable(y, folds)
    C = images.run.metrics.chosen.C or 1.0
    inputs.progress("cross-validate", 0, 1)
    right = judge(images.X[:n], y, folds, Cs=[C]).correct
    inputs.progress("cross-validate", 1, 1)
    right = right if len(right) == n else _spread(right, can)
    said = {p.name: p.predicted == p.label for p in images.run.test_predictions()}
    tested = [i for i, r in enumerate(images.held_out) if r.name in said]
    rows = [*np.flatnonzero(can).tolist(), *(n + i for i in tested)]
    hits = [*right[can].tolist(), *(said[images.held_out[i].name] for i in tested)]
    if not rows:
        raise DataError(
            "no image of the run can be judged: it needs two of a class, or test images"
        )
    return rows, np.array(hits, dtype=bool)


def _spread(right: NDArray[np.bool_], can: NDArray[np.bool_]) -> NDArray[np.bool_]:
    found = np.zeros(len(can), dtype=bool)
    found[can] = right
    return found


def _values(
    s: Settings, images: TrainingImages, inputs: Inputs, records: Sequence[Record]
) -> list[str]:
    """The value of the column, or of the pattern, of each image."""
    try:
        if s.slice_by is not None:
            return groups_by_pattern([r.name for r in records], s.slice_by)
        found = index_of(
            images.run, s.data, inputs.cache, inputs.progress, split=s.split, group_column=s.slice
        )
    except HeadstartError as error:
        text = str(error).replace(argument("group_column"), argument("slice"))
        raise type(error)(text.replace(argument("group_by"), argument("slice_by"))) from None
    of = {r.name: r.group for r in found.records}
    return [of.get(r.name, "") for r in records]


def _sharpness(record: Record, i: int, n: int, inputs: Inputs) -> float:
    """Spread of the second differences of brightness; 0 where the file has gone."""
    if i % 32 == 0 or i == n - 1:
        inputs.progress("sharpness", i + 1, n)
    try:
        image = read_rgb(record.path, at_least=SHARPNESS_PX).convert("L")
    except DataError:
        return 0.0
    image.thumbnail((SHARPNESS_PX, SHARPNESS_PX))
    v = np.asarray(image, dtype=np.float32)
    if min(v.shape) < 3:
        return 0.0
    second = 4 * v[1:-1, 1:-1] - v[:-2, 1:-1] - v[2:, 1:-1] - v[1:-1, :-2] - v[1:-1, 2:]
    return float(np.log1p(second.std()))


def _clusters(X: Any, records: Sequence[Record], k: int) -> list[str]:
    """Pictures that look alike, by the name of the one in the middle."""
    Z = reduce(X)
    own = clusters_of(Z, min(k, max(1, len(Z) // 10)), np.random.default_rng(0))
    names = {}
    for c in np.unique(own):
        inside = np.flatnonzero(own == c)
        middle = Z[inside].mean(axis=0)
        names[c] = f"like {records[inside[((Z[inside] - middle) ** 2).sum(axis=1).argmin()]].name}"
    return [names[c] for c in own]
