"""Gradient search for a policy: pipeline against critic, for a time or a number of steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.augment.critic import Critic, Trunk, backbone_trunk, critic_loss, fit_classes
from headstart.augment.pipeline import Pipeline
from headstart.augment.policy import Policy
from headstart.augment.subpolicies import OPERATIONS
from headstart.errors import InputError
from headstart.progress import Progress, silent


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Settings of a policy search.

    Parameters
    ----------
    budget_s : float > 0, default 120
        Time after which the search ends; at least one step is taken.
    n_steps : int >= 1, default 300
        Maximum number of gradient steps. The same seed and number of steps give the same policy.
    size_px : int in [16, 512], default 64
        Side to which images are reduced.
    batch_size : int >= 2, default 24
    n_sub_policies, n_operations : int >= 1, default 8 and 2
        Number of sub-policies, and of operations in each.
    lr : float > 0, default 0.02
        Adam's rate for probabilities and magnitudes; a tenth of it for the weights of operations,
        whose softmax has a low temperature.
    class_weight : float >= 0, default 0.1
        Weight of the critic's classification loss on augmented images.
    seed : int >= 0

    Raises
    ------
    InputError
        A value is out of range.
    """

    budget_s: float = 120.0
    n_steps: int = 300
    size_px: int = 64
    batch_size: int = 24
    n_sub_policies: int = 8
    n_operations: int = 2
    lr: float = 0.02
    class_weight: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, good, legal in (
            ("budget_s", self.budget_s > 0, "above 0"),
            ("n_steps", self.n_steps >= 1, "1 or more"),
            ("size_px", 16 <= self.size_px <= 512, "from 16 to 512"),
            ("batch_size", self.batch_size >= 2, "2 or more"),
            ("n_sub_policies", 1 <= self.n_sub_policies <= 100, "from 1 to 100"),
            ("n_operations", 1 <= self.n_operations <= 5, "from 1 to 5"),
            ("lr", self.lr > 0, "above 0"),
            ("class_weight", self.class_weight >= 0, "0 or more"),
            ("seed", self.seed >= 0, "0 or more"),
        ):
            if not good:
                raise InputError(f"{name} must be {legal}; got {getattr(self, name)}")


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes
    ----------
    policy : Policy
        Named ``"learnt"``.
    settings : SearchSettings
    history : tuple of (realness gap, class loss)
        One pair per step: mean score of real minus augmented images, and the classification loss
        on augmented images.
    seconds : float
    """

    policy: Policy
    settings: SearchSettings
    history: tuple[tuple[float, float], ...]
    seconds: float

    def shares(self) -> list[tuple[str, float, float, float]]:
        """Each operation's share of the steps, and its mean probability and magnitude.

        The largest share first; means are weighted by the weights of the choices.
        """
        steps = [step for sub in self.policy.sub_policies for step in sub]
        rows = []
        for name in OPERATIONS:
            mine = [choice for step in steps for choice in step if choice.operation == name]
            total = sum(choice.weight for choice in mine)
            if total:
                probability = sum(c.weight * c.probability for c in mine) / total
                magnitude = sum(c.weight * c.magnitude for c in mine) / total
                rows.append((name, total / len(steps), probability, magnitude))
        return sorted(rows, key=lambda row: -row[1])

    def to_dict(self) -> dict[str, Any]:
        """The policy's JSON, which `parse_policy` reads, with the settings of the search."""
        last = self.history[-1]
        note = {
            **asdict(self.settings),
            "steps_taken": len(self.history),
            "seconds": round(self.seconds, 1),
            "realness_gap": round(last[0], 4),
            "class_loss": round(last[1], 4),
        }
        return {**self.policy.to_dict(), "search": note}


def search(
    images: Tensor,
    labels: Tensor,
    *,
    n_classes: int,
    settings: SearchSettings | None = None,
    trunk: Trunk | None = None,
    operations: tuple[str, ...] = OPERATIONS,
    progress: Progress = silent,
) -> SearchResult:
    """Learn which operations vary images without making them unrealistic or changing their class.

    Faster AutoAugment (Hataya 2020), with a critic on the features of a frozen backbone instead of
    one trained on pixels (:mod:`headstart.augment.critic`), a subset, and minutes instead of hours.

    Parameters
    ----------
    images : uint8 tensor (n, 3, R, R)
        Training images only.
    labels : int64 tensor (n,)
    n_classes : int
    settings : SearchSettings, optional
    trunk : callable, optional
        Features for the critic; default: those of the embedded backbone.
    operations : tuple of str
        Operations to choose from.
    progress : Progress
        Reports the stage ``"search"``. An interrupted search returns nothing.

    Returns
    -------
    SearchResult

    Raises
    ------
    InputError
        Fewer than two images or classes, or Kornia is not installed.
    """
    settings = settings or SearchSettings()
    started = time.monotonic()
    if len(images) < 2 or n_classes < 2 or len(labels) != len(images):
        raise InputError(
            "a search for an augmentation policy needs two classes and two labelled images at "
            f"least; got {n_classes} classes, {len(images)} images and {len(labels)} labels"
        )
    history: list[tuple[float, float]] = []
    with one_thread():
        duel = _Search(images, labels, n_classes, settings, trunk, operations)
        stepping = time.monotonic()
        while len(history) < settings.n_steps:
            history.append(duel.step())
            now = time.monotonic()
            # Stop before the step that would exceed the budget, judging by the time of earlier steps.
            if now - started + (now - stepping) / len(history) > settings.budget_s:
                break
            progress("search", len(history), settings.n_steps)
    progress("search", settings.n_steps, settings.n_steps)
    policy = Policy(name="learnt", sub_policies=duel.pipeline.sub_policies())
    return SearchResult(policy, settings, tuple(history), time.monotonic() - started)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: a step has hundreds of small kernels, which more threads slow down
    (tenfold when other programs run), and sums do not depend on the number of cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Search:
    """Pipeline and critic with their optimizers."""

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        n_classes: int,
        settings: SearchSettings,
        trunk: Trunk | None,
        operations: tuple[str, ...],
    ) -> None:
        self.settings, self.labels = settings, labels
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.pipeline = Pipeline(
            settings.n_sub_policies, settings.n_operations, operations=operations
        )
        self.pipeline.start(self.generator)
        self.images = _reduced(images, settings.size_px)
        trunk = trunk or backbone_trunk()
        with torch.no_grad():
            parts = [trunk(part.float() / 255) for part in torch.split(self.images, 64)]
        features = torch.cat(parts)
        self.critic = Critic(trunk, features, n_classes, self.generator)
        self.real = self.critic.scaled(features)
        fit_classes(self.critic, self.real, labels)
        heads = [*self.critic.hidden.parameters(), *self.critic.score.parameters()]
        self.of_critic = torch.optim.Adam(heads, lr=1e-2, betas=(0.0, 0.99))
        slow, fast = [self.pipeline.choice], [self.pipeline.probability, self.pipeline.magnitude]
        self.of_policy = torch.optim.Adam(
            [{"params": slow, "lr": settings.lr / 10}, {"params": fast, "lr": settings.lr}],
            betas=(0.0, 0.99),
        )

    def step(self) -> tuple[float, float]:
        """One step of the critic and one of the policy, on the same augmented images."""
        rows = torch.randint(
            len(self.images), (2, self.settings.batch_size), generator=self.generator
        )
        augmented = self.pipeline(self.images[rows[0]].float() / 255, self.generator)
        fake, real = self.critic.features(augmented), self.real[rows[1]]
        # The features do not depend on the critic's heads, so one pass through the trunk serves
        # several critic steps.
        for _ in range(5):
            self.of_critic.zero_grad()
            critic_loss(self.critic, real, fake.detach(), self.generator).backward()  # type: ignore[no-untyped-call]
            self.of_critic.step()
        score = self.critic.realness(fake).mean()
        class_loss = self.critic.class_loss(fake, self.labels[rows[0]])
        self.of_policy.zero_grad()
        (self.settings.class_weight * class_loss - score).backward()  # type: ignore[no-untyped-call]
        self.of_policy.step()
        gap = self.critic.realness(real).mean() - score
        return float(gap.detach()), float(class_loss.detach())


def _reduced(images: Tensor, size_px: int) -> Tensor:
    """uint8 images (n, 3, R, R) with antialiasing at (n, 3, size_px, size_px)."""
    if images.shape[2:] == (size_px, size_px):
        return images
    return F.interpolate(images, (size_px, size_px), mode="bilinear", antialias=True)
