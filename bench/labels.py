"""Wrong labels, what to label next and shortcuts, measured on real sets.

    .venv/bin/python bench/labels.py            writes docs/evidence/labels.md

With the sets in the feature store it takes a minute or two of CPU.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import ROOT, SHARED
from bench.reliability import SETS, features, halves, table
from sklearn.metrics import average_precision_score

from headstart.data import duplicate_groups, index
from headstart.data.appearance import appearance
from headstart.features import cache_folder
from headstart.reliability.asking import reduce, replay
from headstart.reliability.labels import check_labels, left_out_scores
from headstart.reliability.shortcuts import find_shortcuts
from headstart.runs.checks import properties_of

OUT = ROOT / "docs" / "evidence" / "labels.md"
COMMAND = ".venv/bin/python bench/labels.py"
RATES = (0.05, 0.1, 0.2)


def flip(
    member: NDArray[np.intp], rate: float, confusion: NDArray[np.floating] | None, seed: int
) -> NDArray[np.intp]:
    """Labels of which some are wrong: any other class, or one that is confused with the true one."""
    rng = np.random.default_rng(seed)
    given, n_classes = member.copy(), int(member.max()) + 1
    for i in rng.choice(len(member), round(rate * len(member)), replace=False):
        weights = np.ones(n_classes) if confusion is None else confusion[member[i]].copy()
        weights[member[i]] = 0
        given[i] = rng.choice(n_classes, p=weights / weights.sum())
    return given


def measure_labels(n_repeats: int) -> list[list[str]]:
    """Average precision of rankings, the counted share, and what a refit without the suspicious gains."""
    rows, pooled = [], []
    for name in SETS:
        X, y = features(name)
        Z, member = reduce(X), np.unique(y, return_inverse=True)[1]
        clean = check_labels(left_out_scores(Z, member), member)
        confusion = np.stack([clean.P[member == k].mean(axis=0) for k in range(member.max() + 1)])
        for kind, matrix in (("any class", None), ("confused ones", confusion)):
            row = [f"{name}, {kind}"]
            figures = []
            for rate in RATES:
                found = [_one(Z, member, rate, matrix, seed) for seed in range(n_repeats)]
                mean = 100 * np.mean(found, axis=0)
                figures += mean.tolist()
                row += [
                    f"{mean[0]:.1f}",
                    f"{mean[1]:.1f}",
                    f"{mean[2]:.1f}",
                    f"{mean[4] - mean[3]:+.1f}",
                ]
            pooled.append(figures)
            rows.append(row)
        print(rows[-2], rows[-1], sep="\n", flush=True)
    mean = np.mean(pooled, axis=0)
    row = ["mean"]
    for k in range(len(RATES)):
        a, b, c, before, after = mean[5 * k : 5 * k + 5]
        row += [f"{a:.1f}", f"{b:.1f}", f"{c:.1f}", f"{after - before:+.1f}"]
    return [*rows, row]


def _one(
    Z: NDArray[np.floating],
    member: NDArray[np.intp],
    rate: float,
    confusion: NDArray[np.floating] | None,
    seed: int,
) -> list[float]:
    given = flip(member, rate, confusion, seed)
    wrong = given != member
    found = check_labels(left_out_scores(Z, given), given)
    own = found.P[np.arange(len(given)), given]
    # A refit of a half without what was counted, judged on the other half with true labels.
    a, b = halves(len(member), seed)
    half = check_labels(left_out_scores(Z[a], given[a]), given[a])
    kept = a[~half.is_counted]
    return [
        average_precision_score(wrong, -found.margin),
        average_precision_score(wrong, -own),
        found.noise.value,
        _accuracy(Z, given, a, b, member),
        _accuracy(Z, given, kept, b, member) if len(np.unique(given[kept])) > 1 else 0.0,
    ]


def _accuracy(
    Z: NDArray[np.floating],
    given: NDArray[np.intp],
    known: NDArray[np.intp],
    judged: NDArray[np.intp],
    member: NDArray[np.intp],
) -> float:
    from headstart.reliability.asking import scores_of

    return float((scores_of(Z, known, given, judged).argmax(axis=1) == member[judged]).mean())


def measure_replay() -> list[list[str]]:
    """What choosing 60 labels would have been worth."""
    rows = []
    for name in SETS:
        X, y = features(name)
        found = replay(reduce(X), np.unique(y, return_inverse=True)[1], 60, n_repeats=10)
        by_name = {s.name: s for s in found.strategies}
        best = found.best
        worth = "–" if best is None else "all" if best.worth is None else f"{best.worth:.0f}"
        rows.append(
            [
                name, f"{found.n_start} + {found.n_chosen}", f"{100 * found.start:.1f}",
                f"{100 * found.random:.1f}",
                *(f"{100 * by_name[s].gain.value:+.1f}" for s in ("margin", "typicality", "coverage", "mix")),
                "none" if best is None else best.name, worth,
            ]
        )  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def measure_shortcuts() -> list[list[str]]:
    """By what the classes of each set can be told."""
    rows = []
    for name in SETS:
        found = index(SHARED / "data" / "domains" / name, cache=cache_folder())
        member = np.unique([r.label for r in found.records], return_inverse=True)[1]
        seen = appearance(found.records, cache_folder())
        together = duplicate_groups(found, found.records)
        shortcuts = {s.name: s for s in find_shortcuts(properties_of(seen), member, together)}
        rows.append(
            [
                name, f"{100 / (member.max() + 1):.0f}",
                *(
                    f"{100 * shortcuts[p].accuracy.value:.0f}{' *' if shortcuts[p].is_alarming else ''}"
                    for p in properties_of(seen)
                ),
            ]
        )  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure and write the page."""
    started = time.process_time()
    shortcuts, asked, labels = measure_shortcuts(), measure_replay(), measure_labels(3)
    spent = time.process_time() - started
    heads = ["set, flipped to"]
    for rate in RATES:
        heads += [f"{100 * rate:.0f} %: margin", "own probability", "counted", "refit"]
    OUT.write_text(
        PAGE.format(
            command=COMMAND,
            spent=spent,
            labels=table(heads, labels),
            asked=table(
                ["set", "labels", "start", "random", "margin", "typicality", "coverage", "mix", "taken",
                 "worth random labels"], asked,
            ),
            shortcuts=table(
                ["set", "chance", "file size", "picture size", "file format", "border colour",
                 "mean colour"], shortcuts,
            ),
        ),
        encoding="utf-8",
    )  # fmt: skip
    print(f"{spent:.0f} s of CPU, {OUT}")


PAGE = """# Wrong labels, next labels and shortcuts: the evidence

`{command}` (eight small real sets of eight domains, embedded network, the last layers joined at 224 + 320 px,
reduced to 256 principal axes; {spent:.0f} s of CPU with features in the store).

## Wrong labels

5, 10 and 20 % of the labels are flipped, to any other class or to one that is confused with the true one; the
mean of three drawings. *Margin* is the average precision in % of the ranking of `headstart clean`, *own probability* that of
the calibrated left-out probability of the given label (what cleanlab calls self-confidence, on the same probabilities), *counted* the share of labels in %
that confident learning counts as wrong, *refit* what leaving these out gains in points of accuracy (a half is cleaned and
fitted, the other is judged by its true labels).

{labels}

## Next labels

The replay of `headstart label-next` with 60 labels and ten repeats: balanced accuracy in %, gains over random labels in
points, the strategy that would be taken, and how many random labels its choice is worth. *none*: label at random.

{asked}

## Shortcuts

Balanced accuracy in % by one property alone; a star marks what the report tells to look at.

{shortcuts}
"""


if __name__ == "__main__":
    main()
