"""Transferability scores of backbones or layers, and the measured accuracy of the same features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.experiments.correlation import rank_correlation
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.scores.result import (
    N_DIGITS,
    SCORES,
    Agreement,
    Candidate,
    ScoresResult,
)
from headstart.experiments.scores.scores import (
    h_score,
    leep,
    logme,
    nce,
    neighbour_accuracy,
    shrunk_h_score,
)
from headstart.experiments.scores.settings import Settings
from headstart.probe import judge, training_folds
from headstart.probe.folds import require_two_each
from headstart.progress import Progress

if TYPE_CHECKING:
    from headstart.backbones import Backbone, Tap
    from headstart.data import Record
    from headstart.features import FeatureStore


def measure(s: Settings, inputs: Inputs) -> ScoresResult:
    """Score every candidate on the training images, and measure how good its features are.

    A candidate is the last layer of a backbone, or each of its layers; of the same weights, the
    first counts. LEEP and NCE judge a source classifier as a whole, so they are of backbones only.
    Test images are not looked at.

    Raises InputError where there is no backbone; DataError where there are too few images or
    classes.
    """
    from headstart.data import training_records

    backbones = inputs.backbones()
    different = list({net.digest: net for net in reversed(backbones)}.values())[::-1]
    index = inputs.index(split=s.split)
    cropped = [inputs.with_best_crop(net, index) for net in different]
    nets, notes = [net for net, _ in cropped], [note for _, own in cropped for note in own]
    records = training_records(index)
    found: list[Candidate] = []
    for net in nets:
        store, kept = _features(net, records, s.size_px, s.device, inputs.cache, inputs.progress)
        lines = [records[i] for i in kept]
        require_two_each(np.array([r.label for r in lines]))
        folds = training_folds(index, lines, seed=s.seed)
        total = len(net.taps) if s.per == "tap" else 1
        made = candidates_of(net, store, lines, folds, per=s.per, alone=len(nets) == 1)
        for i, candidate in enumerate(made, start=1):
            found.append(candidate)
            inputs.progress(f"score {net.name}", i, total)
    found.sort(key=lambda c: -c.accuracy.value)
    return ScoresResult(
        settings=s,
        datasets=(DataFacts.of(index, notes),),
        data=index.root.name,
        n_images=len(records),
        n_classes=len({r.label for r in records}),
        candidates=tuple(found),
        agreements=agreements(found),
    )


def _features(
    net: Backbone,
    records: Sequence[Record],
    size_px: int | None,
    device: str | None,
    cache: Path | None,
    progress: Progress,
) -> tuple[FeatureStore, NDArray[np.intp]]:
    """The features of one backbone, and which records have them."""
    from headstart.features import extract

    size = size_px or net.preprocessing.size_px
    done = extract(records, net, resolutions=[size], device=device, cache=cache, progress=progress)
    kept = [i for i, r in enumerate(records) if r.digest not in done.unreadable]
    if len({records[i].label for i in kept}) < 2:
        raise DataError("fewer than two classes have images that can be read")
    return done.stores[size], np.array(kept, dtype=np.intp)


def candidates_of(
    net: Backbone,
    store: FeatureStore,
    records: Sequence[Record],
    folds: NDArray[np.int64],
    *,
    per: str,
    alone: bool,
) -> Iterator[Candidate]:
    """The candidates that one backbone gives."""
    from headstart.training.network import features_tap

    y = np.array([r.label for r in records])
    digests = [r.digest for r in records]
    last = features_tap(net)
    taps: Sequence[Tap] = net.taps if per == "tap" else [last]
    source = _source_scores(net, store, digests, y) if per == "backbone" else {}
    for tap in taps:
        X = store.read(digests, tap.name)
        scores: dict[str, float | None] = {
            "LogME": _rounded(logme(X, y)),
            "H-score": _rounded(h_score(X, y)),
            "shrunk H-score": _rounded(shrunk_h_score(X, y)),
            **source,
            "k-NN": neighbour_accuracy(X, y, folds),
            "size": float(X.shape[1]) if per == "tap" else net.n_parameters / 1e6,
        }
        probe = judge(X, y, folds)
        names = {"backbone": net.name, "tap": tap.name if alone else f"{net.name} {tap.name}"}
        yield Candidate(
            name=names[per],
            backbone=net.name,
            tap=tap.name,
            size_px=int(store.key.preprocessing["size_px"]),
            n_features=X.shape[1],
            scores=scores,
            accuracy=probe.accuracy,
            C=probe.C,
        )


def _source_scores(
    net: Backbone, store: FeatureStore, digests: Sequence[str], y: NDArray[np.str_]
) -> dict[str, float | None]:
    """LEEP and NCE from the source classifier's logits; None where the network has none."""
    from headstart.backbones.backbone import CLASS_SCORES

    last = net.taps[-1]
    if last.name not in CLASS_SCORES:
        return {"LEEP": None, "NCE": None}
    logits = store.read(digests, last.name).astype(np.float64)
    P = np.exp(logits - logits.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    return {"LEEP": _rounded(leep(P, y)), "NCE": _rounded(nce(P.argmax(axis=1), y))}


def _rounded(score: float) -> float:
    """Nine digits: an H-score of K - 1 for every candidate must not get an order from rounding."""
    return float(f"{score:.9g}")


def agreements(candidates: Sequence[Candidate]) -> tuple[Agreement, ...]:
    """One for each score that gives two candidates or more an order."""
    found = []
    for score in SCORES:
        scored = [(c, c.scores.get(score)) for c in candidates]
        have = [(c, s) for c, s in scored if s is not None]
        if len({_shown(s) for _, s in have}) < 2:
            continue
        accuracies = [c.accuracy.value for c, _ in have]
        top = _shown(max(s for _, s in have))
        first, *tied = [c for c, s in have if _shown(s) == top]
        reached = [c.accuracy.value for c in (first, *tied)]
        # Rounded, since scores that are equal but for the last digits have no order.
        correlation = rank_correlation([round(s, 6) for _, s in have], accuracies)
        found.append(
            Agreement(
                score=score,
                correlation=correlation,
                first=first.name,
                tied=tuple(c.name for c in tied),
                lost=max(accuracies) - sum(reached) / len(reached),
            )
        )
    return tuple(found)


def _shown(score: float) -> float:
    """A score as exact as it is shown."""
    return round(score, N_DIGITS)
