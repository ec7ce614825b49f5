"""The peer of bench/frozen_head.py: a new head on a frozen backbone, trained epoch by epoch.

What most tutorials on transfer learning do: the output layer is replaced, the rest is frozen, and
each epoch passes every training image through the whole network again.

    python bench/peers/frozen_epochs.py scene15/ --split scene15_split.csv
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

if __package__:
    from bench.peers.extract_plain import BATCH_SIZE, Images, Recipe, lite0, load_model
else:
    from extract_plain import BATCH_SIZE, Images, Recipe, lite0, load_model

N_EPOCHS = 10


class LabelledImages(Dataset):
    """Network inputs with the number of their class."""

    def __init__(self, paths: Sequence[Path], labels: Sequence[int], recipe: Recipe) -> None:
        self.images = Images(paths, recipe)
        self.labels = labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.images[i], self.labels[i]


def make_loader(dataset: Dataset, *, num_workers: int, shuffle: bool) -> DataLoader:
    """Batches of the data set."""
    return DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=shuffle, num_workers=num_workers)


def replace_head(model: nn.Module, n_classes: int) -> nn.Linear:
    """Freeze the network, cut its classifier off, and make the new one."""
    model.requires_grad_(False)
    name = "classifier" if hasattr(model, "classifier") else "fc"
    width = getattr(model, name).in_features
    setattr(model, name, nn.Identity())
    return nn.Linear(width, n_classes)


def train_epoch(
    backbone: nn.Module, head: nn.Linear, loader: DataLoader, optimizer: torch.optim.Optimizer
) -> None:
    """One pass over the training images."""
    for images, labels in loader:
        with torch.no_grad():
            features = backbone(images)
        loss = nn.functional.cross_entropy(head(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def predict(backbone: nn.Module, head: nn.Linear, loader: DataLoader) -> torch.Tensor:
    """Class numbers, in the order of the loader."""
    return torch.cat([head(backbone(images)).argmax(1) for images, _ in loader])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="a folder of class folders")
    parser.add_argument("--split", type=Path, required=True, help="lines train,Class/file")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--weights", required=True, help="tf_efficientnet_lite0.safetensors")
    asked = parser.parse_args()
    lines = [line.split(",", 1) for line in asked.split.read_text().splitlines()]
    classes = sorted({name.split("/")[0] for _, name in lines})
    recipe = lite0(weights=asked.weights)

    def dataset(side: str) -> LabelledImages:
        names = [name for word, name in lines if word == side]
        labels = [classes.index(name.split("/")[0]) for name in names]
        return LabelledImages([asked.images / name for name in names], labels, recipe)

    train, test = dataset("train"), dataset("test")
    model = load_model(recipe)
    head = replace_head(model, len(classes))
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    for _ in range(N_EPOCHS):
        loader = make_loader(train, num_workers=asked.workers, shuffle=True)
        train_epoch(model, head, loader, optimizer)
    predicted = predict(model, head, make_loader(test, num_workers=asked.workers, shuffle=False))
    print(f"accuracy {(predicted == torch.tensor(test.labels)).float().mean():.4f}")


if __name__ == "__main__":
    main()
