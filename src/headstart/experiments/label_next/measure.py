"""Replay the strategies, then choose among the unlabelled images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.data import Record, duplicate_groups, find_images
from headstart.data.inspection import inspect_all
from headstart.data.sources import counted, printable
from headstart.data.weights import example_weights
from headstart.errors import DataError, one_line
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.label_next.result import (
    Chosen,
    Labelled,
    LabelNextResult,
    Played,
    PseudoLabel,
    UsedUnlabelled,
)
from headstart.experiments.label_next.settings import Settings
from headstart.experiments.onrun import training_images
from headstart.files import digest_file
from headstart.reliability.asking import (
    STRATEGIES,
    Replay,
    at_random,
    reduce,
    relative_weights,
    replay,
    scores_of,
)
from headstart.reliability.unlabelled import USES, neighbours, replay_uses
from headstart.runs.retrieval import features_of

if TYPE_CHECKING:
    from headstart.runs.retrieval import TrainingImages

# Labelled images below which a replay says nothing.
FEWEST = 20
# The same of a replay that hides labels: of fewer labels its gains say little of those with all.
FEWEST_USED = 50
# Groups (or images without copies) below which neither is replayed: a fifth of them is judged.
FEWEST_UNITS = 5


def measure(s: Settings, inputs: Inputs) -> LabelNextResult:
    """Replay on the labelled images, then choose; test images have no part in either.

    Raises DataError where the folder holds no usable image that is not one of the run's; RunError
    as :func:`headstart.experiments.onrun.training_images`.
    """
    files = find_images([s.unlabelled])  # a wrong path is told before all others are read
    images = training_images(s, inputs)
    labelled = images.records
    new, n_overlap, n_unreadable = _new_records(files, _known(images))
    if not new:
        raise DataError(
            f"{one_line(s.unlabelled)} holds no usable image without a label: the run has "
            f"{counted(n_overlap, 'file')} of it already, and {counted(n_unreadable, 'file')} cannot be read. "
            "Give a folder of other images"
        )
    n = len(labelled)
    X = reduce(np.vstack([images.X[:n], features_of(images, new, progress=inputs.progress)]))
    classes, member = np.unique([r.label for r in labelled], return_inverse=True)
    together = duplicate_groups(images.index, labelled)
    is_split = len(np.unique(together)) >= FEWEST_UNITS
    weights = example_weights(labelled)
    found, used = None, {}
    if is_split and n >= FEWEST:
        inputs.progress("replay", 0, 1)
        found = replay(
            X[:n], member, s.n, together, weights=weights, n_repeats=s.repeats, seed=s.seed
        )
        inputs.progress("replay", 1, 1)
    if is_split and n >= FEWEST_USED:
        used = _unlabelled(s, X, member, together, weights, images, new, inputs)
    strategy = _strategy(s, found)
    own = np.concatenate([member, np.zeros(len(new), dtype=member.dtype)])
    known, pool = np.arange(n), np.arange(n, len(X))
    choose = STRATEGIES.get(strategy, at_random)
    counts = relative_weights(weights, known)
    rng = np.random.default_rng(s.seed)
    rows = choose(X, known, own, pool, min(s.n, len(pool)), rng, counts)
    scores = scores_of(X, known, own, rows, counts)
    ordered = np.sort(scores, axis=1)
    return LabelNextResult(
        settings=s,
        datasets=(DataFacts.of(images.index),),
        n_labelled=n,
        n_unlabelled=len(new),
        n_overlap=n_overlap,
        n_unreadable=n_unreadable,
        n_played=found.n_played if found else 0,
        n_start=found.n_start if found else 0,
        n_chosen=found.n_chosen if found else 0,
        n_judged=found.n_judged if found else 0,
        start=found.start if found else 0.0,
        random=found.random if found else 0.0,
        played=_played(found),
        strategy=strategy,
        chosen=tuple(
            Chosen(
                name=new[i - n].name,
                path=printable(str(new[i - n].path)),
                predicted=str(classes[scores[j].argmax()]),
                margin=float(ordered[j, -1] - ordered[j, -2]),
            )
            for j, i in enumerate(rows)
        ),
        **used,
    )


def _unlabelled(
    s: Settings,
    X: NDArray[np.floating],
    member: NDArray[np.intp],
    together: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
    images: TrainingImages,
    new: Sequence[Record],
    inputs: Inputs,
) -> dict[str, Any]:
    """What training on the unlabelled images too is worth, and their labels where it is."""
    n, every = len(member), (*images.records, *images.held_out)
    inputs.progress("unlabelled images", 0, 1)
    found = replay_uses(
        X[:n], member, len(new), together, weights=weights, n_repeats=s.repeats, seed=s.seed
    )
    if found is None:
        inputs.progress("unlabelled images", 1, 1)
        return {}
    pseudo: tuple[PseudoLabel, ...] = ()
    if found.best is not None:
        classes = np.unique([r.label for r in images.records])
        own = np.concatenate([member, np.zeros(len(new), dtype=member.dtype)])
        known, hidden = np.arange(n), np.arange(n, len(X))
        counts = relative_weights(weights, known)
        at, said, weight = USES[found.best.name](X, neighbours(X), known, own, hidden, counts)
        mean = float(np.mean([r.weight for r in images.records]))
        pseudo = tuple(
            PseudoLabel(
                name=new[i - n].name,
                path=printable(str(new[i - n].path)),
                label=str(classes[k]),
                weight=float(w) * mean,
            )
            for i, k, w in zip(at, said, weight, strict=True)
        )
    inputs.progress("unlabelled images", 1, 1)
    return {
        "unlabelled": tuple(
            UsedUnlabelled(
                name=u.name, accuracy=u.accuracy, gain=u.gain, is_better=u.is_better, right=u.right
            )
            for u in found.uses
        ),
        "n_known": found.n_known,
        "n_hidden": found.n_hidden,
        "labelled_alone": found.labelled,
        "pseudo_labels": pseudo,
        "labelled": tuple(
            Labelled(
                path=printable(str(r.path)),
                label=r.label,
                split=r.split,
                group=r.group,
                weight=r.weight,
            )
            for r in every
        )
        if pseudo and all(r.path.is_file() for r in every)
        else (),
    }


def _known(images: TrainingImages) -> set[str]:
    """Digests of all that the run has seen, with what it left out."""
    index = images.index
    refused = [index.root / q.name for q in index.quarantine]
    return {
        *(r.digest for r in (*index.records, *images.dropped)),
        *(digest_file(path) for path in refused if path.is_file()),
    }


def _strategy(s: Settings, found: Replay | None) -> str:
    if s.strategy != "auto":
        return s.strategy
    return found.best.name if found is not None and found.best is not None else "random"


def _played(found: Replay | None) -> tuple[Played, ...]:
    return tuple(
        Played(name=p.name, accuracy=p.accuracy, gain=p.gain, worth=p.worth, is_better=p.is_better)
        for p in (found.strategies if found else ())
    )


def _new_records(
    files: Sequence[tuple[object, str]], known: set[str]
) -> tuple[list[Record], int, int]:
    """Usable images that the run does not have, each content once; how many it has, and damaged ones."""
    from pathlib import Path

    paths = [Path(str(path)) for path, _ in files]
    found: dict[str, Record] = {}
    n_overlap = n_unreadable = 0
    for path, (_, name), seen in zip(paths, files, inspect_all(paths, lambda _: None), strict=True):
        if seen.digest in known:
            n_overlap += 1
        elif seen.facts.reason:
            n_unreadable += 1
        else:
            found.setdefault(
                seen.digest,
                Record(
                    name=name,
                    label="",
                    digest=seen.digest,
                    split="",
                    path=path.absolute(),
                    width=seen.facts.width,
                    height=seen.facts.height,
                ),
            )
    return list(found.values()), n_overlap, n_unreadable
