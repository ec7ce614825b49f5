"""Accuracy in parts of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.data import is_packed, read_rgb
from headstart.data.annotations import annotated_cells
from headstart.data.appearance import appearance
from headstart.data.groups import groups_by_pattern, groups_of
from headstart.data.sources import shown
from headstart.data.tables import TABLE_SUFFIXES, cells_by_name
from headstart.errors import DataError, HeadstartError, InputError, argument
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.onrun import training_images, unseen_predictions, who_judged
from headstart.experiments.slices.result import SlicesResult
from headstart.experiments.slices.settings import Settings
from headstart.features import cache_folder
from headstart.heads import accuracy_interval
from headstart.home import expand
from headstart.reliability.asking import clusters_of, reduce
from headstart.reliability.slices import FEWEST, in_thirds, judge_parts
from headstart.runs.checks import divisions_of
from headstart.runs.origin import require_origin
from headstart.runs.settings import FitSettings

if TYPE_CHECKING:
    from headstart.data import Record
    from headstart.runs.retrieval import TrainingImages
    from headstart.runs.run import Run

SHARPNESS_PX = 256
# The value of an image whose cell is empty.
EMPTY = "(empty)"


def measure(s: Settings, inputs: Inputs) -> SlicesResult:
    """Judge every image by a classifier that has not seen it, then divide.

    Raises InputError or DataError where there is no such column, or the pattern does not match;
    RunError as :func:`headstart.experiments.onrun.training_images`.
    """
    images = training_images(s, inputs)
    kept, correct = _judged(images, inputs)
    records = [[*images.records, *images.held_out][i] for i in kept]
    values = _values(s, images, records)
    measured: dict[str, Sequence[str]] = {}
    measured |= divisions_of(appearance(records, inputs.cache or cache_folder()))
    measured["sharpness"] = in_thirds(
        [_sharpness(r, i, len(records), inputs) for i, r in enumerate(records)],
        ("blurred", "medium", "sharp"),
    )
    if s.clusters > 1:
        measured["cluster"] = _clusters(images.X[kept], records, s.clusters)
    parts = judge_parts(correct, _told_apart(values, measured), groups=groups_of(records))
    asked = Counter(v for every in values.values() for v in every)
    return SlicesResult(
        settings=s,
        datasets=(DataFacts.of(images.index),),
        n_train=sum(r.split != "test" for r in records),
        n_test=sum(r.split == "test" for r in records),
        accuracy=accuracy_interval(correct, groups=groups_of(records)),
        parts=tuple(parts),
        too_small=tuple(v for v, n in asked.items() if n < FEWEST),
        judged_by=who_judged(images.run),
    )


def _judged(images: TrainingImages, inputs: Inputs) -> tuple[list[int], NDArray[np.bool_]]:
    """Rows that could be judged, and whether each was classified correctly."""
    said = unseen_predictions(images, inputs.progress)
    records = [*images.records, *images.held_out]
    rows = [i for i, r in enumerate(records) if r.name in said]
    if not rows:
        raise DataError(
            "no image of the run can be judged: it needs two of a class, or test images"
        )
    return rows, np.array([said[records[i].name] == records[i].label for i in rows])


def _values(
    s: Settings, images: TrainingImages, records: Sequence[Record]
) -> dict[str, Sequence[str]]:
    """The value of the column, or of the pattern, of each image; nothing where none was asked for."""
    try:
        if s.slice_by is not None:
            found = groups_by_pattern([r.name for r in records], s.slice_by)
        elif s.slice is not None:
            found = _cells(s.slice, images.run, s, records)
        else:
            return {}
    except HeadstartError as error:
        text = str(error).replace(argument("group_column"), argument("slice"))
        raise type(error)(text.replace(argument("group_by"), argument("slice_by"))) from None
    return {s.slice or "name": [value or EMPTY for value in found]}


def _cells(column: str, run: Run, s: Settings, records: Sequence[Record]) -> list[str]:
    """The cells of a column of the run's table or annotations; the run's split and groups stay as they are."""
    data, settings = require_origin(run, data=s.data, split=s.split).data or "", run.settings
    where = expand(data)
    assert isinstance(settings, FitSettings)
    of, image_column = None, settings.image_column
    if not is_packed(data):
        if where.is_file() and where.suffix.lower() in TABLE_SUFFIXES:
            of = cells_by_name(where, column, image_column=image_column)
        elif where.is_file() or settings.classes_from == "auto":
            of = annotated_cells(where.resolve(), column, image_column=image_column)
    if of is None:
        raise InputError(
            f"{argument('slice')} {column!r} names a column of a table of paths or of annotations, and "
            f"{shown(data)} is neither: give {argument('slice_by')}, a pattern over the names"
        )
    return [of.get(r.name, "") for r in records]


def _told_apart(
    asked: dict[str, Sequence[str]], measured: dict[str, Sequence[str]]
) -> dict[str, Sequence[str]]:
    """All divisions; what is measured gives way to a column of the same name."""
    taken = {name.strip().casefold() for name in asked}
    return asked | {
        f"{name} (measured)" if name in taken else name: values for name, values in measured.items()
    }


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
