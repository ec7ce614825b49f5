"""Sets of texts, compared with the user's by the features of a sentence encoder.

The source of an encoder leaves no statistics in it, so there is no distance to the source. What can be
measured is which sets of texts lie near, and what the encoder gave on those.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.data.texts import TextIndex, index_texts, make_record
from headstart.data.training import training_records
from headstart.errors import DataError, InputError, argument, one_line
from headstart.experiments.correlation import RankCorrelation, rank_correlation
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.features import Block, labels_of
from headstart.experiments.similarity.distance import (
    Chance,
    Source,
    distance_by_chance,
    distance_from,
)
from headstart.experiments.similarity.measure import (
    MAX_LABELLED,
    distinct_name,
    gain_or_reason,
    gain_over,
    is_given,
    naming_set,
)
from headstart.experiments.similarity.references import labelled_sample, parse_reference, sketch
from headstart.experiments.similarity.result import (
    Gain,
    Placed,
    SimilarityResult,
    TextPoint,
    TextPoints,
)
from headstart.experiments.similarity.settings import Settings
from headstart.experiments.texts import TextBlockReader, find_candidate, require_encoder
from headstart.probe import training_folds
from headstart.probe.folds import require_two_each
from headstart.sources.text import BOTH, layer_blocks
from headstart.wording import counted

if TYPE_CHECKING:
    from headstart.data.texts import TextRecord
    from headstart.text.encoders import Encoder

Array = NDArray[np.float64]

POINTS_FILE = "reference_texts.json"
# Of fewer, means and variances are mostly chance.
MIN_TEXTS = 10
# Added to variances of features whose mean square is 1.
EPS = 1e-5


@dataclass(frozen=True, kw_only=True)
class TextSet:
    """Texts of one kind."""

    name: str
    note: str
    records: tuple[TextRecord, ...]
    indexed: TextIndex | None = None  # where they carry labels of two classes or more


def measure_texts(s: Settings, inputs: Inputs) -> SimilarityResult:
    """Measure how far every reference lies from the texts, and what the encoder gives on each.

    Raises InputError where there is no sentence encoder, no reference or too few texts, or two sets have
    the same name.
    """
    asked = [parse_reference(text) for text in s.reference]
    index = inputs.text_index()
    source = inputs.text_source(())
    encoder = require_encoder(source, "a comparison of texts")
    target = indexed_texts(index.root.name, index)
    references = [read_reference(name, path, s, inputs) for name, path in asked]
    taken = {target.name, *(r.name for r in references)}
    if len(taken) <= len(references):
        names = ", ".join([target.name, *(r.name for r in references)])
        raise InputError(f"every set needs a name of its own, the data's included; got {names}")
    given = [index, *(r.indexed for r in references if r.indexed is not None)]
    points = points_for(encoder) if s.made else None
    same = tuple(p.name for p in points.sets if is_given(p.sketch, given)) if points else ()
    built_in = [p for p in points.sets if p.name not in same] if points else []
    if not (references or built_in):
        reason = f"{argument('made', False)} leaves the built-in references out"
        if s.made:
            reason = f"the built-in references are for the encoder {shipped_texts().encoder}"
        raise InputError(
            f"there is nothing to compare {one_line(index.root.name)} with: {reason}. Give texts with "
            f"{argument('reference', 'NAME=TABLE')}"
        )
    sums = _sums(layer_rows(target, s.n_images, s.seed, encoder, inputs))
    n = len(next(iter(sums.values()))[0])

    @functools.cache
    def chance(n_texts: int) -> Chance:
        return distance_by_chance(sums, n_texts, eps=EPS, seed=s.seed)

    with naming_set(target.name):
        own_gain = gain_of(target, s.seed, inputs)
    note = f"{target.note}; the distance is that of two sets of {n}, drawn from them at random"
    placed = [
        Placed(
            name=target.name,
            note=note,
            distance=chance(n).distance,
            gain=own_gain,
            chance=chance(n).most,
        )
    ]
    for each in references:
        rows = layer_rows(each, s.n_images, s.seed, encoder, inputs)
        n_texts = len(next(iter(rows.values())))
        distance = distance_from(sources_of(rows), sums, reference=_sums(rows), seed=s.seed)
        gain, note = gain_or_reason(each.note, partial(gain_of, each, s.seed, inputs))
        placed.append(
            Placed(
                name=each.name,
                note=note,
                distance=distance,
                gain=gain,
                chance=chance(n_texts).most,
            )
        )
    for point in built_in:
        sources = decode(point, encoder.own_taps)
        placed.append(
            Placed(
                name=distinct_name(point.name, taken),
                note=point.note,
                distance=distance_from(sources, sums, seed=s.seed),
                gain=point.gain,
                chance=chance(point.n_texts).most,
            )
        )
    placed.sort(key=lambda p: p.kl)
    by_errors, by_chance, by_neighbours = correlations(placed, target.name)
    return SimilarityResult(
        settings=s,
        datasets=(DataFacts.of(index),),
        data=index.root.name,
        backbone=source.encoder or "",
        size_px=None,
        target=target.name,
        sets=tuple(placed),
        by_errors=by_errors,
        by_chance=by_chance,
        by_neighbours=by_neighbours,
        shipped=points.version if points is not None else "",
        same=same,
    )


@functools.cache
def shipped_texts() -> TextPoints:
    """The reference points of the package; ``bench/reference_texts.py`` makes them."""
    text = files("headstart.experiments.similarity").joinpath(POINTS_FILE).read_bytes()
    return msgspec.json.decode(text, type=TextPoints)


def points_for(encoder: Encoder) -> TextPoints | None:
    """The reference points, where they were measured with this encoder; else None."""
    points = shipped_texts()
    return points if points.digest == encoder.digest else None


def indexed_texts(name: str, index: TextIndex, note: str = "") -> TextSet:
    """The training texts of an index; test texts have no part in it, as for every choice."""
    records = training_records(index)
    return TextSet(
        name=name,
        note=note or counted(len(records), "text"),
        records=records,
        indexed=index if len({r.label for r in records}) > 1 else None,
    )


def read_reference(name: str, path: str, s: Settings, inputs: Inputs) -> TextSet:
    """A set with labels where the table has a column of them, else without.

    Raises DataError where there are no texts.
    """
    from headstart.data.tables import find_column
    from headstart.data.texttables import TEXT_NAMES, read_texts
    from headstart.home import expand

    where = expand(path)
    header = read_texts(where).header if where.is_file() else ()
    text, label = (column if column in header else None for column in (s.text, s.label))
    try:
        index = index_texts(
            path, text_column=text, label_column=label, seed=s.seed, cache=inputs.cache
        )
        return indexed_texts(name, index)
    except DataError as error:
        if not header:
            raise
        reason = str(error)
    table = read_texts(where)
    at = find_column(table, text, TEXT_NAMES, "text", argument("text"))
    cells = zip(table.column(at), table.places, strict=True)
    records = tuple(make_record(cell, "", place) for cell, place in cells if cell)
    return TextSet(
        name=name,
        note=f"{counted(len(records), 'text')}, without labels ({one_line(reason, limit=200)})",
        records=records,
    )


def layer_rows(
    texts: TextSet, n: int, seed: int, encoder: Encoder, inputs: Inputs
) -> dict[str, Array]:
    """Features (n, d) of some of the texts by layer, of mean square 1.

    Raises InputError where there are too few texts.
    """
    if min(n, len(texts.records)) < MIN_TEXTS:
        has = counted(len(texts.records), "training text")
        taken = f"{one_line(texts.name)} has {has}"
        if n < len(texts.records):
            taken += f", of which {argument('n_images', n)} takes {n}"
        raise InputError(f"a distance needs {MIN_TEXTS} texts or more of each set; {taken}")
    found = random.Random(seed).sample(list(texts.records), min(n, len(texts.records)))
    source = inputs.text_source(found)
    rows = {}
    for tap in encoder.own_taps:
        X = np.asarray(source.rows(layer_blocks(tap), found), dtype=np.float64)
        norms = np.linalg.norm(X, axis=1, keepdims=True)
        rows[tap] = X * (np.sqrt(X.shape[1]) / np.maximum(norms, np.finfo(float).tiny))
    return rows


def sources_of(rows: dict[str, Array]) -> tuple[Source, ...]:
    """Mean and variance of each feature of each layer."""
    return tuple(
        Source(layer=tap, mean=X.mean(axis=0), var=X.var(axis=0), eps=EPS)
        for tap, X in rows.items()
    )


def _sums(rows: dict[str, Array]) -> dict[str, tuple[Array, Array]]:
    return {tap: (X, X**2) for tap, X in rows.items()}


def gain_of(texts: TextSet, seed: int, inputs: Inputs) -> Gain | None:
    """TF-IDF beside the encoder against TF-IDF alone, on the same texts and folds.

    Raises DataError where the labels cannot be cross-validated.
    """
    if texts.indexed is None:
        return None
    records = labelled_sample(training_records(texts.indexed), MAX_LABELLED, seed)
    require_two_each(labels_of(records))
    folds = training_folds(texts.indexed, records, seed=seed)
    source = inputs.text_source(records)
    usual = find_candidate(source, None)
    alone, beside = (Block(tap=blocks.taps[0], view="") for blocks in (BOTH, usual))
    reader = TextBlockReader(source=source, blocks={alone: BOTH, beside: usual})
    return gain_over(reader.read(alone, records), reader.read(beside, records), records, folds)


def correlations(placed: Sequence[Placed], target: str) -> tuple[RankCorrelation, ...]:
    """Of the distance with differences of gains; of the quick score with the errors on other texts."""
    own = next(p.gain for p in placed if p.name == target)
    known = [(p.kl, p.gain) for p in placed if p.gain is not None and p.name != target]
    quick = [
        (g.neighbours_removed, g.others_removed)
        for _, g in [*known, (0.0, own)]
        if g is not None and g.others_removed is not None
    ]
    distances = [kl for kl, _ in known] if own is not None else []
    removed, above = (
        [abs(getattr(g, name) - getattr(own, name)) for _, g in known] if own is not None else []
        for name in ("errors_removed", "above_chance")
    )
    return (
        rank_correlation(distances, removed),
        rank_correlation(distances, above),
        rank_correlation([score for score, _ in quick], [others for _, others in quick]),
    )


def encode_point(texts: TextSet, n: int, seed: int, encoder: Encoder, inputs: Inputs) -> TextPoint:
    """What ships of a set: no text, only two numbers a feature and what transfer gave."""
    sources = sources_of(layer_rows(texts, n, seed, encoder, inputs))
    values = np.stack([np.stack([s.mean, s.var]) for s in sources]).astype("<f2")
    index = texts.indexed
    return TextPoint(
        name=texts.name,
        note=texts.note,
        n_texts=min(n, len(texts.records)),
        statistics=values.tobytes(),
        sketch=sketch(index) if index is not None else (),
        gain=gain_of(texts, seed, inputs),
    )


def decode(point: TextPoint, taps: Sequence[str]) -> tuple[Source, ...]:
    """The statistics of a shipped set."""
    values = np.frombuffer(point.statistics, dtype="<f2").astype(np.float64)
    layers = values.reshape(len(taps), 2, -1)
    return tuple(
        Source(layer=tap, mean=mean, var=var, eps=EPS)
        for tap, (mean, var) in zip(taps, layers, strict=True)
    )
