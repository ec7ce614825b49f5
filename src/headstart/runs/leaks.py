"""Signs that a random split is optimistic: series of shots, and parts of a published split.

A random split puts frames of one film, or shots of one object, on both sides; the test accuracy is
then that of objects already seen. Here features, file names and the times of the photographs are
searched for it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.data.find import natural_key
from headstart.data.groups import groups_of, n_groups
from headstart.data.records import R, Record
from headstart.data.sources import SPLIT_WORDS
from headstart.errors import argument
from headstart.heads import is_significant, paired_gain
from headstart.probe import judgeable, training_folds
from headstart.runs.parts import held_out_scores
from headstart.sources.blocks import read_blocks
from headstart.sources.image import ImageSource

if TYPE_CHECKING:
    from headstart.probe.judging import Scores
    from headstart.runs.metrics import Results

# Positions in the order of names or times within which images count as neighbours.
NEAR = 2
# Share of images whose nearest image is a neighbour, from which images are called a series. Measured on
# eleven sets at random: 7 to 28 %; frames of films: 86 %.
SERIES_SHARE = 0.5
# ... and how many times chance that must be: with five images, four neighbours are all there is.
SERIES_LIFT = 2.5
# How many images are looked at, in all and of a class: the first in the order of their names.
MOST, MOST_OF_CLASS = 20_000, 2_000
_SHORT_WORDS = {"tr": "train", "te": "test", "va": "val"}


def split_in_names(names: Sequence[str]) -> str:
    """A note where every name carries a word for its part of a published split; else "".

    Parameters
    ----------
    names : sequence of str
        Paths with ``/``.

    Examples
    --------
    >>> split_in_names(["a/tr_1.jpg", "a/te_2.jpg", "b/tr_3.jpg"])[:41]
    "the names of the files contain 'te', 'tr'"
    """
    parts = {**SPLIT_WORDS, **_SHORT_WORDS}
    words = [re.split(r"[^a-z]+", PurePosixPath(name).stem.lower()) for name in names]
    for at in (0, -1):
        found = [w[at] if w[at] else (w[1] if at == 0 and len(w) > 1 else "") for w in words]
        sides = {parts.get(word, "") for word in found}
        if "" not in sides and {"train", "test"} <= sides:
            named = ", ".join(repr(word) for word in sorted(set(found)))
            return (
                f"the names of the files contain {named}: they look like the parts of a published "
                "split, which a random split mixes. Its figures are comparable with that split only: "
                f"give it as a file of lines train,Class/file ({argument('split')})"
            )
    return ""


def neighbour_share(
    X: NDArray[np.floating], y: NDArray[np.str_], order: NDArray[np.intp]
) -> tuple[float, float]:
    """How often the nearest image of the same class is a neighbour in an order, and by chance.

    Parameters
    ----------
    X : array (n, d)
        Features; rows are compared by their cosine.
    y : array (n,)
        Labels.
    order : int array (n,)
        Positions of the rows, first to last.

    Returns
    -------
    share, chance : float
        0 where no class has five images.
    """
    near, expected, n_seen = 0.0, 0.0, 0
    sorted_y = y[order]
    for label in np.unique(y):
        rows = order[sorted_y == label]
        n = len(rows)
        if n <= 2 * NEAR:
            continue
        near += float((np.abs(_nearest(X[rows]) - np.arange(n)) <= NEAR).sum())
        expected += n * min(1.0, 2 * NEAR / (n - 1))
        n_seen += n
    return (near / n_seen, expected / n_seen) if n_seen else (0.0, 0.0)


def _nearest(X: NDArray[np.floating]) -> NDArray[np.intp]:
    """For each row the other row with the largest cosine."""
    unit = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    return np.asarray(cosine.argmax(axis=1))


def is_series(share: float, chance: float) -> bool:
    """Whether that share of neighbours says that images come in series."""
    return share >= SERIES_SHARE and share >= SERIES_LIFT * chance


def pattern_of_series(
    names: Sequence[str], X: NDArray[np.floating], y: NDArray[np.str_]
) -> str | None:
    r"""A pattern over the names whose groups hold the nearest images together; None if none does.

    Only names of one form, such as ``track00003_frame00001.png``, give one: every number but the
    last may be that of the series. For ``group_by``: ``r"(track\d+)_frame\d+"``.
    """
    forms = {re.sub(r"\d+", r"\\d+", re.escape(PurePosixPath(name).stem)) for name in names}
    if len(forms) != 1:
        return None
    pieces = forms.pop().split(r"\d+")
    for n in range(1, len(pieces) - 1):  # numbers that are kept, first to last but one
        head = r"\d+".join(pieces[: n + 1])[: -len(pieces[n])] if pieces[n] else None
        if head is None:
            continue
        rest = pieces[n] + r"\d+" + r"\d+".join(pieces[n + 1 :])
        pattern = f"({head}){rest}".replace(r"\_", "_").replace(r"\-", "-")
        matches = [re.search(pattern, PurePosixPath(name).stem) for name in names]
        if not all(matches):
            continue
        groups = np.array([m[1] for m in matches if m is not None])
        if _holds_nearest(groups, X, y):
            return pattern
    return None


def _holds_nearest(groups: NDArray[np.str_], X: NDArray[np.floating], y: NDArray[np.str_]) -> bool:
    """Whether the nearest image of the class is mostly of the same group, in groups of few images."""
    right = n_seen = 0
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        if len(np.unique(groups[rows])) < 2:
            continue
        right += int((groups[rows][_nearest(X[rows])] == groups[rows]).sum())
        n_seen += len(rows)
    return n_seen > 0.5 * len(y) and right >= SERIES_SHARE * n_seen


def with_leaks(results: Results) -> Results:
    """The results with notes on leaks, and on what unseen groups cost where groups are known."""
    index, source, train = results.index, results.source, results.train
    notes: list[str] = []
    pattern = None
    is_grouped = n_groups(train) > 0
    if isinstance(source, ImageSource) and index.split_made and not is_grouped:
        some = some_of_each(index.records)
        X = read_blocks(source.stores, [r.digest for r in some], source.usual)
        notes, pattern = leak_notes(some, X)
    chosen = results.chosen
    if (is_grouped or pattern is not None) and not chosen.blocks.is_network:
        others = grouped_by(train, pattern)
        folds = training_folds(index, others, n_folds=results.n_folds, seed=results.settings.seed)
        y = np.array([r.label for r in others])
        weight = results.objective.weights(others)
        # The images of a class of one group are never recognised by what others show.
        both = results.judged & judgeable(y, folds)
        if both.any():
            scores = held_out_scores(chosen, source.rows, others, y, folds, weight)
            own, other = (recognised(s, y)[both] for s in (of_one_division(chosen.scores), scores))
            at_random, grouped = (other, own) if is_grouped else (own, other)
            of = train if is_grouped else others
            groups = groups_of([r for r, is_in in zip(of, both, strict=True) if is_in])
            notes.append(group_note(str(chosen.blocks), at_random, grouped, groups))
    return replace(results, index=replace(index, notes=(*index.notes, *notes)))


def of_one_division(scores: Scores) -> NDArray[np.floating]:
    """Scores (n, K) of one division into folds: the mean of several is a better classifier."""
    return scores.decisions if scores.of_divisions is None else scores.of_divisions[0]


def recognised(scores: NDArray[np.floating], y: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Where the highest of the scores (n, K) is that of the label, whatever a confusion costs."""
    return np.asarray(scores.argmax(axis=1) == np.unique(y, return_inverse=True)[1])


def some_of_each(records: Sequence[R]) -> tuple[R, ...]:
    """Up to :data:`MOST` records, the first of each class by name, so that neighbours stay so."""
    n_classes = len({r.label for r in records})
    most = min(MOST_OF_CLASS, max(2 * NEAR + 1, MOST // max(n_classes, 1)))
    taken: Counter[str] = Counter()
    kept: list[R] = []
    for record in sorted(records, key=lambda r: natural_key(r.name)):
        if taken[record.label] < most and len(kept) < MOST:
            taken[record.label] += 1
            kept.append(record)
    return tuple(kept)


def leak_notes(records: Sequence[Record], X: NDArray[np.floating]) -> tuple[list[str], str | None]:
    """Notes on why a random split of these images may be optimistic, and a pattern of groups.

    The pattern is for ``group_by``; None unless the names say what the series are.

    Parameters
    ----------
    records : sequence of Record, length n
        As of :func:`some_of_each`.
    X : array (n, d)
        Features of a late layer.
    """
    names, y = [r.name for r in records], np.array([r.label for r in records])
    notes = list(filter(None, [split_in_names(names)]))
    orders = {"names": sorted(range(len(names)), key=lambda i: natural_key(names[i]))}
    times = photograph_times([r.path for r in records])
    if times is not None:
        orders["times"] = sorted(range(len(names)), key=lambda i: times[i])
    for what, order in orders.items():
        share, chance = neighbour_share(X, y, np.array(order))
        if not is_series(share, chance):
            continue
        pattern = pattern_of_series(names, X, y)
        given = argument("group_by", pattern or r"patient\d+")
        how = (
            f"{given} keeps them together" if pattern else f"{given}, for one, keeps them together"
        )
        notes.append(
            f"the images come in series: {100 * share:.0f} % are most like a neighbour in the order of "
            f"{what} ({100 * chance:.0f} % by chance). With one series on both sides, accuracy is not "
            f"that on new ones; {how}"
        )
        return notes, pattern
    return notes, None


def photograph_times(paths: Sequence[Path]) -> list[str] | None:
    """When each photograph was taken, by its EXIF data; None where a fifth or more do not say."""
    from PIL import Image

    found: list[str] = []
    n_silent = 0
    for path in paths:
        try:
            # Of other kinds Pillow decodes the whole picture to look for EXIF data.
            with Image.open(path, formats=["JPEG", "TIFF"]) as image:
                exif = image.getexif()
                taken = exif.get_ifd(0x8769).get(0x9003) or ""
        except (OSError, ValueError, SyntaxError):
            taken = ""
        found.append(str(taken))
        n_silent += not taken
        if n_silent > 0.2 * len(paths):
            return None
    return found if len(set(found)) > len(found) / 10 else None


def grouped_by(records: Sequence[R], pattern: str | None) -> tuple[R, ...]:
    """The records with their series as groups, by a pattern of :func:`pattern_of_series`; None: none."""
    if pattern is None:
        return tuple(replace(r, group="") for r in records)
    matches = [re.search(pattern, PurePosixPath(r.name).stem) for r in records]
    return tuple(
        replace(r, group="" if m is None else m[1]) for r, m in zip(records, matches, strict=True)
    )


def group_note(
    what: str,
    at_random: NDArray[np.bool_],
    grouped: NDArray[np.bool_],
    groups: Sequence[str] | None = None,
) -> str:
    """What cross-validation gives with folds at random, and with groups kept together.

    Parameters
    ----------
    what : str
        The candidate.
    at_random, grouped : bool array (n,)
        Whether each training image was recognised.
    groups : sequence of str, length n, optional
        The groups.
    """
    difference = paired_gain(at_random, grouped, groups=groups)
    figures = (
        f"{what} in cross-validation: {100 * at_random.mean():.1f} % with images drawn at random, "
        f"{100 * grouped.mean():.1f} % on groups that were not trained on"
    )
    if not is_significant(difference):
        return f"{figures}: the difference is not significant"
    return f"{figures}. For new groups, the second is what to expect"
