"""The peer of bench/finetune.py: fine-tuning as tutorials write it, in plain PyTorch.

A DataLoader decodes and augments, the classifier is replaced, what the regime keeps has its gradients
turned off, and every epoch passes every image through the whole network.

    python bench/peers/finetune_plain.py scene15/ --split scene15_split.csv --regime all \
        --weights tf_efficientnet_lite0.safetensors
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import v2

if __package__:
    from bench.peers.extract_plain import Images, Recipe, lite0, load_model
else:
    from extract_plain import Images, Recipe, lite0, load_model

BATCH_SIZE = 32
# The modules of EfficientNet-Lite0 above a layer, which are trained besides the classifier.
UPPER = {
    "blocks.4": ("blocks.5", "blocks.6", "conv_head", "bn2"),
    "blocks.5": ("blocks.6", "conv_head", "bn2"),
}


class LabelledImages(Images):
    """Network inputs, augmented if asked for, with the number of their class."""

    def __init__(
        self, paths: Sequence[Path], labels: Sequence[int], recipe: Recipe, augment: bool
    ) -> None:
        super().__init__(paths, recipe)
        self.labels = labels
        if augment:
            self.transform = v2.Compose(
                [
                    v2.ToImage(),
                    v2.RandomResizedCrop(recipe.size_px, scale=(0.35, 1.0), antialias=True),
                    v2.RandomHorizontalFlip(),
                    v2.ColorJitter(0.2, 0.2, 0.2),
                    v2.ToDtype(torch.float32, scale=True),
                    v2.Normalize(recipe.mean, recipe.std),
                ]
            )

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return super().__getitem__(i), self.labels[i]


def make_network(recipe: Recipe, n_classes: int, regime: str, tap: str = "") -> nn.Module:
    """The pretrained network with a new classifier, and gradients where the regime trains."""
    model = load_model(recipe)
    model.classifier = nn.Linear(model.classifier.in_features, n_classes)
    trained = ("",) if regime == "all" else (*UPPER.get(tap, ()), "classifier")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(trained))
    return model


def train_epoch(model: nn.Module, loader: DataLoader, optimizer: torch.optim.Optimizer) -> float:
    """One pass over the training images, statistics of batch normalisation as the source has them."""
    model.eval()
    total = 0.0
    for images, labels in loader:
        loss = nn.functional.cross_entropy(model(images), labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(labels)
    return total


@torch.no_grad()
def predict(model: nn.Module, loader: DataLoader) -> torch.Tensor:
    """Class numbers, in the order of the loader."""
    model.eval()
    return torch.cat([model(images).argmax(1) for images, _ in loader])


def make_optimizer(model: nn.Module, lr: float) -> torch.optim.Optimizer:
    """AdamW over what has gradients."""
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="a folder of class folders")
    parser.add_argument("--split", type=Path, required=True, help="lines train,Class/file")
    parser.add_argument("--weights", required=True, help="tf_efficientnet_lite0.safetensors")
    parser.add_argument("--regime", choices=("all", "upper", "output"), default="all")
    parser.add_argument("--tap", choices=UPPER, default="", help="of the regime upper")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    lines = [line.split(",", 1) for line in asked.split.read_text().splitlines()]
    classes = sorted({name.split("/")[0] for _, name in lines})
    recipe = lite0(weights=asked.weights)

    def loader(side: str) -> DataLoader:
        names = [name for word, name in lines if word == side]
        labels = [classes.index(name.split("/")[0]) for name in names]
        paths = [asked.images / name for name in names]
        dataset = LabelledImages(paths, labels, recipe, augment=side == "train")
        return DataLoader(
            dataset, batch_size=BATCH_SIZE, shuffle=side == "train", num_workers=asked.workers
        )

    model = make_network(recipe, len(classes), asked.regime, asked.tap)
    optimizer = make_optimizer(model, asked.lr)
    train, test = loader("train"), loader("test")
    for _ in range(asked.epochs):
        train_epoch(model, train, optimizer)
    predicted = predict(model, test)
    labels = torch.tensor(test.dataset.labels)
    print(f"accuracy {(predicted == labels).float().mean():.4f}")


if __name__ == "__main__":
    main()
