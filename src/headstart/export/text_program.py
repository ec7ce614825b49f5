"""A classifier of texts that Headstart exported. Needs numpy; onnxruntime and tokenizers where there are .onnx files.

    python predict.py "a film to remember" "two hours too long"
    python predict.py < texts.txt                                    one text a line, UTF-8
    python predict.py -- --help                                      a text that begins with two hyphens

or, in this folder or with it on the path:

    from predict import Classifier
    classifier = Classifier()
    classifier.probabilities(["a film to remember"])                 # (n, classes)
    classifier.predict(["a film to remember"])                       # names of classes
"""

from __future__ import annotations

import importlib
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.text.tokens import tokenize

BATCH = 16
# A text without known tokens still needs one token to attend to.
NO_TOKENS = [0]


class Classifier:
    """Reads the files of the folder once; attributes are those of model.json."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(__file__).parent if folder is None else Path(folder)
        text = (self.folder / "model.json").read_text("utf-8")
        facts = json.loads(text, object_hook=lambda found: SimpleNamespace(**found))
        self.classes: list[str] = facts.classes
        self.costs = facts.costs
        self.is_unit, self.scale = facts.is_unit, facts.scale
        self.encoder, self.network = facts.encoder, facts.network
        arrays = np.load(self.folder / "model.npz", allow_pickle=False)
        self.coef, self.intercept = arrays["coef"], arrays["intercept"]
        self.idf = [arrays[f"idf{i}"] for i in range(len(facts.counted))]
        self.kinds = [kind for kind, _ in facts.counted]
        self.places = [{t: i for i, t in enumerate(terms)} for _, terms in facts.counted]
        self.vectors = arrays["vectors"] if "vectors" in arrays.files else None
        self.words = {word: i for i, word in enumerate(facts.words)}

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The predicted class of each text: the most probable, or that of least expected cost."""
        return self.labels(self.probabilities(texts))

    def labels(self, P: NDArray[np.float64]) -> list[str]:
        """The class for each row of probabilities, as `predict` chooses it."""
        best = P.argmax(axis=1) if self.costs is None else (P @ np.array(self.costs)).argmin(axis=1)
        return [self.classes[i] for i in best]

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Calibrated probabilities (n, classes) of texts."""
        scores = np.zeros((len(texts), len(self.classes)))
        for start in range(0, len(texts), BATCH):
            some = slice(start, start + BATCH)
            scores[some] = self._scores(list(texts[some]))
        scores *= self.scale
        P = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
        return np.asarray(P / P.sum(axis=1, keepdims=True))

    def _scores(self, texts: list[str]) -> NDArray[np.float64]:
        """What the linear head says of the features, before the temperature."""
        products = np.zeros((len(texts), len(self.classes)))
        squares = np.zeros(len(texts))
        start = 0
        for kind, places, idf in zip(self.kinds, self.places, self.idf, strict=True):
            for i, text in enumerate(texts):
                columns, values = weigh(terms_of(text, kind), places, idf)
                products[i] += self.coef[:, start + columns] @ values
                squares[i] += values @ values
            start += len(idf)
        rows = self._dense(texts)
        if rows is not None:
            products += rows @ self.coef[:, start:].T
            squares += (rows**2).sum(axis=1)
        if self.is_unit:
            norms = np.sqrt(squares)[:, None]
            products = products / np.where(norms > 0, norms, 1)
        return np.asarray(products + self.intercept)

    def _dense(self, texts: list[str]) -> NDArray[np.float64] | None:
        """Features that are not counts: of the encoder, of a network, or the mean word vector."""
        if self.encoder is not None:
            return self._encoded(texts)
        if self.network is not None:
            numbers = [[self.words.get(w, 1) for w in tokenize(text)] for text in texts]
            most = self.network.max_words
            ids, _ = padded([row[:most] for row in numbers], least=self.network.least_words)
            [found] = self._session("textcnn.onnx").run(None, {"tokens": ids})
            return np.asarray(np.log(np.maximum(np.exp(found.astype(np.float64)), 1e-12)))
        if self.vectors is None:
            return None
        rows = np.zeros((len(texts), self.vectors.shape[1]))
        for i, text in enumerate(texts):
            known = [self.words[word] for word in tokenize(text) if word in self.words]
            if known:
                rows[i] = self.vectors[known].mean(axis=0)
        return rows

    def _encoded(self, texts: list[str]) -> NDArray[np.float64]:
        """Layers of the sentence encoder side by side, each of unit length times the weight."""
        lower = self.encoder.lowers_case
        clean = [t.encode("utf-8", "replace").decode() for t in texts]
        found = self._tokenizer.encode_batch([t.lower() for t in clean] if lower else clean)
        ids, mask = padded([one.ids or NO_TOKENS for one in found])
        given = {"input_ids": ids, "attention_mask": mask}
        layers = self._session("encoder.onnx").run(None, given)
        # Headstart keeps features in float16.
        rounded = [layer.astype(np.float16).astype(np.float64) for layer in layers]
        norms = [np.linalg.norm(layer, axis=1, keepdims=True) for layer in rounded]
        unit = [x / np.where(n > 0, n, 1) for x, n in zip(rounded, norms, strict=True)]
        return np.asarray(np.hstack(unit) * self.encoder.weight)

    @property
    def _tokenizer(self) -> Any:
        if "tokenizer" not in self.__dict__:
            made: Any = self._package("tokenizers").Tokenizer.from_file(
                str(self.folder / "tokenizer.json")
            )
            made.no_padding()
            made.enable_truncation(self.encoder.max_tokens)
            self.__dict__["tokenizer"] = made
        return self.__dict__["tokenizer"]

    def _session(self, name: str) -> Any:
        if name not in self.__dict__:
            self.__dict__[name] = self._package("onnxruntime").InferenceSession(
                str(self.folder / name), providers=["CPUExecutionProvider"]
            )
        return self.__dict__[name]

    def _package(self, name: str) -> Any:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            needed = "onnxruntime" if self.encoder is None else "onnxruntime tokenizers"
            raise ModuleNotFoundError(
                f"this classifier needs {name}: python -m pip install {needed}", name=name
            ) from error


def terms_of(text: str, kind: str) -> Iterator[str]:
    """Words and pairs of words, or 2 to 5 characters within words and the spaces at their ends."""
    text = text.lower()
    if kind == "words":
        words = tokenize(text)
        yield from words
        yield from map(" ".join, pairwise(words))
        return
    for word in re.sub(r"\s\s+", " ", text).split():
        whole = f" {word} "
        for n in range(2, 6):
            yield whole[:n]
            yield from (whole[i : i + n] for i in range(1, len(whole) - n + 1))
            if len(whole) <= n:
                break  # a short word counts once


def weigh(
    terms: Iterator[str], places: dict[str, int], idf: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Columns and values of one row of TF-IDF, of unit length."""
    counts = Counter(places[term] for term in terms if term in places)
    columns = np.fromiter(counts, dtype=np.intp, count=len(counts))
    values = (1 + np.log(np.fromiter(counts.values(), dtype=np.float64, count=len(counts)))) * idf[
        columns
    ]
    norm = np.sqrt(values @ values)
    return columns, values / (norm if norm > 0 else 1)


def padded(rows: list[list[int]], least: int = 1) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of tokens (n, t), filled up with 0, and which of them are real."""
    ids = np.zeros((len(rows), max(least, *map(len, rows))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return ids, mask


def main() -> None:
    """Print the class of each text, and its probability."""
    given = sys.argv[1:]
    if given[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return
    if given and re.fullmatch(r"--[a-z][a-z-]*", given[0]):
        sys.exit(
            f"unknown option {given[0]}; for a text that begins with two hyphens: -- {given[0]}"
        )
    if given[:1] == ["--"]:
        given = given[1:]
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    if isinstance(sys.stdout, io.TextIOWrapper):  # of a terminal that lacks a character
        sys.stdout.reconfigure(errors="backslashreplace")
    texts = given or [line.rstrip("\n") for line in sys.stdin]
    classifier = Classifier()
    try:
        P = classifier.probabilities(texts)
    except ModuleNotFoundError as error:
        sys.exit(str(error))
    labels = classifier.labels(P)
    for text, label, p in zip(texts, labels, P, strict=True):
        print(f"{p[classifier.classes.index(label)]:.4f}\t{label}\t{text}")


if __name__ == "__main__":
    main()
