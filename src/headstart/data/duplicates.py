"""Find images that exist more than once.

Exact duplicates share a digest. Near duplicates (rescaled, recompressed, slightly edited copies)
must pass three tests, each too permissive by itself:

1. their perceptual hashes differ in at most `MAX_HASH_DISTANCE` of 63 bits;
2. their shapes (width over height) differ by at most 5 %;
3. the root mean square difference of their 16 x 16 colour thumbnails, each brought to zero mean
   per channel and unit contrast, is at most `MAX_RELATIVE_DIFFERENCE`, so that copies with other
   brightness, contrast or tint are found too.

With these bounds, all pairs found among the 4,485 photographs of scene15 are copies by visual
inspection, and none of the 1.6 million pairs of scikit-learn's 8 x 8 digits is reported.

Images with almost no contrast (a clear sky, a blank page) never count as near duplicates, since they
cannot be distinguished.

Images of a fixed camera and frames of a film pass all three tests although they are different images,
and links between them form one large group. A group that leaves too few images of a class for a split
is examined again with half the third bound, twice; if it is still too large, its images count as
separate. Where an example has several labels, or a number, a small group is never divided: the share of a
label, or of all images, that a large one holds decides.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.data.inspection import Facts
from headstart.data.records import DuplicateGroup, Record
from headstart.data.targets import names_of

MAX_HASH_DISTANCE = 6
MAX_RELATIVE_DIFFERENCE = 0.13
MIN_CONTRAST = 4.0
"""Grey levels out of 255."""

MIN_SWALLOWED = 5
"""A near group of so many different files that holds half of a class or more is too large."""

_STRICTER = (MAX_RELATIVE_DIFFERENCE / 2, MAX_RELATIVE_DIFFERENCE / 4, MAX_RELATIVE_DIFFERENCE / 8)
_MAX_SHAPE_RATIO = 1.05
_HASH_BITS = 63
_BLOCK_CELLS = 262_144  # values compared at once: 2 MB, which fit into a CPU cache
_PAIRS_AT_ONCE = 16_384
_THIN_ABOVE = 10_000

Pairs = NDArray[np.intp]
"""``(n_pairs, 2)`` indices, first below second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicates:
    """Groups of duplicates, sorted by first name."""

    # exact, near: groups that splits and folds keep together
    exact: tuple[DuplicateGroup, ...]
    near: tuple[DuplicateGroup, ...]
    # groups of similar images that are too large to be kept together, as from a fixed camera;
    # ``near`` contains the parts that can be
    alike: tuple[DuplicateGroup, ...]


def find_duplicates(records: Sequence[Record], facts: Sequence[Facts]) -> Duplicates:
    """Exact and near duplicates.

    `records`, `facts`: parallel; the facts carry the hashes and thumbnails.
    """
    by_digest: dict[str, list[int]] = defaultdict(list)
    for i, record in enumerate(records):
        by_digest[record.digest].append(i)
    copies = list(by_digest.values())
    exact = [members for members in copies if len(members) > 1]
    unique = [facts[members[0]] for members in copies]
    labels = [
        {name for i in members for name in _counted_as(records[i])}
        if _trains(records, members)
        else set()
        for members in copies
    ]
    is_too_large = _rule(labels, is_classes=not records or records[0].target is None)
    found = components(near_pairs(unique), len(unique))
    alike = [group for group in found if is_too_large(group)]
    near = [group for group in found if not is_too_large(group)]
    for group in alike:
        near += _parts(group, unique, is_too_large, _STRICTER)

    def named(groups: Iterable[Sequence[int]]) -> tuple[DuplicateGroup, ...]:
        return _groups(records, ([i for u in group for i in copies[u]] for group in groups), "near")

    return Duplicates(exact=_groups(records, exact, "exact"), near=named(near), alike=named(alike))


def _trains(records: Sequence[Record], members: Sequence[int]) -> bool:
    """Whether an image is or may be on the training side."""
    return any(records[i].split in ("", "train") for i in members)


def _counted_as(record: Record) -> tuple[str, ...]:
    """Its class or labels; of numbers, and of no label, all images are of one kind."""
    return names_of(record) or ("",)


def _rule(
    labels: Sequence[set[str]], *, is_classes: bool = True
) -> Callable[[Sequence[int]], bool]:
    """Whether a group of different pictures leaves one of its classes too little: see `MIN_SWALLOWED`.

    `labels`: classes or labels of each picture; empty for those that are not counted. `is_classes`:
    whether each class needs images on both sides of a split.
    """
    sizes = Counter(label for of_one in labels for label in of_one)

    def is_too_large(group: Sequence[int]) -> bool:
        held = Counter(label for i in group for label in labels[i])
        return any(
            n > 1
            and (
                (is_classes and n == sizes[label]) or (n >= MIN_SWALLOWED and 2 * n >= sizes[label])
            )
            for label, n in held.items()
        )

    return is_too_large


def _parts(
    group: Sequence[int],
    facts: Sequence[Facts],
    is_too_large: Callable[[Sequence[int]], bool],
    bounds: Sequence[float],
) -> list[list[int]]:
    """Split a too large group with stricter bounds."""
    if not bounds:
        return []
    pairs = near_pairs([facts[i] for i in group], max_difference=bounds[0])
    kept: list[list[int]] = []
    for members in components(pairs, len(group)):
        part = [group[i] for i in members]
        kept += _parts(part, facts, is_too_large, bounds[1:]) if is_too_large(part) else [part]
    return kept


def near_pairs(facts: Sequence[Facts], *, max_difference: float = MAX_RELATIVE_DIFFERENCE) -> Pairs:
    """Pairs of near duplicates by all three tests.

    The connected components are exact. With very many similar images (frames of a film), pairs whose
    members are already connected are not listed.
    """
    n = len(facts)
    if n < 2:
        return np.empty((0, 2), dtype=np.intp)
    hashes = np.array([f.phash for f in facts], dtype=np.uint64)
    shapes = np.array([f.width / max(f.height, 1) for f in facts])
    thumbs = np.frombuffer(b"".join(f.thumb for f in facts), dtype=np.uint8).reshape(n, -1)
    contrast = _contrasts(thumbs)
    usable = np.flatnonzero(contrast >= MIN_CONTRAST)
    found = _Joined(n)
    for candidates in _hash_neighbours(hashes[usable]):
        pairs = usable[candidates]
        ratio = shapes[pairs[:, 0]] / shapes[pairs[:, 1]]
        pairs = pairs[(ratio <= _MAX_SHAPE_RATIO) & (ratio >= 1 / _MAX_SHAPE_RATIO)]
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            part = found.not_joined(pairs[start : start + _PAIRS_AT_ONCE])
            found.add(part[_difference(thumbs, contrast, part) <= max_difference])
    return found.pairs()


def feature_pairs(X: NDArray[np.floating], *, min_cosine: float = 0.98) -> Pairs:
    """Pairs of rows whose cosine similarity reaches a bound: near duplicates by features.

    Finds crops, mirrored and recoloured copies that thumbnails miss, but also similar images.

    Parameters
    ----------
    X
        ``(n_samples, n_features)``, any floating dtype; zero rows match nothing.
    min_cosine
        In (0, 1].
    """
    norms = np.linalg.norm(X.astype(np.float32), axis=1, keepdims=True)
    unit = X.astype(np.float32) / np.where(norms > 0, norms, 1)
    step = max(1, _BLOCK_CELLS // max(len(unit), 1))
    found = []
    for start in range(0, len(unit), step):
        i, j = np.nonzero(unit[start : start + step] @ unit[start:].T >= min_cosine)
        found.append(np.column_stack([i, j])[i < j] + start)
    return np.concatenate(found) if found else np.empty((0, 2), dtype=np.intp)


def components(pairs: Pairs, n: int) -> list[list[int]]:
    """Connected components of more than one member, each sorted, ordered by first member."""
    if not len(pairs):
        return []
    component = _component_of(pairs, n)
    members: dict[int, list[int]] = defaultdict(list)
    for i in np.unique(pairs).tolist():
        members[int(component[i])].append(i)
    return sorted(members.values())


def merge_groups(groups: Iterable[Sequence[str]], names: Sequence[str]) -> list[list[str]]:
    """Every name in exactly one group: groups that share a member merged, the rest alone."""
    at = {name: i for i, name in enumerate(names)}
    links = [(at[g[0]], at[other]) for g in groups for other in g[1:]]
    pairs = np.array(links, dtype=np.intp).reshape(-1, 2)
    together = [[names[i] for i in members] for members in components(pairs, len(names))]
    grouped = {name for group in together for name in group}
    return together + [[name] for name in names if name not in grouped]


class _Joined:
    """Pairs found so far, reduced to a spanning set from time to time."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._component = np.arange(n)
        self._parts: list[Pairs] = [np.empty((0, 2), dtype=np.intp)]
        self._n_new = 0

    def not_joined(self, pairs: Pairs) -> Pairs:
        """The pairs that are not connected yet."""
        component = self._component
        return np.asarray(pairs[component[pairs[:, 0]] != component[pairs[:, 1]]])

    def add(self, pairs: Pairs) -> None:
        """Add pairs of duplicates."""
        if not len(pairs):
            return
        self._parts.append(pairs)
        self._n_new += len(pairs)
        if self._n_new > _THIN_ABOVE:
            self._parts = [_spanning(self.pairs(), self._n)]
            self._component = _component_of(self._parts[0], self._n)
            self._n_new = 0

    def pairs(self) -> Pairs:
        """All pairs, sorted, without repetition."""
        return np.unique(np.concatenate(self._parts), axis=0)


def _groups(
    records: Sequence[Record], members: Iterable[Iterable[int]], kind: str
) -> tuple[DuplicateGroup, ...]:
    groups = [sorted((records[i] for i in group), key=lambda r: r.name) for group in members]
    return tuple(
        DuplicateGroup(
            names=tuple(r.name for r in group),
            splits=tuple(r.split for r in group),
            labels=tuple(r.label for r in group),
            kind="exact" if kind == "exact" else "near",
        )
        for group in sorted(groups, key=lambda g: g[0].name)
    )


def _hash_neighbours(hashes: NDArray[np.uint64]) -> Iterator[Pairs]:
    """Blocks of index pairs within `MAX_HASH_DISTANCE`, possibly with repetitions.

    Divided into one band more than differing bits, such hashes agree in at least one whole band, so
    only hashes with a common band are compared.
    """
    for bits in np.array_split(np.arange(_HASH_BITS), MAX_HASH_DISTANCE + 1):
        mask = np.uint64((1 << len(bits)) - 1)
        band = (hashes >> np.uint64(bits[0])) & mask
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.diff(band[order])) + 1
        for bucket in np.split(order, starts):
            yield from _compare_all(hashes, bucket)


def _compare_all(hashes: NDArray[np.uint64], members: NDArray[np.intp]) -> Iterator[Pairs]:
    step = max(1, _BLOCK_CELLS // len(members)) if len(members) > 1 else 1
    values = hashes[members]
    for start in range(0, len(members) - 1, step):
        block = values[start : start + step, None] ^ values[None, start:]
        i, j = np.nonzero(np.bitwise_count(block) <= MAX_HASH_DISTANCE)
        upper = i < j
        if upper.any():
            pairs = np.column_stack([members[start + i[upper]], members[start + j[upper]]])
            yield np.sort(pairs, axis=1)


def _contrasts(thumbs: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Standard deviation over pixels, as a root mean square over the colour channels, ``(n,)``."""
    found = np.empty(len(thumbs))
    for start in range(0, len(thumbs), _PAIRS_AT_ONCE):
        pixels = thumbs[start : start + _PAIRS_AT_ONCE].reshape(-1, thumbs.shape[1] // 3, 3)
        found[start : start + _PAIRS_AT_ONCE] = np.sqrt(
            pixels.astype(np.float32).var(axis=1).mean(axis=1)
        )
    return found


def _difference(
    thumbs: NDArray[np.uint8], contrast: NDArray[np.float64], pairs: Pairs
) -> NDArray[np.float32]:
    """Root mean square difference of each pair's normalised thumbnails, ``(n_pairs,)``."""

    def normalised(rows: NDArray[np.intp]) -> NDArray[np.float32]:
        pixels = thumbs[rows].reshape(len(rows), thumbs.shape[1] // 3, 3).astype(np.float32)
        centred = pixels - pixels.mean(axis=1, keepdims=True)
        return np.asarray(centred / contrast[rows, None, None], dtype=np.float32)

    difference = normalised(pairs[:, 0]) - normalised(pairs[:, 1])
    return np.asarray(np.sqrt((difference**2).mean(axis=(1, 2))))


def _component_of(pairs: Pairs, n: int) -> NDArray[np.intp]:
    """The number of each index's connected component, ``(n,)``."""
    from scipy.sparse import coo_matrix  # slow to import, and most data has no duplicates
    from scipy.sparse.csgraph import connected_components

    links = coo_matrix((np.ones(len(pairs), np.bool_), pairs.T), shape=(n, n))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.intp)


def _spanning(pairs: Pairs, n: int) -> Pairs:
    """For each component, pairs of its first member with each other member."""
    component = _component_of(pairs, n)
    first = np.full(n, n)
    members = np.unique(pairs)
    np.minimum.at(first, component[members], members)
    star = np.column_stack([first[component[members]], members])
    return np.asarray(star[star[:, 0] != star[:, 1]], dtype=np.intp)
