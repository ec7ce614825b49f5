"""Many texts: a fit beside scikit-learn's TF-IDF and one linear SVM, on the same split.

    .venv/bin/python bench/texts_growth.py                    60,000 texts of 20 classes
    .venv/bin/python bench/texts_growth.py --n-texts 5000

A text is a sentence of a docstring of an installed package, its class the package: nothing is
downloaded. The seconds to the first answer and to the end, and the test accuracies, are printed. Both
run here one after the other, so that both meet the same machine; processor seconds are told too, which
a busy machine does not change much.
"""

from __future__ import annotations

import argparse
import ast
import csv
import importlib.util
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.docstrings import parsed

import headstart
from headstart.data.texts import index_texts
from headstart.data.training import training_records
from headstart.files import write_atomically
from headstart.home import cache_folder

PACKAGES = (
    "torch", "ray", "scipy", "sympy", "sklearn", "pandas", "kornia", "networkx", "numpy", "pip",
    "huggingface_hub", "skimage", "onnxscript", "timm", "gensim", "mypy", "setuptools", "gradio",
    "torchvision", "playwright",
)  # fmt: skip
N_CHARACTERS = (25, 300)


def sentences(package: str) -> Iterator[str]:
    """Sentences of the docstrings of a package's modules, functions and classes."""
    spec = importlib.util.find_spec(package)
    for place in spec.submodule_search_locations or () if spec else ():
        for tree in parsed(Path(place)):
            for node in ast.walk(tree):
                if isinstance(
                    node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
                ):
                    for part in re.split(r"(?<=[.!?])\s+|\n\n", ast.get_docstring(node) or ""):
                        text = " ".join(part.split())
                        n_letters = sum(c.isalpha() for c in text)
                        low, high = N_CHARACTERS
                        if low <= len(text) <= high and n_letters > 0.6 * len(text):
                            yield "".join(filter(str.isprintable, text))


def kept_sentences(package: str) -> list[str]:
    """Different sentences of a package in a random order; they are read from it once."""
    path = cache_folder() / "bench" / "sentences" / f"{package}.json"
    if not path.exists():
        found = list(dict.fromkeys(sentences(package)))
        random.Random(0).shuffle(found)
        write_atomically(path, json.dumps(found).encode())
    kept: list[str] = json.loads(path.read_bytes())
    return kept


def write_table(path: Path, n_texts: int, packages: Sequence[str] = PACKAGES) -> int:
    """Write the table, columns ``text`` and ``package``; returns how many texts there are."""
    rows = []
    for package in packages:
        rows += [(text, package) for text in kept_sentences(package)[: n_texts // len(packages)]]
    random.Random(0).shuffle(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "package"), *rows])
    return len(rows)


def time_headstart(table: Path, folder: Path) -> str:
    """Seconds to the first answer and to the end, of a fit whose cache is empty."""
    began, cpu, firsts = time.perf_counter(), time.process_time(), []

    def watch(planned: Sequence[object], measured: Sequence[object]) -> None:
        if measured and not firsts:
            firsts.append(time.perf_counter() - began)
            used = time.process_time() - cpu
            print(
                f"headstart: first answer {firsts[0]:.0f} s ({used:.0f} s of processors)",
                flush=True,
            )

    run = headstart.fit(
        table, out=folder / "run", cache=folder / "cache", label="package", watch=watch
    )
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    return (
        f"headstart: first answer {firsts[0]:.0f} s, all {wall:.0f} s ({cpu:.0f} s of processors), "
        f"test accuracy {run.accuracy}; {run.metrics.chosen.tap}"
    )


def time_sklearn(table: Path) -> str:
    """TF-IDF of words and one linear SVM, as scikit-learn's tutorial has it."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    index = index_texts(table, label_column="package")
    train, test = training_records(index), index.test
    began, cpu = time.perf_counter(), time.process_time()
    made = make_pipeline(TfidfVectorizer(), LinearSVC())
    made.fit([r.text for r in train], [r.label for r in train])
    right = made.predict([r.text for r in test]) == np.array([r.label for r in test])
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    return (
        f"scikit-learn: {wall:.0f} s ({cpu:.0f} s of processors), test accuracy {right.mean():.1%}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-texts", type=int, default=60_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        where = Path(name) / "sentences.csv"
        print(
            f"{write_table(where, asked.n_texts):,} texts of {len(PACKAGES)} packages", flush=True
        )
        print(time_sklearn(where), flush=True)
        print(time_headstart(where, Path(name)), flush=True)
