"""Wrong labels, what to label next and shortcuts, measured on real sets.

    .venv/bin/python bench/labels.py            writes docs/evidence/labels.md

With the sets in the feature store it takes two minutes of CPU; what an interrupted run measured is kept.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import reliability
from bench.harness import ROOT, SHARED
from bench.reliability import SETS, features, halves, table
from sklearn.metrics import average_precision_score

from headstart.data import duplicate_groups, index
from headstart.data.appearance import appearance
from headstart.experiments.label_next.measure import FEWEST_USED
from headstart.features import cache_folder
from headstart.files import digest_file
from headstart.probe.memo import keep_json, memo_path, recall_json
from headstart.reliability.asking import balanced_accuracy, reduce, replay, scores_of
from headstart.reliability.labels import check_labels, left_out_scores
from headstart.reliability.shortcuts import find_shortcuts, judge_features
from headstart.reliability.unlabelled import USES, neighbours, replay_uses
from headstart.runs.checks import properties_of

OUT = ROOT / "docs" / "evidence" / "labels.md"
COMMAND = ".venv/bin/python bench/labels.py"
RATES = (0.05, 0.1, 0.2)
# Labels of each class beside which all others are hidden.
PER_CLASS = (2, 5, 10)
# The same of the replay.
REPLAYED = (5, 10, 20)


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


def measure_labels(n_repeats: int) -> tuple[list[list[str]], list[list[str]]]:
    """Average precision of rankings by set; then counts, and what leaving labels out gains, by rate."""
    ranked, found = [], {}
    for name in SETS:
        X, y = features(name)
        Z, member = reduce(X), np.unique(y, return_inverse=True)[1]
        clean = check_labels(left_out_scores(Z, member), member)
        confusion = np.stack([clean.P[member == k].mean(axis=0) for k in range(member.max() + 1)])
        for kind, matrix in kinds(confusion):
            row = [f"{name}, {kind}"]
            for rate in RATES:
                one = [_one(Z, member, rate, matrix, seed) for seed in range(n_repeats)]
                mean = 100 * np.mean(one, axis=0)
                found.setdefault((kind, rate), []).append(mean)
                row += [f"{v:.1f}" for v in mean[:3]]
            ranked.append(row)
            print(row, flush=True)
    means = {key: np.mean(rows, axis=0) for key, rows in found.items()}
    ranked += [
        [f"mean, {kind}", *(f"{v:.1f}" for rate in RATES for v in means[kind, rate][:3])]
        for kind, _ in kinds(None)
    ]
    counted = [
        [
            f"{100 * rate:.0f} %, {kind}",
            *(f"{v:.1f}" for v in m[3:7]),
            *(f"{v:+.1f}" for v in m[7:]),
        ]
        for (kind, rate), m in means.items()
    ]
    return ranked, counted


def kinds(
    confusion: NDArray[np.floating] | None,
) -> tuple[tuple[str, NDArray[np.floating] | None], ...]:
    """How labels are flipped: the name, and the classes that each class is confused with."""
    return ("any class", None), ("confused ones", confusion)


def _one(
    Z: NDArray[np.floating],
    member: NDArray[np.intp],
    rate: float,
    confusion: NDArray[np.floating] | None,
    seed: int,
) -> list[float]:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    given = flip(member, rate, confusion, seed)
    wrong = given != member
    found = check_labels(left_out_scores(Z, given), given)
    peer = [
        get_label_quality_scores(given, found.P, method=method)
        for method in ("self_confidence", "normalized_margin")
    ]
    issues = find_label_issues(given, found.P)
    # A refit of a half without what was counted, judged on the other half with true labels.
    a, b = halves(len(member), seed)
    half = check_labels(left_out_scores(Z[a], given[a]), given[a])
    before = _accuracy(Z, given, a, b, member)
    kept = (~half.is_counted, ~find_label_issues(given[a], half.P), ~wrong[a])
    return [
        average_precision_score(wrong, -found.margin),
        *(average_precision_score(wrong, -scores) for scores in peer),
        found.noise.value,
        issues.mean(),
        wrong[found.is_counted].mean(),
        wrong[issues].mean(),
        *(_accuracy(Z, given, a[rows], b, member) - before for rows in kept),
    ]


def _accuracy(
    Z: NDArray[np.floating],
    given: NDArray[np.intp],
    known: NDArray[np.intp],
    judged: NDArray[np.intp],
    member: NDArray[np.intp],
) -> float:
    return float((scores_of(Z, known, given, judged).argmax(axis=1) == member[judged]).mean())


def measure_replay() -> list[list[str]]:
    """What choosing 60 labels would have been worth."""
    rows = []
    for name in SETS:
        X, y = features(name)
        member = np.unique(y, return_inverse=True)[1]
        found = replay(reduce(X), member, 60, duplicates(name), n_repeats=20)
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


def measure_unlabelled(n_repeats: int) -> list[list[str]]:
    """What training on unlabelled pictures too is worth: 2, 5 and 10 labels a class, all others hidden."""
    rows, pooled = [], []
    for name in SETS:
        X, y = features(name)
        Z, member = reduce(X), np.unique(y, return_inverse=True)[1]
        graph, row = neighbours(Z), []
        for n_labels in PER_CLASS:
            found = [_used(Z, member, graph, n_labels, seed) for seed in range(n_repeats)]
            row += (100 * np.mean(found, axis=0)).tolist()
        pooled.append(row)
        rows.append([name, *_gains(row)])
        print(rows[-1], flush=True)
    return [*rows, ["mean", *_gains(np.mean(pooled, axis=0).tolist())]]


def _gains(row: list[float]) -> list[str]:
    return [f"{v:+.1f}" if at % (1 + len(USES)) else f"{v:.1f}" for at, v in enumerate(row)]


def _used(
    Z: NDArray[np.floating], member: NDArray[np.intp], graph: Any, n_labels: int, seed: int
) -> list[float]:
    """Balanced accuracy of the labelled ones alone, and the gain by each method."""
    order = np.random.default_rng(seed).permutation(len(member))
    judged, rest = np.split(order, [len(order) // 5])
    known = np.concatenate([rest[member[rest] == k][:n_labels] for k in np.unique(member)])
    hidden = np.setdiff1d(rest, known)
    alone = balanced_accuracy(member[judged], scores_of(Z, known, member, judged).argmax(axis=1))
    return [alone, *(_gain(Z, member, graph, use, known, hidden, judged) for use in USES)]


def _gain(
    Z: NDArray[np.floating],
    member: NDArray[np.intp],
    graph: Any,
    use: str,
    known: NDArray[np.intp],
    hidden: NDArray[np.intp],
    judged: NDArray[np.intp],
) -> float:
    """In balanced accuracy, of training on the hidden ones too."""
    at, said, weight = USES[use](Z, graph, known, member, hidden)
    guessed = member.copy()
    guessed[at] = said
    both = np.concatenate([known, at])
    scores = (
        scores_of(Z, known, member, judged),
        scores_of(Z, both, guessed, judged, np.concatenate([np.ones(len(known)), weight])),
    )
    alone, too = (balanced_accuracy(member[judged], s.argmax(axis=1)) for s in scores)
    return too - alone


def measure_replayed_uses(n_repeats: int) -> list[list[str]]:
    """How often `label-next` would write pseudo-labels, and what these would gain with all labels."""
    rows, every = [], []
    for name in SETS:
        X, y = features(name)
        Z, member = reduce(X), np.unique(y, return_inverse=True)[1]
        together, found = duplicates(name), []
        for n_labels in REPLAYED:
            for seed in range(n_repeats):
                order = np.random.default_rng(seed).permutation(len(member))
                judged, rest = np.split(order, [len(order) // 4])
                known = np.concatenate(
                    [rest[member[rest] == k][:n_labels] for k in np.unique(member)]
                )
                hidden = np.setdiff1d(rest, known)
                if len(known) < FEWEST_USED or 2 * len(hidden) < len(known):
                    continue
                best = replay_uses(Z[known], member[known], len(hidden), together[known]).best
                use = "propagation" if best is None else best.name
                # As `label-next` sees them: those that judge are not in the graph.
                seen = np.concatenate([known, hidden, judged])
                parts = np.split(np.arange(len(seen)), [len(known), len(rest)])
                graph = neighbours(Z[seen[: len(rest)]])
                gain = _gain(Z[seen], member[seen], graph, use, *parts)
                found.append((best is not None, gain))
        every += found
        rows.append([name, *_said(found)])
        print(rows[-1], flush=True)
    return [*rows, ["all", *_said(every)]]


def duplicates(name: str) -> NDArray[np.int64]:
    """A number for each picture of a set that copies share."""
    found = index(SHARED / "data" / "domains" / name, cache=cache_folder())
    return duplicate_groups(found, found.records)


def _said(found: list[tuple[bool, float]]) -> list[str]:
    spoke, silent = ([gain for said, gain in found if said is which] for which in (True, False))
    means = [f"{100 * np.mean(some):+.1f}" if some else "–" for some in (spoke, silent)]
    return [
        f"{len(spoke)} of {len(found)}",
        means[0],
        f"{sum(g < 0 for g in spoke)} of {len(spoke)}",
        means[1],
    ]


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
                f"{100 * judge_features(features(name, candidate=0)[0], member, together).value:.0f}",
            ]
        )  # fmt: skip
        print(rows[-1], flush=True)
    return rows


# Of each part how it is measured, and its arguments.
PARTS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "unlabelled": (measure_unlabelled, (8,)),
    "replayed": (measure_replayed_uses, (5,)),
    "shortcuts": (measure_shortcuts, ()),
    "asked": (measure_replay, ()),
    "labels": (measure_labels, (3,)),
}
# What of the package decides the results.
CODE = ("data", "experiments", "features", "heads", "probe", "reliability", "runs/checks.py")


def kept_at(name: str) -> Path:
    """The file of a part; another one as soon as its arguments, or the code that measures it, change."""
    code = [digest_file(Path(module)) for module in (__file__, reliability.__file__)]
    facts = [name, PARTS[name][1], code, version("cleanlab") if name == "labels" else None]
    return memo_path(cache_folder(), "bench-labels", facts, code=CODE)


def kept(name: str, *, again: bool) -> tuple[Any, float]:
    """What a part measures, and its seconds of CPU, from an earlier run that was interrupted if there is one."""
    measure, arguments = PARTS[name]
    path = kept_at(name)
    if not again and (known := recall_json(path, list)) is not None:
        found, seconds = known
        return found, seconds
    started = time.process_time()
    found = measure(*arguments)
    seconds = time.process_time() - started
    keep_json(path, [found, seconds])
    return found, seconds


def main() -> None:
    """Measure and write the page."""
    if find_spec("cleanlab") is None:
        sys.exit("bench/labels.py compares with cleanlab: pip install cleanlab")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", action="store_true", help="measure what is kept, too")
    again, spent, found = parser.parse_args().again, 0.0, {}
    for name in PARTS:
        found[name], seconds = kept(name, again=again)
        spent += seconds
    used, replayed, shortcuts, asked, (ranked, counted) = found.values()
    heads, used_heads = ["set, flipped to"], ["set"]
    for rate in RATES:
        heads += [f"{100 * rate:.0f} %: margin", "self-confidence", "normalized margin"]
    for n in PER_CLASS:
        used_heads += [f"{n} labels a class", *USES]
    OUT.write_text(
        PAGE.format(
            command=COMMAND,
            spent=spent,
            version=version("cleanlab"),
            ranked=table(heads, ranked),
            counted=table(
                ["flipped", "counted, %", "by cleanlab", "of them wrong, %", "by cleanlab",
                 "refit without the counted", "without cleanlab's", "without the wrong ones"], counted,
            ),
            asked=table(
                ["set", "labels", "start", "random", "margin", "typicality", "coverage", "mix", "taken",
                 "worth random labels"], asked,
            ),
            used=table(used_heads, used),
            replayed=table(
                ["set", "said that it helps", "gain there", "lost there", "gain of propagation elsewhere"],
                replayed,
            ),
            shortcuts=table(
                ["set", "chance", "file size", "picture size", "file format", "border colour",
                 "mean colour", "first layer"], shortcuts,
            ),
            **counts(replayed, shortcuts, asked),
        ),
        encoding="utf-8",
    )  # fmt: skip
    print(f"{spent:.0f} s of CPU, {OUT}")


def counts(
    replayed: list[list[str]], shortcuts: list[list[str]], asked: list[list[str]]
) -> dict[str, int | str]:
    """What the last section of the page says of the rows of three tables."""
    n_lost, n_said = replayed[-1][3].split(" of ")
    colours = [[cell.endswith("*") for cell in row[5:7]] for row in shortcuts]
    return {
        "n_sets": len(asked),
        "n_said": n_said,
        "n_lost": n_lost,
        "lost_in": ", ".join(
            f"{row[0]} {row[3].split()[0]}" for row in replayed[:-1] if not row[3].startswith("0 ")
        ),
        "n_undecided": sum(row[-2] == "none" for row in asked),
        "n_coverage_lost": sum(row[6].startswith("-") for row in asked),
        "n_border": sum(border for border, _ in colours),
        "n_mean": sum(mean for _, mean in colours),
    }


PAGE = """# Wrong labels, next labels and shortcuts: the evidence

`{command}` (eight small real sets of eight domains, embedded network, the last layers joined at 224 + 320 px,
reduced to 256 principal axes; {spent:.0f} s of CPU with features in the store). It needs cleanlab (`pip install cleanlab`; here {version}).

## Wrong labels

5, 10 and 20 % of the labels are flipped, to any other class or to one that is confused with the true one; the
mean of three drawings. Average precision in % of three rankings: *margin* is that of `headstart clean`; *self-confidence* and
*normalized margin* are cleanlab's, on the same calibrated left-out probabilities.

{ranked}

Means over the eight sets. *Counted* is the share of labels in % that confident learning counts as wrong, in `headstart clean` and by
cleanlab's `find_label_issues`; then how many of these are wrong. The last columns are what leaving them out gains in points of
accuracy (a half is cleaned and fitted, the other is judged by its true labels), and what leaving out exactly the wrong ones would.

{counted}

## Next labels

The replay of `headstart label-next` with 60 labels and 20 repeats: balanced accuracy in %, gains over random labels in
points, the strategy that would be taken, and how many random labels its choice is worth. *none*: label at random.

{asked}

## Unlabelled pictures

Of four fifths of each set 2, 5 or 10 pictures a class are labelled and the others are not; the rest is judged. Balanced accuracy in %
of the labelled ones alone, and what training on the others too gains in points, by propagation over a graph of neighbours and by
class-balanced pseudo-labels; the mean of eight drawings.

{used}

What `label-next` says before it writes such labels, and what comes of it: 5, 10 or 20 pictures a class are labelled (50 or more
altogether), five drawings each. It replays on the labelled ones alone, copies kept together; the gain is that of all labels and all
unlabelled pictures, on other pictures, which are in neither (only the principal axes are those of all pictures).

{replayed}

## Shortcuts

Balanced accuracy in % by one property alone; a star marks what the report tells to look at. The last column is the network's first
layer alone, which sees colours and edges.

{shortcuts}

## What did not work

- Leaving out all that is counted loses accuracy where few labels are wrong, since hard images go too. There is little to win: leaving
  out exactly the wrong labels, which nobody knows, gains one point at 5 and 10 %.
- The margin is not a better ranking than cleanlab's self-confidence on the same probabilities; it needs no calibration. Both beat the
  normalized margin. cleanlab's filter counts more labels, fewer of them wrong.
- Where classes overlap (X-rays, waste, leaves), the average precision of every ranking is 71 to 90 %, and flips between confused classes
  are found less well than others on most sets.
- On {n_undecided} of {n_sets} sets no strategy of choosing labels was significantly better than chance, and coverage lost points on {n_coverage_lost}.
  The replay has fewer labels than the run, so that its gains are upper limits. Few repeats find less: with ten instead of 20, the gains
  on three sets were significant, and on five in another random order.
- Of {n_said} drawings in which the replay says that pseudo-labels help, {n_lost} lost accuracy ({lost_in}): it has fewer labels than the run,
  and what it gains there is gone with all of them. Compare both runs on their test images.
- With ten labels a class or more, unlabelled pictures add nothing on average, and on some sets they cost two points.
- Propagation with 15 neighbours and spread and power as published (0.99, 3) lost 3 to 5 points with two and five labels a class: neighbours,
  power and spread were chosen among six settings, on these same sets.
- Border colour is marked on {n_border} of {n_sets} sets, mean colour on {n_mean}, and only a person can tell what it means: flowers differ in colour, but brown spot of
  rice was photographed before a grey background.
"""


if __name__ == "__main__":
    main()
