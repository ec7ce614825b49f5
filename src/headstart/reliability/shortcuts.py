"""Whether properties that should not matter separate the classes: size, format, border, colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.heads.accuracy import balanced_accuracy_interval
from headstart.reliability.labels import left_out_scores
from headstart.results import Interval

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Of all tests together, how often an alarm may be false.
LEVEL = 0.01
# A property that covers this share of the way from chance to perfect accuracy is a shortcut.
ALARMING = 0.3
# Neighbours of the vote on a few numbers.
N_NEIGHBOURS = 5
N_PERMUTATIONS = 40


class Shortcut(msgspec.Struct, frozen=True, kw_only=True):
    """How well one property tells the classes apart."""

    name: str
    # balanced accuracy of a classifier on this property alone, each example by the others
    accuracy: Interval
    chance: float  # balanced accuracy by guessing
    # probability that guessing does as well, times the number of properties tested; None in older
    # runs
    p_value: float | None = None
    is_alarming: bool  # beyond the noise, and far enough above chance


def find_shortcuts(
    properties: Mapping[str, ArrayLike], member: ArrayLike, together: ArrayLike
) -> list[Shortcut]:
    """Judge each property by a classifier on it alone, the most telling first.

    A vote of the nearest neighbours on the ranks of the property's columns, all equally near ones
    included; each example is judged by those of other groups. The balanced accuracy is compared with
    that of permuted labels (Ojala and Garriga 2010, "Permutation tests for studying classifier
    performance"; the normal distribution with their mean and spread), corrected for looking at several
    properties (Bonferroni).

    Parameters
    ----------
    properties : mapping of name to array (n, d)
    member : array-like of shape (n,), int
        Classes, 0 to K - 1.
    together : array-like of shape (n,)
        Rows that share a value judge not one another, such as copies and groups.
    """
    from scipy import stats  # slow to import, and predicting needs none of it

    own, group = np.asarray(member), np.unique(np.asarray(together), return_inverse=True)[1]
    chance = 1 / (int(own.max()) + 1)
    orders = _permuted(own, group)
    found = []
    for name, values in properties.items():
        voters = _voters(np.asarray(values, dtype=np.float64), group)
        accuracy = balanced_accuracy_interval(own, _voted(voters, own, group))
        null = [_mean_recall(labels, _voted(voters, labels, group)) for labels in orders]
        spread = max(float(np.std(null, ddof=1)), 1e-9)
        p = float(stats.norm.sf((accuracy.value - np.mean(null)) / spread)) * len(properties)
        is_far = accuracy.value - chance >= ALARMING * (1 - chance)
        found.append(
            Shortcut(
                name=name,
                accuracy=accuracy,
                chance=chance,
                p_value=min(p, 1.0),
                is_alarming=bool(p < LEVEL and is_far),
            )
        )
    return sorted(found, key=lambda s: -s.accuracy.value)


def _permuted(own: NDArray[np.intp], group: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The labels permuted, those of groups together where each group is of one class."""
    rng = np.random.default_rng(0)
    of_group = np.zeros(int(group.max()) + 1, dtype=np.intp)
    of_group[group] = own
    if (of_group[group] != own).any():
        return [rng.permutation(own) for _ in range(N_PERMUTATIONS)]
    return [rng.permutation(of_group)[group] for _ in range(N_PERMUTATIONS)]


def _voters(X: NDArray[np.float64], group: NDArray[np.intp]) -> csr_array:
    """1 where the column's example votes on the row's, sparse (n, n)."""
    from scipy.sparse import csr_array
    from scipy.stats import rankdata

    columns = X.reshape(len(X), -1)
    ranks = np.column_stack([rankdata(column) for column in columns.T]) / len(X)
    voters: list[NDArray[np.intp]] = []
    for i, row in enumerate(ranks):
        distance = np.abs(ranks - row).sum(axis=1)
        distance[group == group[i]] = np.inf
        limit = np.partition(distance, min(N_NEIGHBOURS, len(distance)) - 1)[N_NEIGHBOURS - 1 :][:1]
        is_near = (distance <= (limit[0] if len(limit) else np.inf)) & np.isfinite(distance)
        voters.append(np.flatnonzero(is_near))
    ends = np.cumsum([0, *map(len, voters)])
    ones = np.ones(int(ends[-1]), dtype=np.float32)
    return csr_array((ones, np.concatenate(voters), ends), shape=(len(X), len(X)))


def _voted(voters: csr_array, own: NDArray[np.intp], group: NDArray[np.intp]) -> NDArray[np.intp]:
    """The class of which the largest share votes, (n,); of equals, the first.

    Of those that may vote: without this, an example's own class would have a vote less where all
    are alike, and be named by none.
    """
    from scipy.sparse import csr_array

    n, K, n_groups = len(own), int(own.max()) + 1, int(group.max()) + 1
    is_of = csr_array((np.ones(n, dtype=np.float32), (np.arange(n), own)), shape=(n, K))
    in_group = np.bincount(group * K + own, minlength=n_groups * K).reshape(n_groups, K)
    may_vote = np.maximum(np.bincount(own, minlength=K) - in_group[group], 1)
    return np.asarray(((voters @ is_of).toarray() / may_vote).argmax(axis=1), dtype=np.intp)


def _mean_recall(own: NDArray[np.intp], predicted: NDArray[np.intp]) -> float:
    """Balanced accuracy, over the classes that are there."""
    sizes = np.bincount(own)
    recalls = np.bincount(own[own == predicted], minlength=len(sizes))[sizes > 0] / sizes[sizes > 0]
    return float(recalls.mean())


def judge_features(X: ArrayLike, member: ArrayLike, together: ArrayLike) -> Interval:
    """Balanced accuracy of left-out ridge classifiers on rows of features."""
    own = np.asarray(member)
    return balanced_accuracy_interval(own, left_out_scores(X, own, together).argmax(axis=1))
