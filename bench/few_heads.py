"""Which classifier with one to sixteen images per class: the linear SVM against what is usual with few images.

    .venv/bin/python bench/few_heads.py                  measures what is missing, writes docs/evidence/few-heads.md
    .venv/bin/python bench/few_heads.py --minutes 3      stops after about three minutes; the same again goes on

Of each set some images of every class are drawn to train on, and all others tested on. All classifiers see the
same features: those that `fit --prefer single` takes as a rule. What is measured is kept
($HEADSTART_CACHE/bench-few-heads).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.few_images import N_POOL, SETS, draw, pool_of
from bench.harness import ROOT
from bench.summary_page import mean_of, table

from headstart.features import cache_folder, extract
from headstart.files import write_atomically
from headstart.heads import LinearSVM, stratified_folds
from headstart.probe import fit_best
from headstart.sources.blocks import plan_blocks, read_blocks

RESOLUTIONS = (224, 320)
SHOTS = (1, 2, 4, 8, 16)
OUT = ROOT / "docs" / "evidence" / "few-heads.md"
COMMAND = ".venv/bin/python bench/few_heads.py"
OURS = "linear SVM of Headstart"
# FroFA: copies of a row, and how far its channels are shifted at most, of their range.
N_COPIES, SHIFT = 8, 0.3

Rows = NDArray[np.float32]
Labels = NDArray[np.int64]
Head = Callable[[Rows, Labels, Rows], Labels]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no draw later")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    ends_at = time.monotonic() + 60 * asked.minutes
    for seed in range(asked.draws):
        for name in asked.sets:
            path = kept_at(name, seed)
            kept = recall(path)
            if is_complete(kept) or time.monotonic() > ends_at:
                continue
            found = measured(name, seed, kept)
            write_atomically(path, json.dumps(found).encode())
            print(f"{name}, draw {seed}: {time.process_time():.0f} s of CPU so far", flush=True)
    trials = {
        name: [t for t in (recall(kept_at(name, s)) for s in range(asked.draws)) if is_complete(t)]
        for name in asked.sets
    }
    asked.out.write_text(page({n: t for n, t in trials.items() if t}), encoding="utf-8")
    print(f"written: {asked.out}")
    return 0


def kept_at(name: str, seed: int) -> Path:
    """The file of one draw of one set."""
    return cache_folder() / "bench-few-heads" / f"2-{Path(name).name}-{seed}.json"


@cache
def features_of(name: str) -> tuple[Rows, Labels]:
    """Rows of unit length, the last four layers joined at two resolutions, and classes."""
    from headstart.backbones import load

    backbone = load("embedded")
    records = pool_of(name)
    stores = extract(records, backbone, resolutions=RESOLUTIONS).stores
    planned = plan_blocks([tap.name for tap in backbone.taps], RESOLUTIONS)
    [join] = [b for b in planned if len(b.taps) == 4 and len(b.resolutions) == 2]
    X = read_blocks(stores, [r.digest for r in records], join)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X, np.unique([r.label for r in records], return_inverse=True)[1]


Found = dict[str, dict[str, float]]


def recall(path: Path) -> Found:
    """What was kept; nothing where there is no file."""
    found: Found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def is_complete(kept: Found) -> bool:
    """Whether every classifier was measured."""
    return bool(kept) and all(HEADS.keys() <= of.keys() for of in kept.values())


def measured(name: str, seed: int, kept: Found) -> Found:
    """Balanced accuracy of every classifier, by images per class; what is kept is not measured again."""
    X, y = features_of(name)
    found = {}
    for shots in SHOTS:
        train = draw(y, str(shots), np.random.default_rng(seed))
        if train is None:
            continue
        rest = np.setdiff1d(np.arange(len(y)), train)
        heads = HEADS | ({} if shots < 5 else LARGER)
        known = kept.get(str(shots), {})
        found[str(shots)] = known | {
            head: balanced_accuracy_score(y[rest], predict(X[train], y[train], X[rest]))
            for head, predict in heads.items()
            if head not in known
        }
    return found


def svm(X: Rows, y: Labels, Z: Rows) -> Labels:
    """The linear SVM with C from five folds."""
    return np.asarray(fit_best(X, y, stratified_folds(y)).svm.predict(Z))


def shifted(X: Rows, y: Labels, Z: Rows) -> Labels:
    """The same on rows whose channels are shifted at random: FroFA (Bär et al. 2024), by channel."""
    rng = np.random.default_rng(0)
    low, high = X.min(axis=0), X.max(axis=0)
    copies = [
        np.clip(X + (high - low) * rng.uniform(-SHIFT, SHIFT, X.shape), low, high)
        for _ in range(N_COPIES)
    ]
    rows = np.vstack([X, *copies]).astype(np.float32)
    # Copies of an image share its fold.
    folds = np.tile(stratified_folds(y), N_COPIES + 1)
    return np.asarray(fit_best(rows, np.tile(y, N_COPIES + 1), folds).svm.predict(Z))


def centroid(X: Rows, y: Labels, Z: Rows) -> Labels:
    """SimpleShot (Wang et al. 2019): less the mean of the training rows, to unit length, the nearest centroid."""
    X, Z = X - X.mean(axis=0), Z - X.mean(axis=0)
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    Z /= np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-12)
    means = np.stack([X[y == k].mean(axis=0) for k in range(y.max() + 1)])
    return np.asarray((Z @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1))


def fitted(make: Callable[[], Any]) -> Head:
    """An estimator of scikit-learn as a classifier here."""
    return lambda X, y, Z: np.asarray(make().fit(X, y).predict(Z))


HEADS: dict[str, Head] = {
    OURS: svm,
    "the same, C = 10": fitted(lambda: LinearSVM(C=10)),
    "the same with features augmented (FroFA)": shifted,
    "nearest centroid (SimpleShot)": centroid,
    "nearest neighbour": fitted(lambda: KNeighborsClassifier(1)),
    "ridge classifier of scikit-learn": fitted(RidgeClassifier),
    "logistic regression, C = 100": fitted(lambda: LogisticRegression(C=100, max_iter=1000)),
    "logistic regression after StandardScaler": fitted(
        lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    ),
}
LARGER: dict[str, Head] = {"five nearest neighbours": fitted(lambda: KNeighborsClassifier(5))}

Trials = Mapping[str, Sequence[Mapping[str, Mapping[str, float]]]]


def page(trials: Trials) -> str:
    """The Markdown text."""
    others = [head for head in (*HEADS, *LARGER) if head != OURS]
    counts = {len(t) for t in trials.values()}
    draws = str(counts.pop()) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    parts = [
        "# Which classifier, with few images per class",
        f"```sh\n{COMMAND}\n```",
        (
            f"{len(trials)} sets, {draws} draws of training images each, at most {N_POOL} images per class; the last four "
            "layers of EfficientNet-Lite0 before the logits, joined at 224 and 320 px, rows of unit length. "
            "Balanced accuracy on the images that were not drawn."
        ),
        "## Over all sets",
        (
            "Points over the linear SVM, whose accuracy in % is the first line: mean of the sets, with a 95 % interval "
            "over which sets were drawn (bootstrap). A set counts in a column if every class has six images more than are drawn."
        ),
        *table(
            [
                [OURS, *(_mean(accuracies(trials, s)).replace("+", "") for s in SHOTS)],
                *([head, *(_mean(gains(trials, head, s)) for s in SHOTS)] for head in others),
                ["number of sets", *(str(len(accuracies(trials, s))) for s in SHOTS)],
            ],
            ("classifier", *(str(s) for s in SHOTS)),
        ),
        "## Set by set",
        "Points over the linear SVM with 1, 4 and 16 images per class.",
        *table(
            [
                [Path(name).name, *(_cells(trials, name, head) for head in others[:-1])]
                for name in trials
            ],
            ("set", *others[:-1]),
        ),
        (
            "TabPFN was not tried: its weights have to be downloaded. *FroFA* shifts each channel of a row by up to "
            f"{SHIFT} of its range, {N_COPIES} times (Bär et al. 2024, on pooled features instead of tokens)."
        ),
    ]
    return "\n\n".join(parts) + "\n"


def gains(trials: Trials, head: str, shots: int) -> list[float]:
    """Over the SVM, a mean for each set that has so many images."""
    each = [
        [t[str(shots)][head] - t[str(shots)][OURS] for t in draws if head in t.get(str(shots), {})]
        for draws in trials.values()
    ]
    return [float(np.mean(values)) for values in each if values]


def accuracies(trials: Trials, shots: int) -> list[float]:
    """Of the SVM, a mean for each set that has so many images."""
    each = [[t[str(shots)][OURS] for t in d if str(shots) in t] for d in trials.values()]
    return [float(np.mean(values)) for values in each if values]


def _mean(values: Sequence[float]) -> str:
    return mean_of(values) if values else "–"


def _cells(trials: Trials, name: str, head: str) -> str:
    of = [gains({name: trials[name]}, head, s) for s in (1, 4, 16)]
    return ", ".join(f"{100 * v[0]:+.1f}".replace("-", "−") if v else "–" for v in of)


if __name__ == "__main__":
    sys.exit(main())
