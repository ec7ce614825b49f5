"""Few labelled texts: layers of a sentence encoder, TF-IDF, and both, on sentences of documentation.

    .venv/bin/python bench/sentence_encoders.py                    20 packages, 10, 50 and 150 texts per class
    .venv/bin/python bench/sentence_encoders.py --per-class 10

A text is a sentence of a docstring of an installed package, its class the package (bench/texts_growth.py):
nothing is downloaded. Each candidate is the linear SVM of a fit: C by 5-fold cross-validation on the
training texts, test accuracy on 100 other texts per class, on 3 splits. Prints the table of docs/text.md.
Sentences and results are kept in the cache folder as they are made: the same command goes on where it
was stopped, and --only names a part of the work.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.texts_growth import PACKAGES, kept_sentences

from headstart.data.texts import TextRecord
from headstart.files import write_atomically
from headstart.heads import stratified_folds
from headstart.heads.costs import COSTS
from headstart.home import cache_folder
from headstart.runs.measure import Task
from headstart.runs.refit import refit
from headstart.sources.text import BOTH, TextBlocks, TextSource, beside_counts, encoder_blocks
from headstart.text.encoders import BUNDLED
from headstart.text.sentences import text_digest

N_TEST, SPLITS = 100, (0, 1, 2)


def records(n: int) -> list[TextRecord]:
    """So many sentences of each package."""
    return [
        TextRecord(name=t, label=package, digest=text_digest(t), split="train", group=t, text=t)
        for package in PACKAGES
        for t in kept_sentences(package)[:n]
    ]


def measure(
    train: Sequence[TextRecord], test: Sequence[TextRecord], known: dict[str, float], only: str
) -> Iterator[tuple[str, float]]:
    """Test accuracy of each candidate that is not known."""
    source = TextSource(
        train=train,
        embeddings=None,
        encoder=BUNDLED,
        cache=cache_folder(),
        device="cpu",
        progress=lambda stage, done, total: None,
    )
    y = np.array([r.label for r in train])
    folds = stratified_folds(y, np.arange(len(y)), n_folds=5, seed=0)
    task = Task(source=source, records=train, folds=folds, Cs=COSTS, cache=cache_folder())
    assert source.encoder_files is not None
    layers = encoder_blocks(source.encoder_files)
    last, joined = layers[len(source.encoder_files.own_taps) - 1], layers[-1]
    candidates: list[TextBlocks] = [BOTH, *layers, beside_counts(last), beside_counts(joined)]
    for blocks in candidates:
        name = blocks.taps[0]
        if name not in known and only in name:
            tested = refit(task.judge(blocks), source=source, train=train, test=test)
            yield name, float(tested.correct.mean())


def main(per_class: Sequence[int], only: str = "") -> None:
    """Measure what is not known, and print the table."""
    every = records(max(150, *per_class) + N_TEST)
    labels = np.array([r.label for r in every])
    path = cache_folder() / "bench" / "sentence-encoders.json"
    known: dict[str, dict[str, float]] = json.loads(path.read_bytes()) if path.exists() else {}
    table: dict[str, list[str]] = {}
    for n in per_class:
        reached: dict[str, list[float]] = {}
        for seed in SPLITS:
            rng = np.random.default_rng(seed)
            rows = [rng.permutation(np.flatnonzero(labels == name)) for name in PACKAGES]
            train = [every[i] for own in rows for i in own[:n]]
            test = [every[i] for own in rows for i in own[-N_TEST:]]
            found = known.setdefault(f"{n} {seed}", {})
            for name, accuracy in measure(train, test, found, only):
                found[name] = accuracy
                write_atomically(path, json.dumps(known).encode())
            for name, accuracy in found.items():
                reached.setdefault(name, []).append(100 * accuracy)
        for name, values in reached.items():
            table.setdefault(name, []).append(f"{np.mean(values):.1f} ({np.ptp(values):.1f})")
        print(f"{n} texts per class done, {cpu_seconds():.0f} s of processors", file=sys.stderr)
    print("| linear SVM on | " + " | ".join(map(str, per_class)) + " |")
    print("| --- |" + " ---: |" * len(per_class))
    for name, cells in table.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


def cpu_seconds() -> float:
    """Of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--per-class", type=int, nargs="+", default=[10, 50, 150])
    parser.add_argument("--only", default="", help="Candidates whose name has these words.")
    asked = parser.parse_args()
    main(asked.per_class, asked.only)
