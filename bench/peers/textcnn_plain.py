"""The peer of bench/textcnn.py: Kim's TextCNN as tutorials write it, in plain PyTorch.

A DataLoader shuffles and fills each batch up to its longest text, `torch.nn.Embedding` looks the vectors
up, three `torch.nn.Conv1d`, the maximum over time, dropout, a linear layer, Adam.

    python bench/docstrings.py docstrings.csv
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

BATCH_SIZE = 50
WIDTHS = (3, 4, 5)
N_MAPS = 100
DROPOUT = 0.5
MAX_NORM = 3.0
LR = 1e-3


class TextCNN(nn.Module):
    """One or two channels of word vectors, maps of three widths, a linear layer."""

    def __init__(self, vectors: torch.Tensor, n_classes: int, variant: str) -> None:
        super().__init__()
        frozen = {"static": [True], "multichannel": [True, False]}.get(variant, [False])
        self.channels = nn.ModuleList(
            nn.Embedding.from_pretrained(vectors.clone(), freeze=f, padding_idx=0) for f in frozen
        )
        width = vectors.shape[1] * len(frozen)
        self.convs = nn.ModuleList(nn.Conv1d(width, N_MAPS, w) for w in WIDTHS)
        self.dropout = nn.Dropout(DROPOUT)
        self.linear = nn.Linear(N_MAPS * len(WIDTHS), n_classes)

    def features(self, tokens: torch.Tensor) -> torch.Tensor:
        """What the linear layer is given."""
        x = torch.cat([channel(tokens) for channel in self.channels], 2).transpose(1, 2)
        maps = [nn.functional.relu(conv(x)) for conv in self.convs]
        return torch.cat([nn.functional.max_pool1d(m, m.shape[2]).squeeze(2) for m in maps], 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.linear(self.dropout(self.features(tokens)))


def collate(rows: Sequence[tuple[torch.Tensor, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts filled up to the longest of the batch, and to the widest map; labels."""
    tokens = pad_sequence([row for row, _ in rows], batch_first=True)
    missing = max(WIDTHS) - tokens.shape[1]
    if missing > 0:
        tokens = nn.functional.pad(tokens, (0, missing))
    return tokens, torch.tensor([label for _, label in rows])


def make_loader(
    rows: Sequence[torch.Tensor], labels: Sequence[int], *, shuffle: bool
) -> DataLoader:
    """Batches; the texts are in memory, so that workers would only cost."""
    pairs = list(zip(rows, labels, strict=True))
    return DataLoader(pairs, batch_size=BATCH_SIZE, shuffle=shuffle, collate_fn=collate)


def train_epoch(model: TextCNN, loader: DataLoader, optimizer: torch.optim.Optimizer) -> float:
    """One pass over the training texts."""
    model.train()
    total = 0.0
    for tokens, labels in loader:
        loss = nn.functional.cross_entropy(model(tokens), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.linear.weight.copy_(torch.renorm(model.linear.weight, 2, 0, MAX_NORM))
        total += float(loss.detach()) * len(labels)
    return total


def train_head_epoch(
    model: TextCNN, head: nn.Linear, loader: DataLoader, optimizer: torch.optim.Optimizer
) -> None:
    """One pass over the training texts for a new linear layer; the rest is frozen."""
    model.eval()
    for tokens, labels in loader:
        with torch.no_grad():
            features = model.features(tokens)
        loss = nn.functional.cross_entropy(head(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def predict(model: TextCNN, loader: DataLoader) -> torch.Tensor:
    """Class numbers, in the order of the loader."""
    model.eval()
    return torch.cat([model(tokens).argmax(1) for tokens, _ in loader])


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """Adam over what has gradients."""
    return torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=LR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, help="a CSV file with a heading: text, label")
    parser.add_argument("--epochs", type=int, default=5)
    asked = parser.parse_args()
    with asked.table.open(newline="", encoding="utf-8") as file:
        _, *lines = csv.reader(file)
    words = [re.findall(r"\w+|[^\w\s]", text.lower()) for text, _ in lines]
    counts = Counter(word for row in words for word in row)
    numbers = {word: i + 2 for i, (word, _) in enumerate(counts.most_common())}
    classes = sorted({label for _, label in lines})
    rows = [torch.tensor([numbers[word] for word in row]) for row in words]
    labels = [classes.index(label) for _, label in lines]
    torch.manual_seed(0)
    order = torch.randperm(len(rows)).tolist()
    n_test = len(rows) // 5

    def loader(chosen: Sequence[int], shuffle: bool) -> DataLoader:
        return make_loader([rows[i] for i in chosen], [labels[i] for i in chosen], shuffle=shuffle)

    vectors = torch.empty(len(numbers) + 2, 300).uniform_(-0.25, 0.25)
    vectors[0] = 0
    model = TextCNN(vectors, len(classes), "rand")
    optimizer = make_optimizer(model)
    for _ in range(asked.epochs):
        train_epoch(model, loader(order[n_test:], shuffle=True), optimizer)
    found = predict(model, loader(order[:n_test], shuffle=False))
    expected = torch.tensor([labels[i] for i in order[:n_test]])
    print(f"accuracy {(found == expected).float().mean():.4f}")


if __name__ == "__main__":
    main()
