"""Examples divided in given shares, every label and every pair of labels in its share.

Iterative stratification of K. Sechidis, G. Tsoumakas and I. Vlahavas (2011), "On the stratification of
multi-label data", ECML PKDD, with pairs of labels as P. Szymański and T. Kajdanowicz (2017), "A network
perspective on stratification of multi-label data", LIDTA. Here units are divided, each of one example or of several that belong together, which the paper
does not have: what a unit adds to a part are the numbers of its examples with each label.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.data.records import Example
from headstart.data.targets import kind_of, label_sizes, names_of

# Numbers are divided by as many quantiles, where there are enough examples.
MOST_BINS = 10
# Labels whose pairs are looked at and pairs that are kept in their shares, the most frequent ones, and
# numbers that this may take.
MOST_PAIRED, MOST_PAIRS, MOST_CELLS = 1_000, 2_000, 20_000_000


def iterative_stratification(
    counts: NDArray[np.integer], sizes: NDArray[np.integer], shares: Sequence[float]
) -> NDArray[np.int64]:
    """The part of each unit.

    The label with the fewest examples left comes first; each of its units goes to the part that lacks
    most examples of it, of equals to the one that lacks most examples of the unit's other labels, then to
    the one that lacks most examples.

    Parameters
    ----------
    counts : int array (n_units, n_labels)
        Examples of each unit with each label, or pair of labels.
    sizes : int array (n_units,)
        Examples of each unit.
    shares : sequence of float, at least two
        Of the parts; they sum to 1.

    Returns
    -------
    int64 array (n_units,)
        Equals are taken in the order of the units: shuffle them first.

    Examples
    --------
    >>> import numpy as np
    >>> iterative_stratification(np.array([[1], [0], [1], [0]]), np.ones(4, int), [0.5, 0.5])
    array([0, 0, 1, 1])
    """
    share = np.asarray(shares, dtype=np.float64)
    left = counts.astype(np.float64)
    # A part is meant to have one example at least of each label, where there are so many.
    wanted = np.maximum(share[:, None] * left.sum(axis=0), np.minimum(1.0, left.sum(axis=0)))
    room = share * sizes.sum()
    part = np.full(len(sizes), -1, dtype=np.int64)

    def put(unit: int, to: int) -> None:
        part[unit] = to
        wanted[to] -= counts[unit]
        room[to] -= sizes[unit]

    rest = left.sum(axis=0)
    while (rest > 0).any():
        label = int(np.where(rest > 0, rest, np.inf).argmin())
        own = np.flatnonzero((part < 0) & (counts[:, label] > 0))
        # Large units first: what comes later evens out.
        for unit in own[np.argsort(-counts[own, label], kind="stable")]:
            others = wanted[:, counts[unit] > 0].sum(axis=1)
            put(int(unit), int(np.lexsort((-room, -others, -wanted[:, label]))[0]))
            rest -= counts[unit]
        rest[label] = 0
    for unit in sorted(np.flatnonzero(part < 0), key=lambda u: -sizes[u]):
        put(int(unit), int(room.argmax()))
    return part


def target_counts(
    records: Sequence[Example], unit_of: NDArray[np.integer], n_parts: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What `iterative_stratification` takes: of labels and their pairs, of numbers by their quantiles.

    Parameters
    ----------
    records : sequence of Example, length n
        Whose targets are labels or numbers.
    unit_of : int array (n,)
        The unit of each, counted from 0.
    n_parts : int
        How many parts there will be.
    """
    n_units = int(unit_of.max()) + 1
    if kind_of(records[0].target) == "numbers":
        values = np.array([r.target for r in records], dtype=np.float64)
        n_bins = int(np.clip(len(values) // (2 * n_parts), 2, MOST_BINS))
        edges = np.quantile(values, np.linspace(0, 1, n_bins + 1)[1:-1])
        rows, columns = np.arange(len(values)), np.searchsorted(edges, values, side="right")
        n_columns = n_bins
    else:
        at = {name: k for k, name in enumerate(label_sizes(records))}
        pairs = [(i, at[name]) for i, r in enumerate(records) for name in names_of(r)]
        rows, columns = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
        n_columns = len(at)
    paired = []
    if kind_of(records[0].target) == "labels":
        has = np.zeros((len(records), n_columns), dtype=bool)
        has[rows, columns] = True
        paired = _frequent_pairs(has, n_units)
    counts = np.zeros((n_units, n_columns + len(paired)), dtype=np.int64)
    np.add.at(counts, (unit_of[rows], columns), 1)
    for k, (i, j) in enumerate(paired, n_columns):
        counts[:, k] = np.bincount(unit_of[has[:, i] & has[:, j]], minlength=n_units)
    return counts, np.bincount(unit_of, minlength=n_units)


def _frequent_pairs(has: NDArray[np.bool_], n_units: int) -> list[tuple[int, int]]:
    """The columns of the two labels of each pair that is most frequent among the examples."""
    often = np.sort(np.argsort(-has.sum(axis=0), kind="stable")[:MOST_PAIRED])
    both = has[:, often].astype(np.float32)
    n_both = np.triu((both.T @ both).astype(np.int64), 1)
    first, second = np.nonzero(n_both > 1)
    most = min(MOST_PAIRS, MOST_CELLS // n_units)
    kept = np.argsort(-n_both[first, second], kind="stable")[:most]
    return list(zip(often[first[kept]].tolist(), often[second[kept]].tolist(), strict=True))
