"""Two data sets that share no class: halves of one, or two that were given."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

from headstart.data import Index
from headstart.errors import DataError, InputError, argument, did_you_mean, one_line

# Of A and of B: a network cannot be trained on one class.
MIN_CLASSES = 2


def split_classes(
    index: Index, *, first: Sequence[str] | None = None, seed: int = 0
) -> tuple[Index, Index]:
    """The data set as two, each with half of the classes.

    Images whose bytes are in both halves, under labels of both, are left out of both and counted
    in the notes.

    Raises DataError where there are fewer than four classes; InputError where a class of `first` is
    not there.

    `first`: the classes of the first half; default a random half, the larger one of an odd number.
    `seed`: of the random half.
    """
    names = list(index.classes)
    if len(names) < 2 * MIN_CLASSES:
        raise DataError(
            f"{argument('halves')} needs {2 * MIN_CLASSES} classes or more, two for each half; "
            f"{one_line(index.root.name)} has {len(names)}: give {argument('base')} and {argument('target')} instead"
        )
    if first is None:
        chosen = set(random.Random(seed).sample(names, -(-len(names) // 2)))
    else:
        for name in first:
            if name not in names:
                raise InputError(f"there is no class {name!r}.{did_you_mean(name, names)}")
        chosen = set(first)
    base, target = _part(index, chosen), _part(index, set(names) - chosen)
    shared = _digests(base) & _digests(target)
    return _without(base, shared), _without(target, shared)


def require_disjoint(base: Index, target: Index) -> None:
    """Nothing that is transferred may have been seen in the target's images.

    Raises DataError where images are in both, or either has one class only.
    """
    shared = _digests(base) & _digests(target)
    if shared:
        first = next(r for r in base.records if r.digest in shared)
        other = next(r for r in target.records if r.digest == first.digest)
        raise DataError(
            f"A and B overlap: {len(shared)} images are in both (first: {one_line(first.name)} of A "
            f"is {one_line(other.name)} of B): give folders with different classes, or one with {argument('halves')}"
        )


def _part(index: Index, classes: set[str]) -> Index:
    records = tuple(r for r in index.records if r.label in classes)
    return dataclasses.replace(index, records=records, duplicates=(), quarantine=())


def _without(index: Index, digests: set[str]) -> Index:
    if not digests:
        return index
    kept = tuple(r for r in index.records if r.digest not in digests)
    n = len(index.records) - len(kept)
    note = f"Left out, because they are in both halves: {n} image{'s' if n > 1 else ''}."
    return dataclasses.replace(index, records=kept, notes=(*index.notes, note))


def _digests(index: Index) -> set[str]:
    return {r.digest for r in index.records}
