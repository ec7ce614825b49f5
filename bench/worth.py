"""The worth of labels: do those that `clean` says cost accuracy do so, and how often does it speak?

    .venv/bin/python bench/worth.py            writes docs/evidence/worth.md

With the sets in the feature store it takes a few minutes of CPU.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import ROOT
from bench.labels import flip
from bench.reliability import SETS, features, table

from headstart.heads import stratified_folds
from headstart.reliability.asking import reduce, scores_of
from headstart.reliability.labels import check_labels, left_out_scores
from headstart.reliability.worth import label_cost

OUT = ROOT / "docs" / "evidence" / "worth.md"
COMMAND = ".venv/bin/python bench/worth.py"
RATES = (0.0, 0.05, 0.1, 0.2)
# Share of the images whose labels are weighed; the others, with right labels, are the judges.
KNOWN = 0.75
N_REPEATS, N_DRAWINGS = 4, 6
# Of uneven sets: the share of the images that every second class keeps.
THIN = 0.2


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One drawing of flipped labels."""

    name: str
    is_uneven: bool
    rate: float
    n_named: int
    n_wrong: int
    speaks: bool
    said: float
    gain: float
    gain_of_counted: float


def trial(
    name: str,
    Z: NDArray[np.floating],
    member: NDArray[np.intp],
    rate: float,
    confusion: NDArray[np.floating] | None,
    seed: int,
    *,
    is_uneven: bool,
) -> Trial:
    """What `clean` would say of the known images, and what came of it on the others."""
    order = np.random.default_rng(100 + seed).permutation(len(member))
    known, judges = np.split(order, [round(KNOWN * len(member))])
    if is_uneven:
        drawn = np.random.default_rng(200 + seed).random(len(known))
        known = known[(member[known] % 2 == 0) | (drawn < THIN)]
    given = flip(member, rate, confusion, seed)
    folds = [stratified_folds(given[known], n_folds=5, seed=s) for s in range(N_REPEATS)]
    found = label_cost(Z[known], given[known], folds)
    named = known[found.rows]
    check = check_labels(left_out_scores(Z[known], given[known]), given[known])

    def accuracy(some: NDArray[np.intp]) -> float:
        scores = scores_of(Z, some, given, judges)
        is_right = scores.argmax(axis=1) == member[judges]
        return float(np.mean([is_right[member[judges] == k].mean() for k in np.unique(member)]))

    before = accuracy(known)
    return Trial(
        name=name,
        is_uneven=is_uneven,
        rate=rate,
        n_named=len(named),
        n_wrong=int((given[named] != member[named]).sum()),
        speaks=found.holds,
        said=found.gain.value,
        gain=accuracy(np.setdiff1d(known, named)) - before,
        gain_of_counted=accuracy(known[~check.is_counted]) - before,
    )


def measure(name: str) -> list[Trial]:
    """One set at every rate, as it is and uneven; flips to any class and to confused ones by turns."""
    X, y = features(name)
    Z, member = reduce(X), np.unique(y, return_inverse=True)[1]
    P = check_labels(left_out_scores(Z, member), member).P
    confusion = np.stack([P[member == k].mean(axis=0) for k in range(member.max() + 1)])
    found = [
        trial(name, Z, member, rate, confusion if seed % 2 else None, seed, is_uneven=uneven)
        for uneven in (False, True)
        for rate in RATES
        for seed in range(N_DRAWINGS)
    ]
    print(name, sum(t.speaks for t in found), flush=True)
    return found


HEADS = [
    "flipped", "named", "of them wrong, %", "spoke, %", "said", "gain where it spoke", "gain where silent",
    "spoke and lost", "gain without all counted",
]  # fmt: skip


def by_set(found: list[Trial]) -> list[list[str]]:
    """A row for each set and rate of flips."""
    rows = []
    for name in (*SETS, "all"):
        row = [name]
        for rate in RATES:
            some = [t for t in found if t.rate == rate and name in (t.name, "all")]
            spoke = [t.gain for t in some if t.speaks]
            row += [f"{sum(t.speaks for t in some)} of {len(some)}", _points(spoke)]
        rows.append(row)
    return rows


def summary(found: list[Trial]) -> list[list[str]]:
    """A row for each rate of flips."""
    rows = []
    for rate in RATES:
        some = [t for t in found if t.rate == rate]
        spoke, silent = [t for t in some if t.speaks], [t for t in some if not t.speaks]
        n_named = sum(t.n_named for t in some)
        share = 100 * sum(t.n_wrong for t in some) / n_named if n_named else 0.0
        rows.append(
            [
                f"{100 * rate:.0f} %", f"{n_named / len(some):.1f}", f"{share:.0f}",
                f"{100 * len(spoke) / len(some):.0f}", _points([t.said for t in spoke]),
                _points([t.gain for t in spoke]), _points([t.gain for t in silent]),
                f"{sum(t.gain < 0 for t in spoke)} of {len(spoke)}",
                _points([t.gain_of_counted for t in some]),
            ]
        )  # fmt: skip
    return rows


def _points(gains: list[float]) -> str:
    if not gains:
        return "–"
    error = f" ± {100 * np.std(gains) / (len(gains) - 1) ** 0.5:.1f}" if len(gains) > 2 else ""
    return f"{100 * np.mean(gains):+.1f}{error}"


def main() -> None:
    """Measure and write the page."""
    started = time.process_time()
    write([t for name in SETS for t in measure(name)], time.process_time() - started)


def write(found: list[Trial], spent: float) -> None:
    """Write the page."""
    heads, even = ["set"], [t for t in found if not t.is_uneven]
    for rate in RATES:
        heads += [f"{100 * rate:.0f} %: spoke", "gain"]
    OUT.write_text(
        PAGE.format(
            command=COMMAND,
            spent=spent,
            n=N_DRAWINGS,
            summary=table(HEADS, summary(even)),
            uneven=table(HEADS, summary([t for t in found if t.is_uneven])),
            thin=100 * THIN,
            by_set=table(heads, by_set(even)),
        ),
        encoding="utf-8",
    )  # fmt: skip
    print(f"{spent:.0f} s of CPU, {OUT}")


PAGE = """# What labels cost: the evidence

`{command}` (eight small real sets of eight domains, embedded network, the last layers joined at 224 + 320 px,
reduced to 256 principal axes; {spent:.0f} s of CPU with features in the store).

Of each set three quarters of the images are known, and 0, 5, 10 or 20 % of their labels are flipped, to any class or to one that is
confused with the true one; {n} drawings. `headstart clean` names labels that cost the others accuracy, and speaks where four
times five fresh folds of the known images confirm it. The rest of the set, with its true labels, is the judge: what dropping the
named labels gains there, in points of balanced accuracy, with the standard error over drawings.

## In short

*Named* is the mean number of labels, *said* what `clean` says that they cost, *gain without all counted* what dropping
every label that confident learning counts does instead.

{summary}

## Uneven sets

The same where every second class keeps {thin:.0f} % of its known images only.

{uneven}

## By set

Of how many drawings it spoke, and the gain where it did.

{by_set}

## What did not work

- Its limits were chosen on these same sets: a label is named where the others lose a tenth of a right answer or more through it, and
  nothing is said where more than a third of a class is named. The figures above are therefore not those of new sets; that it is silent on right labels is what was sought.
- It does not find most wrong labels: `clean` lists those by their margin ([evidence](labels.md)). Of the labels named here 58 to 85 %
  are wrong; the others are hard or odd images that mislead the classifier as well.
- With 5 and 10 % of the labels flipped it is nearly always silent: hundreds of images are few to see half a point. At 5 % even the
  true labels gained only 0.2 points over the flipped ones.
- Dropping all that is counted as wrong loses accuracy where few labels are wrong (the last column above): hard examples go too.
- Relabelling what costs accuracy to the class that the others say, rather than dropping it, was worse in a first comparison (four
  drawings; gain at 0, 5, 10 and 20 %: −0.8, −0.6, +0.3 and +0.5 points for labels whose change gains more than 0.2 images, against
  +0.0, +0.0, +0.6 and +1.1 for dropping).
- A test of the mean chance of being recognised alone spoke for 15, 44 and 65 % of the drawings at 5, 10 and 20 %, and 10 of these 59
  drawings lost accuracy: the chance also rises where the classifier becomes surer without being right more often. It has to
  rise significantly, but so has the balanced accuracy.
- With every example counted alike, it named the rare class of right but uneven labels: of 150 simulated examples, 7 % of them in
  one of two classes that overlap, in 12 of 19 drawings, and 9 in 10 of the names were of that class. Each class counts alike since,
  and it is silent where more than a third of a class is named: 0 of 21 such drawings.
"""


if __name__ == "__main__":
    main()
