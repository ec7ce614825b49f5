"""TextCNN, ours and as it is written plainly; and a new output layer on a frozen one."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench.harness import stopwatch
from bench.sides.networks import Actions
from numpy.typing import NDArray

from headstart.text.tokens import tokenize
from headstart.text.words import Vocabulary

# As Kim's vectors have. These are random: the time does not depend on the values.
N_FEATURES = 300
SPLITS = ("train", "test")
N_HEAD_EPOCHS = 10


@dataclass(frozen=True)
class Texts:
    """Word numbers and labels of both sides' training and test texts."""

    vocabulary: Vocabulary
    vectors: NDArray[np.float32]
    train: list[NDArray[np.int64]]
    test: list[NDArray[np.int64]]
    labels: list[str]

    @property
    def classes(self) -> list[str]:
        return sorted(set(self.labels))

    @property
    def numbers(self) -> list[int]:
        numbers = {label: i for i, label in enumerate(self.classes)}
        return [numbers[label] for label in self.labels]


def read_texts(table: str) -> Texts:
    """The table as both sides are given it; splitting it into words is not timed."""
    lines = read_table(Path(table))
    tokens = {split: [tokenize(t) for t, _, s in lines if s == split] for split in SPLITS}
    vocabulary = Vocabulary.build(tokens["train"])
    rng = np.random.default_rng(0)
    vectors = rng.uniform(-0.25, 0.25, size=(len(vocabulary), N_FEATURES)).astype(np.float32)
    vectors[0] = 0
    train, test = ([vocabulary.encode(t) for t in tokens[split]] for split in SPLITS)
    return Texts(vocabulary, vectors, train, test, [y for _, y, s in lines if s == "train"])


def read_table(path: Path) -> list[tuple[str, str, str]]:
    """Text, label and split of each row."""
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["text"], row["label"], row["split"]) for row in csv.DictReader(file)]


def textcnn_ours(table: str, variant: str, n_epochs: int) -> Actions:
    """`headstart.text.train_textcnn`; one measurement is a whole training."""
    from bench.peers import textcnn_plain as plain

    from headstart.text import TextTraining, TrainedText, train_textcnn

    texts = read_texts(table)
    settings = TextTraining(
        variant=variant,
        epochs=n_epochs,
        # As the plain script has them.
        batch_size=plain.BATCH_SIZE,
        lr=plain.LR,
        max_norm=plain.MAX_NORM,
        n_features=N_FEATURES,
        schedule="constant",
    )
    made: list[TrainedText] = []

    def measure() -> dict[str, Any]:
        with stopwatch() as elapsed:
            made[:] = [
                train_textcnn(texts.train, texts.labels, texts.vocabulary, texts.vectors, settings)
            ]
        return {"seconds": elapsed()}

    def predict() -> dict[str, Any]:
        found = made[0].proba(texts.test).argmax(1)
        return {"predicted": [made[0].classes[i] for i in found]}

    return {"measure": measure, "predict": predict}


def textcnn_plain(table: str, variant: str, n_epochs: int) -> Actions:
    """The plain script; one measurement is a whole training."""
    import torch
    from bench.peers import textcnn_plain as plain

    texts = read_texts(table)
    train = plain.make_loader(
        [torch.from_numpy(row) for row in texts.train], texts.numbers, shuffle=True
    )
    test = plain.make_loader(
        [torch.from_numpy(row) for row in texts.test], [0] * len(texts.test), shuffle=False
    )
    made: list[plain.TextCNN] = []

    def measure() -> dict[str, Any]:
        torch.manual_seed(0)
        with stopwatch() as elapsed:
            vectors = torch.from_numpy(texts.vectors)
            made[:] = [plain.TextCNN(vectors, len(texts.classes), variant)]
            optimizer = plain.make_optimizer(made[0])
            for _ in range(n_epochs):
                plain.train_epoch(made[0], train, optimizer)
        return {"seconds": elapsed()}

    def predict() -> dict[str, Any]:
        return {"predicted": [texts.classes[i] for i in plain.predict(made[0], test).tolist()]}

    return {"measure": measure, "predict": predict}


def write_static(table: str, folder: str, n_epochs: int) -> Actions:
    """A trained `static` network in a file, for both sides to put a new output layer on."""
    from headstart.text import TextTraining, save_textcnn, train_textcnn

    def measure() -> dict[str, Any]:
        texts = read_texts(table)
        settings = TextTraining(variant="static", epochs=n_epochs)
        trained = train_textcnn(
            texts.train, texts.labels, texts.vocabulary, texts.vectors, settings
        )
        save_textcnn(Path(folder), trained, texts.vocabulary)
        return {"seconds": trained.seconds}

    return {"measure": measure}


def texthead_ours(table: str, folder: str) -> Actions:
    """Features of every text once, then cross-validate and fit the head.

    The features are kept between ``measure``, which makes them, and ``cached``, which reads them.
    ``single`` fits once at the usual C, as the peer does at its usual rate: nothing is chosen.
    """
    from headstart.heads import LinearSVM, LinearSVMPath
    from headstart.text import extract_taps, load_textcnn

    texts = read_texts(table)
    model = load_textcnn(Path(folder))[0].model
    kept = Path(folder) / f"features-{os.getpid()}.npy"
    heads: list[LinearSVMPath] = []

    def fit() -> None:
        heads[:] = [LinearSVMPath().fit(np.load(kept, allow_pickle=False), texts.labels)]

    def measure() -> dict[str, Any]:
        with stopwatch() as elapsed:
            np.save(kept, extract_taps(model, texts.train)["penultimate"])
            fit()
        return {"seconds": elapsed()}

    def cached() -> dict[str, Any]:
        with stopwatch() as elapsed:
            fit()
        return {"seconds": elapsed()}

    def single() -> dict[str, Any]:
        with stopwatch() as elapsed:
            LinearSVM().fit(np.load(kept, allow_pickle=False), texts.labels)
        return {"seconds": elapsed()}

    def predict() -> dict[str, Any]:
        X = extract_taps(model, texts.test)["penultimate"]
        return {"predicted": heads[0].predict(X).tolist()}

    return {"measure": measure, "cached": cached, "single": single, "predict": predict}


def texthead_plain(table: str, folder: str) -> Actions:
    """Ten epochs of a new output layer, each through the frozen network."""
    import torch
    from bench.peers import textcnn_plain as plain

    from headstart.text import load_textcnn

    texts = read_texts(table)
    trained = load_textcnn(Path(folder))[0]
    model = plain.TextCNN(torch.from_numpy(texts.vectors), len(texts.classes), "static")
    for conv, ours in zip(model.convs, trained.model.maps.values(), strict=True):
        conv.load_state_dict(ours.state_dict())
    train = plain.make_loader(
        [torch.from_numpy(row) for row in texts.train], texts.numbers, shuffle=True
    )
    test = plain.make_loader(
        [torch.from_numpy(row) for row in texts.test], [0] * len(texts.test), shuffle=False
    )

    def measure() -> dict[str, Any]:
        torch.manual_seed(0)
        with stopwatch() as elapsed:
            head = torch.nn.Linear(model.linear.in_features, len(texts.classes))
            optimizer = plain.make_optimizer(head)
            for _ in range(N_HEAD_EPOCHS):
                plain.train_head_epoch(model, head, train, optimizer)
        model.linear = head
        return {"seconds": elapsed()}

    def predict() -> dict[str, Any]:
        return {"predicted": [texts.classes[i] for i in plain.predict(model, test).tolist()]}

    return {"measure": measure, "predict": predict}
