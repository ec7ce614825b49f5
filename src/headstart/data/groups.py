"""Groups of examples that a split and the folds keep together: a patient, a plant, a camera, a day."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from headstart.data.records import Example
from headstart.data.sources import counted, shown, some
from headstart.data.targets import names_of
from headstart.errors import DataError, InputError, argument


def compile_pattern(pattern: str) -> re.Pattern[str]:
    r"""The pattern of ``group_by``.

    Raises InputError where it is not a regular expression, or it matches the empty text.

    Examples
    --------
    >>> compile_pattern(r"p\d+").search("pneumonia/p0012_3.jpg").group()
    'p0012'
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"{argument('group_by')} must be a regular expression; got {pattern!r}: {error}"
        ) from None
    if compiled.fullmatch(""):
        raise InputError(
            f"{argument('group_by')} must match a part of each name; {pattern!r} matches nothing at "
            r"all, too. An example: 'patient\d+'"
        )
    return compiled


def groups_by_pattern(names: Sequence[str], pattern: str) -> list[str]:
    r"""The group that each name gives.

    Raises InputError where the pattern cannot be used; DataError where a name does not match.

    Parameters
    ----------
    names : sequence of str, length n
        Names of images: paths relative to the data set's folder, with ``/``.
    pattern : str
        A regular expression, searched in each name. Its groups in parentheses, joined, are the
        group; without parentheses, all that it matches is.

    Examples
    --------
    >>> groups_by_pattern(["a/p1_left.jpg", "b/p2_left.jpg"], r"(p\d+)_")
    ['p1', 'p2']
    """
    compiled = compile_pattern(pattern)
    found = [compiled.search(name) for name in names]
    missed = [name for name, match in zip(names, found, strict=True) if match is None]
    if missed:
        n, total = len(missed), counted(len(names), "name")
        which = f"any of {total}" if n == len(names) else f"{n:,} of {total}"
        raise DataError(
            f"{argument('group_by')} {pattern!r} does not match {which} (first: {shown(missed[0])}): give a "
            "pattern that gives every name a group"
        )
    return ["/".join(m.groups(default="") or (m[0],)) for m in found if m is not None]


def together(records: Sequence[Example]) -> list[list[str]]:
    """Names of the records of each group; none where the data have no groups."""
    members: dict[str, list[str]] = defaultdict(list)
    for record in records:
        if record.group:
            members[record.group].append(record.name)
    return list(members.values())


def n_groups(records: Sequence[Example]) -> int:
    """How many groups there are; 0 where the data have none."""
    return len({r.group for r in records if r.group})


def groups_of(examples: Sequence[Example]) -> list[str] | None:
    """The group of each example; None where the data have no groups."""
    return [r.group for r in examples] if n_groups(examples) else None


def require_enough_groups(records: Sequence[Example], n_folds: int) -> None:
    """Check that each fold can have a group of its own.

    Raises DataError where the records have groups, but fewer than `n_folds`.
    """
    n = n_groups(records)
    if 0 < n < n_folds:
        raise DataError(
            f"cross-validation in {n_folds} folds needs {n_folds} groups or more among the training "
            f"examples; got {n}: use fewer folds ({argument('n_folds')}) or smaller groups"
        )


def group_notes(records: Sequence[Example]) -> list[str]:
    """Notes on groups: classes of one group, and groups on both sides of the split that was given."""
    sides, of_class = defaultdict(set), defaultdict(set)
    for record in records:
        if record.group:
            sides[record.group].add(record.split)
            for name in names_of(record):
                of_class[name].add(record.group)
    notes = []
    single = sorted(label for label, groups in of_class.items() if len(groups) == 1)
    if single:
        notes.append(
            f"all examples of {counted(len(single), 'class')} are of one group: {some(single, is_counted=True)}; an "
            "unseen group of such a class is never tested"
        )
    split = sorted(group for group, names in sides.items() if len(names) > 1)
    if split:
        notes.append(
            f"{counted(len(split), 'group')} of {len(sides):,} lie on both sides of the given split "
            f"(first: {shown(split[0], 60)}): the test accuracy is not that of unseen groups"
        )
    return notes
