"""Which examples a choice may look at, and which of them belong together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.data.records import Example, Examples, R


def training_records(index: Examples[R]) -> tuple[R, ...]:
    """Training and validation examples: selection is by cross-validation, so both train."""
    return tuple(r for r in index.records if r.split in ("train", "val"))


def duplicate_groups(index: Examples[R], records: Sequence[Example]) -> NDArray[np.int64]:
    """A group number for each record; duplicates share one, so that no fold splits them."""
    of_name: dict[str, int] = {}
    for number, group in enumerate(index.duplicates):
        for name in group.names:
            of_name[name] = number  # near groups come last, and hold the copies of their members
    first_free = len(index.duplicates)
    groups = [of_name.get(r.name, first_free + i) for i, r in enumerate(records)]
    return np.array(groups, dtype=np.int64)
