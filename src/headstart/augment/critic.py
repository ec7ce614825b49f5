"""The critic of a search: are augmented images distinguishable from real ones, and are classes kept?

Unlike Faster AutoAugment, which trains a WideResNet on pixels for hours of GPU time, only two small
heads are trained, on features of a frozen pretrained backbone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Trunk = Callable[[Tensor], Tensor]
"""From float32 images (B, 3, S, S) in [0, 1] to features (B, d), with gradients to the images."""

HIDDEN = 128


def backbone_trunk(name: str = "embedded", *, n_taps: int = 2) -> Trunk:
    """Frozen features of a backbone: evenly spaced taps, including the last feature layer.

    Raises BackboneError or WeightsError as :func:`headstart.backbones.load`.
    """
    from headstart.backbones import TappedModule, load

    backbone = load(name)
    maps = [tap.name for tap in backbone.taps if tap.has_places] or [backbone.taps[-1].name]
    taps = [maps[(len(maps) * (i + 1)) // n_taps - 1] for i in range(n_taps)]
    module = TappedModule(backbone, list(dict.fromkeys(taps))).eval()
    mean = torch.tensor(backbone.preprocessing.mean).view(1, 3, 1, 1)
    std = torch.tensor(backbone.preprocessing.std).view(1, 3, 1, 1)

    def features(images: Tensor) -> Tensor:
        return torch.cat([tap.float() for tap in module((images - mean) / std)], dim=1)

    return features


class Critic(nn.Module):
    """Two heads on frozen features: a Wasserstein score and a classifier.

    Parameters
    ----------
    real : float32 tensor (n, d)
        Features of real images; their mean and standard deviation set the scale.
    generator : torch.Generator
        For the initial weights of the heads.
    """

    def __init__(
        self, trunk: Trunk, real: Tensor, n_classes: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.trunk = trunk
        d = real.shape[1]
        self.mean = real.mean(0)
        # Divided by sqrt(d), the distance of two random images is about 1 whatever d is, and
        # the score (of slope 1) and the class loss have comparable sizes.
        self.spread = (real.std(0) + 1e-3 * real.std() + 1e-8) * d**0.5
        self.hidden = nn.Linear(d, HIDDEN)
        self.score = nn.Linear(HIDDEN, 1)
        self.classes = nn.Linear(d, n_classes)
        with torch.no_grad():
            for layer in (self.hidden, self.score):
                size = layer.weight.shape[1] ** -0.5
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * size)
                layer.bias.zero_()
            self.classes.weight.zero_()
            self.classes.bias.zero_()

    def features(self, images: Tensor) -> Tensor:
        """Scaled features (B, d) of float32 images in [0, 1]."""
        return self.scaled(self.trunk(images))

    def scaled(self, features: Tensor) -> Tensor:
        """Features of the trunk on the critic's scale."""
        scaled: Tensor = (features - self.mean) / self.spread
        return scaled

    def realness(self, features: Tensor) -> Tensor:
        """Score (B,) of scaled features: high if they look like those of a real image."""
        scores: Tensor = self.score(F.leaky_relu(self.hidden(features), 0.2))
        return scores.squeeze(1)

    def class_loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the classifier on scaled features."""
        # A linear classifier suits features of standard deviation 1; see `spread`.
        logits: Tensor = self.classes(features * features.shape[1] ** 0.5)
        return F.cross_entropy(logits, labels)


def fit_classes(critic: Critic, real: Tensor, labels: Tensor, *, n_steps: int = 100) -> None:
    """Train the classifier on the real images, with weight decay, before the search."""
    optimizer = torch.optim.AdamW(critic.classes.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(n_steps):
        optimizer.zero_grad()
        critic.class_loss(real, labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def critic_loss(
    critic: Critic, real: Tensor, fake: Tensor, generator: torch.Generator, *, penalty: float = 10.0
) -> Tensor:
    """WGAN-GP loss (Gulrajani 2017) on scaled features."""
    share = torch.rand(len(real), 1, generator=generator)
    between = torch.lerp(real, fake, share).requires_grad_(True)
    (slope,) = torch.autograd.grad(critic.realness(between).sum(), between, create_graph=True)
    distance = critic.realness(fake).mean() - critic.realness(real).mean()
    steep: Tensor = (slope.norm(dim=1) - 1).square().mean()
    return distance + penalty * steep
