"""The page of bench/race.py: accuracy and minutes of each side on each set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from bench.sets import RealSet
from bench.summary_page import mean_of, table

from headstart.heads import accuracy_interval, is_significant, paired_difference

COMMAND = ".venv/bin/python bench/race.py"
OURS = "headstart"

Measured = Mapping[str, Mapping[str, Mapping[str, Any]]]


class Raced(Protocol):
    """A side as the page needs it."""

    key: str
    text: str
    package: str
    note: str


def page(kept: Measured, sides: Sequence[Raced], sets: Sequence[RealSet]) -> str:
    """The Markdown text."""
    raced = [s for s in sets if kept.get(s.name)]
    parts = [
        "# Headstart against what people use instead",
        f"```sh\n{COMMAND} --prepare\n{COMMAND}\n```",
        (
            "Every side is given the same training and test images, the same pretrained weights "
            "(EfficientNet-Lite0) and one core, and is used as its own documentation tells; it "
            "is one process from files to predictions, imports included, with nothing kept from an "
            "earlier run. Minutes are of CPU time: other work was going on beside it, and `--budget` "
            "counts wall time, so that it got less of the core than it would have alone. The test images are seen once by each side. Differences are "
            "paired, on the same test images, with 95 % intervals (they agree with McNemar's test). "
            "One split and one seed of each set; of sets of more than twelve classes (scene15, groceries), twelve drawn "
            "at random. With so few images, AutoGluon's default batches of 128 make "
            "one step per epoch."
        ),
        "## Over all sets",
        *table(summary_rows(kept, sides, raced), SUMMARY_HEADER),
        (
            "*Ahead*, *behind*: sets on which the side is significantly better or worse than "
            "`headstart fit`. *Difference*: mean over the sets, in points, with a 95 % interval over "
            "which sets were drawn (bootstrap). *Minutes*: median over the sets."
        ),
    ]
    for real in raced:
        found = kept[real.name]
        done = [f for f in found.values() if "right" in f]
        sizes = (
            f"{done[0]['n_train']} training and {len(done[0]['right'])} test images" if done else ""
        )
        parts.append(f"## {real.name}")
        parts.append(f"{real.note[0].upper()}{real.note[1:]}: {sizes}.")
        parts.extend(table(set_rows(found, sides), SET_HEADER))
    reasons = failures(kept, sides)
    if reasons:
        parts.append("## What did not run")
        parts.append("\n".join(reasons))
    return "\n\n".join(parts) + "\n"


SUMMARY_HEADER = ("side", "how", "sets", "ahead", "behind", "difference", "minutes")
SET_HEADER = ("side", "how", "accuracy", "less `headstart fit`", "minutes of CPU")


def summary_rows(
    kept: Measured, sides: Sequence[Raced], raced: Sequence[RealSet]
) -> list[list[str]]:
    """One row a side that ran."""
    rows = []
    for side in sides:
        pairs = [
            (kept[s.name][side.key], kept[s.name].get(OURS, {}))
            for s in raced
            if "right" in kept[s.name].get(side.key, {})
        ]
        if not pairs:
            continue
        differences = [paired_difference(rights(a), rights(b)) for a, b in pairs if "right" in b]
        minutes = np.median([a["cpu_s"] for a, _ in pairs]) / 60
        surely = [d.value for d in differences if is_significant(d)]
        compared = [
            str(sum(v > 0 for v in surely)),
            str(sum(v < 0 for v in surely)),
            mean_of([d.value for d in differences]),
        ]
        rows.append(
            [
                name_of(side, [a for a, _ in pairs]),
                side.text,
                str(len(pairs)),
                *(["", "", ""] if side.key == OURS else compared),
                f"{minutes:.1f}",
            ]
        )
    return rows


def set_rows(found: Mapping[str, Mapping[str, Any]], sides: Sequence[Raced]) -> list[list[str]]:
    """One row a side that ran on a set."""
    rows = []
    for side in sides:
        measured = found.get(side.key, {})
        if "right" not in measured:
            continue
        difference = ""
        if side.key != OURS and "right" in found.get(OURS, {}):
            difference = str(paired_difference(rights(measured), rights(found[OURS])))
        rows.append(
            [
                name_of(side, [measured]),
                side.text,
                f"{accuracy_interval(rights(measured))}",
                difference,
                f"{measured['cpu_s'] / 60:.1f}",
            ]
        )
    return rows


def failures(kept: Measured, sides: Sequence[Raced]) -> list[str]:
    """Why a side has no figure on a set, each reason once."""
    lines = []
    for side in sides:
        reasons: dict[str, list[str]] = {}
        for name, found in kept.items():
            if "reason" in found.get(side.key, {}):
                reasons.setdefault(found[side.key]["reason"], []).append(name)
        lines += [
            f"- {name_of(side, [])}, {side.text}, on {', '.join(names)}: {reason}"
            for reason, names in reasons.items()
        ]
        if reasons and side.note:
            lines[-1] += f". {side.note}"
    return lines


def name_of(side: Raced, found: Sequence[Mapping[str, Any]]) -> str:
    """The package with its version."""
    versions = [f["version"] for f in found if "version" in f]
    return versions[-1] if versions else side.package


def rights(found: Mapping[str, Any]) -> np.ndarray:
    """Which test images were recognised."""
    return np.array([c == "1" for c in found["right"]])
