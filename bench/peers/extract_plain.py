"""The peer of bench/extraction.py: the script that a competent user writes to keep every layer.

Torchvision's transforms on PIL images, a DataLoader, the model in eager float32, forward hooks that
average each layer's map, everything collected and saved as NumPy files.

    python bench/peers/extract_plain.py images/ features/ --model torchvision:resnet18 \
        --layers relu,layer1,layer2,layer3,layer4,fc
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

BATCH_SIZE = 32


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A network, the layers to keep, and its preprocessing as its authors give it."""

    model: str
    layers: tuple[str, ...]
    weights: str | None = None
    size_px: int = 224
    resize_px: int = 256
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)


def lite0(*, weights: str, layers: tuple[str, ...] = (), size_px: int = 224) -> Recipe:
    """EfficientNet-Lite0 as timm describes it."""
    return Recipe(
        model="timm:tf_efficientnet_lite0",
        layers=layers,
        weights=weights,
        size_px=size_px,
        resize_px=int(size_px / 0.875),
        interpolation="bicubic",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )


class Images(Dataset):
    """The files of a list as network inputs."""

    def __init__(self, paths: Sequence[Path], recipe: Recipe) -> None:
        self.paths = paths
        self.transform = transforms.Compose(
            [
                transforms.Resize(
                    recipe.resize_px, transforms.InterpolationMode(recipe.interpolation)
                ),
                transforms.CenterCrop(recipe.size_px),
                transforms.ToTensor(),
                transforms.Normalize(recipe.mean, recipe.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> torch.Tensor:
        with Image.open(self.paths[i]) as image:
            return self.transform(image.convert("RGB"))


def load_model(recipe: Recipe) -> nn.Module:
    """The network in evaluation mode."""
    library, name = recipe.model.split(":")
    if library == "timm":
        model = timm.create_model(name, pretrained=False)
    else:
        options = {"aux_logits": True} if name in ("googlenet", "inception_v3") else {}
        model = torchvision.models.get_model(name, weights=None, **options)
    if recipe.weights:
        model.load_state_dict(load_file(recipe.weights))
    return model.eval()


@torch.no_grad()
def extract(
    model: nn.Module, paths: Sequence[Path], recipe: Recipe, *, num_workers: int
) -> dict[str, np.ndarray]:
    """Features (n, d) of every layer, each map averaged over its positions."""
    kept: dict[str, list[np.ndarray]] = {layer: [] for layer in recipe.layers}

    def keep(layer: str):
        def hook(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
            pooled = output.mean((2, 3)) if output.ndim == 4 else output
            kept[layer].append(pooled.numpy())

        return hook

    hooks = [model.get_submodule(name).register_forward_hook(keep(name)) for name in recipe.layers]
    loader = DataLoader(Images(paths, recipe), batch_size=BATCH_SIZE, num_workers=num_workers)
    for batch in loader:
        model(batch)
    for hook in hooks:
        hook.remove()
    return {layer: np.concatenate(parts) for layer, parts in kept.items()}


def save(features: dict[str, np.ndarray], folder: Path) -> None:
    """One ``.npy`` file a layer."""
    folder.mkdir(parents=True, exist_ok=True)
    for layer, X in features.items():
        np.save(folder / f"{layer}.npy", X)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="torchvision:resnet18")
    parser.add_argument("--layers", required=True)
    parser.add_argument("--weights")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    layers = tuple(asked.layers.split(","))
    recipe = Recipe(model=asked.model, layers=layers, weights=asked.weights)
    paths = sorted(asked.images.rglob("*.jpg"))
    save(extract(load_model(recipe), paths, recipe, num_workers=asked.workers), asked.out)


if __name__ == "__main__":
    main()
