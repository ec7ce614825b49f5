"""Which layer to take with one to twelve images per class: rules of choice on real features.

    .venv/bin/python bench/few_images.py            writes docs/evidence/few-images.md

Of each set some images of every class are drawn to train on, and all others tested on, many times. Every
layer at every resolution is judged by cross-validated ridge regression of the training images: its
closed form makes thousands of draws affordable. One is chosen by each rule, and its balanced accuracy on
the other images is counted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import ROOT, SHARED

from headstart.data import Record, index
from headstart.features import cache_folder, extract
from headstart.heads import paired_difference, stratified_folds
from headstart.heads.accuracy import MOST_BEHIND
from headstart.sources.blocks import plan_blocks, read_blocks, usual_blocks

SETS = (
    "scene15",
    "textures",
    "domains/flowers12",
    "domains/rice_leaves",
    "domains/chest_xray",
    "domains/sign_digits",
    "domains/neu_steel",
    "domains/trashnet",
    "domains/groceries",
)
RESOLUTIONS = (160, 224, 320)
OUT = ROOT / "docs" / "evidence" / "few-images.md"
COMMAND = ".venv/bin/python bench/few_images.py"
N_POOL = 40
RIDGE = 0.3
# Images of each class; "1 or 8": half of the classes have one, the others eight.
SHOTS = ("1", "2", "3", "4", "6", "8", "12", "1 or 8")

USUAL = "accuracy of the usual layer"
HINDSIGHT = "best layer in hindsight"
OLD = "cheapest tie within a point, 5 folds"
NEW = "usual unless p <= 0.05, then cheapest tie, 5 folds"

Rights = NDArray[np.bool_]


Found = dict[str, dict[str, dict[str, float]]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate every set and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    found = {name: simulate(name, asked.seeds) for name in asked.sets}
    asked.out.write_text("\n".join(page(found, asked.seeds)) + "\n", encoding="utf-8")
    print(f"written: {asked.out}")
    return 0


def simulate(name: str, n_seeds: int) -> dict[str, dict[str, float]]:
    """Mean test accuracy, in points over the usual layer, of every rule for each of `SHOTS`."""
    grams, y, costs, usual, fixed = features_of(name)
    out = {}
    for shots in SHOTS:
        lines: dict[str, list[float]] = {}
        everyone = []
        for seed in range(n_seeds):
            train = draw(y, shots, np.random.default_rng(seed))
            if train is None:
                break
            fitted = Fitted(grams, y, train)
            accuracy = fitted.accuracy(grams, y)
            everyone.append(accuracy)
            lines.setdefault(USUAL, []).append(accuracy[usual])
            for folds_name, folds in divisions(y[train], seed).items():
                judged = judge(fitted.held_out(folds), costs, usual)
                for rule_name, rule in RULES.items():
                    gain = accuracy[rule(judged)] - accuracy[usual]
                    lines.setdefault(f"{rule_name}, {folds_name}", []).append(gain)
        if not everyone:
            continue
        steady = np.mean(everyone, axis=0)
        for j, label in fixed.items():
            lines[f"always {label}"] = [float(steady[j] - steady[usual])]
        lines[HINDSIGHT] = [float(steady.max() - steady[usual])]
        out[shots] = {line: float(np.mean(values)) for line, values in lines.items()}
        print(f"{name}: {shots}", flush=True)
    return out


def pool_of(name: str) -> list[Record]:
    """The images that training and test ones are drawn from: the first of each class, without copies."""
    images = index(SHARED / "data" / name, cache=cache_folder())
    copies = {n for group in images.duplicates for n in group.names[1:]}
    taken: dict[str, int] = {}
    records = []
    for record in images.records:
        taken[record.label] = taken.get(record.label, 0) + 1
        if taken[record.label] <= N_POOL and record.name not in copies:
            records.append(record)
    return records


def features_of(
    name: str,
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64], int, dict[int, str]]:
    """Gram matrices of all candidates, classes, ranks of cost, the usual candidate, and fixed others."""
    from headstart.backbones import at_size, load, measure_complexity

    backbone = load("embedded")
    records = pool_of(name)
    stores = extract(records, backbone, resolutions=RESOLUTIONS).stores
    macs = {s: measure_complexity(at_size(backbone, s)).tap_macs for s in RESOLUTIONS}
    planned = plan_blocks([tap.name for tap in backbone.taps], RESOLUTIONS)
    grams, costs = [], []
    for blocks in planned:
        X = read_blocks(stores, [r.digest for r in records], blocks)
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        grams.append(X @ X.T)
        costs.append(
            (sum(max(macs[s][t] for t in blocks.taps) for s in blocks.resolutions), X.shape[1])
        )
    order = sorted(range(len(costs)), key=lambda i: costs[i])
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    y = np.unique([r.label for r in records], return_inverse=True)[1]
    usual = usual_blocks(backbone, RESOLUTIONS)
    fixed = {
        i: f"{b.tap_label} at {b.resolution_label} px"
        for i, b in enumerate(planned)
        if (b.taps == usual.taps or len(b.taps) > 1) and b != usual
    }
    return np.stack(grams), y, rank, planned.index(usual), fixed


def draw(y: NDArray[np.int64], shots: str, rng: np.random.Generator) -> NDArray[np.intp] | None:
    """Rows to train on; None where a class has too few images to leave ten to test on."""
    classes = rng.permutation(y.max() + 1)
    few, _, many = shots.partition(" or ")
    rows = []
    for i, k in enumerate(classes):
        n = int(many) if many and i % 2 else int(few)
        own = rng.permutation(np.flatnonzero(y == k))
        if len(own) < n + 6:
            return None
        rows.append(own[:n])
    return np.sort(np.concatenate(rows))


def divisions(y: NDArray[np.int64], seed: int) -> dict[str, NDArray[np.int64]]:
    """Ways of holding images out."""
    largest = int(np.bincount(y).max())
    ways = {
        "5 folds": stratified_folds(y, n_folds=5, seed=seed),
        "leave-one-out": np.arange(len(y)),
    }
    if 1 < largest < 5:
        ways["a fold an image of a class"] = stratified_folds(y, n_folds=largest, seed=seed)
    return ways


class Fitted:
    """Ridge regression of all candidates on some of the images.

    Attributes
    ----------
    inverse : float64 array (n_candidates, n, n)
        Of the regularised Gram matrices.
    weights, target : float64 array (n_candidates, n, K), (n, K)
    """

    def __init__(self, grams: NDArray[Any], y: NDArray[np.int64], train: NDArray[np.intp]) -> None:
        self.y, self.train = y[train], train
        self.target = 2.0 * (self.y[:, None] == np.arange(y.max() + 1)) - 1
        within = grams[:, train[:, None], train].astype(np.float64)
        self.inverse = np.linalg.inv(within + 1 + RIDGE * np.eye(len(train)))
        self.weights = self.inverse @ self.target

    def accuracy(self, grams: NDArray[Any], y: NDArray[np.int64]) -> NDArray[np.float64]:
        """Balanced accuracy of each candidate on the images that were not fitted on."""
        rest = np.setdiff1d(np.arange(len(y)), self.train)
        scores = (grams[:, rest[:, None], self.train] + 1) @ self.weights
        right = scores.argmax(axis=2) == y[rest]
        return np.mean([right[:, y[rest] == k].mean(axis=1) for k in np.unique(y[rest])], axis=0)

    def held_out(self, folds: NDArray[np.int64]) -> Rights:
        """Whether each image is recognised without its fold; one whose class is not left never is."""
        right = np.zeros(self.weights.shape[:2], dtype=bool)
        for fold in np.unique(folds):
            rows = np.flatnonzero(folds == fold)
            own = self.inverse[:, rows[:, None], rows]
            scores = self.target[rows] - np.linalg.solve(own, self.weights[:, rows])
            known = np.isin(np.arange(self.target.shape[1]), self.y[folds != fold])
            scores[:, :, ~known] = -np.inf
            right[:, rows] = scores.argmax(axis=2) == self.y[rows]
        return right


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What cross-validation says: positions among the candidates, and how the usual one stands."""

    usual: int
    best: int
    cheapest_tie: int
    is_tie: bool
    p_value: float


def judge(rights: Rights, costs: NDArray[np.int64], usual: int) -> Judged:
    """What every rule goes by; of equals the best is the usual candidate, then the cheapest."""
    n_right = rights.sum(axis=1)
    best = max(range(len(rights)), key=lambda i: (n_right[i], i == usual, -costs[i]))
    less = rights.astype(float) - rights[best]
    behind = less.mean(axis=1)
    is_tie = np.abs(behind) <= less.std(axis=1) / np.sqrt(rights.shape[1])
    tied = np.flatnonzero(is_tie & (behind >= -MOST_BEHIND))
    return Judged(
        usual=usual,
        best=best,
        cheapest_tie=int(tied[costs[tied].argmin()]),
        is_tie=bool(is_tie[usual]),
        p_value=paired_difference(rights[best], rights[usual]).p_value,
    )


RULES: dict[str, Callable[[Judged], int]] = {
    "cheapest tie within a point": lambda j: j.cheapest_tie,
    "most accurate": lambda j: j.best,
    "usual if a tie, else most accurate": lambda j: j.usual if j.is_tie else j.best,
    "usual unless p <= 0.32, then cheapest tie": lambda j: (
        j.usual if j.p_value > 0.32 else j.cheapest_tie
    ),
    "usual unless p <= 0.05, then cheapest tie": lambda j: (
        j.usual if j.p_value > 0.05 else j.cheapest_tie
    ),
    "usual unless p <= 0.05, then most accurate": lambda j: j.usual if j.p_value > 0.05 else j.best,
}


def page(found: Found, n_seeds: int) -> list[str]:
    """The lines of the page."""
    return [
        "# Which layer, with few images per class",
        "",
        "```sh",
        COMMAND,
        "```",
        "",
        (
            f"{len(found)} sets, {n_seeds} draws of training images each, at most {N_POOL} images per class; "
            "44 candidates (every layer at 160, 224 and 320 px, some joined) on the features of "
            "EfficientNet-Lite0. The usual layer is the last before the logits at 224 px. Balanced "
            "accuracy on the images that were not drawn, mean over the draws and the sets."
        ),
        "",
        (
            "Up to four images per class no rule that follows cross-validation does better than always taking "
            "the usual layer, and leave-one-out does no better than folds. A rule that leaves the usual "
            "layer only for one that is significantly better (McNemar's exact p of at most 0.05) loses "
            "0.2 points at most. With one image a class cross-validation recognises nothing, all candidates tie, and "
            "0.1 took the cheapest. The same where half of the classes have one image and the others eight."
        ),
        "",
        "## Rules by images per class",
        "",
        "Points over the usual layer, whose accuracy in % is the first line.",
        "",
        *table(found),
        "",
        "## Set by set",
        "",
        "Points over the usual layer with 1, 2, 4 and 8 images per class.",
        "",
        *table_of_sets(found),
    ]


def table(found: Found) -> list[str]:
    """Rules by numbers of images, mean over the sets."""
    named = dict.fromkeys(line for of in found.values() for row in of.values() for line in row)
    order = sorted(named, key=lambda line: (line != USUAL, line != HINDSIGHT, line))
    return [
        "| rule | " + " | ".join(SHOTS) + " |",
        "| --- |" + " ---: |" * len(SHOTS),
        *(
            "| " + " | ".join([line, *(mean_of(found, line, s) for s in SHOTS)]) + " |"
            for line in order
        ),
    ]


def table_of_sets(found: Found) -> list[str]:
    """The rule of 0.1, the present one and the best layer in hindsight for every set."""
    lines = (OLD, NEW, HINDSIGHT)
    out = [f"| set | {' | '.join(lines)} |", "| --- |" + " --- |" * len(lines)]
    for name, of in found.items():
        cells = [
            ", ".join(mean_of({name: of}, line, s) for s in ("1", "2", "4", "8")) for line in lines
        ]
        out.append("| " + " | ".join([Path(name).name, *cells]) + " |")
    return out


def mean_of(found: Found, line: str, shots: str) -> str:
    """The mean over the sets in points; a dash where there is none."""
    values = [of[shots][line] for of in found.values() if line in of.get(shots, {})]
    return f"{round(100 * np.mean(values), 1) + 0.0:.1f}" if values else "–"


if __name__ == "__main__":
    sys.exit(main())
