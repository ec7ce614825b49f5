"""Which examples a choice may look at, and which of them belong together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.data.duplicates import merge_groups
from headstart.data.groups import together
from headstart.data.records import Example, Examples, R


def training_records(index: Examples[R]) -> tuple[R, ...]:
    """Training and validation examples: selection is by cross-validation, so both train."""
    return tuple(r for r in index.records if r.split in ("train", "val"))


def duplicate_groups(index: Examples[R], records: Sequence[Example]) -> NDArray[np.int64]:
    """A number for each record that duplicates, and the examples of a group, share."""
    if any(r.group for r in records):
        names = [r.name for r in records]
        known = set(names)
        copies = [[name for name in g.names if name in known] for g in index.duplicates]
        merged = merge_groups([*filter(None, copies), *together(records)], names)
        number_of = {name: number for number, members in enumerate(merged) for name in members}
        return np.array([number_of[name] for name in names], dtype=np.int64)
    of_name: dict[str, int] = {}
    for number, group in enumerate(index.duplicates):
        for name in group.names:
            of_name[name] = number  # near groups come last, and hold the copies of their members
    first_free = len(index.duplicates)
    groups = [of_name.get(r.name, first_free + i) for i, r in enumerate(records)]
    return np.array(groups, dtype=np.int64)
