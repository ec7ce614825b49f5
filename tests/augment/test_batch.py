from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.augment import Augmented, Choice, Policy, augment_batch, parse_policy
from headstart.errors import InputError

STEP = (Choice(operation="rotate", weight=1.0, probability=1.0, magnitude=0.5),)
LEARNT = Policy(name="learnt", sub_policies=((STEP,),))
POLICIES = {
    **{n: parse_policy(n) for n in ("none", "basic", "mixup", "cutmix", "augmix", "randaugment")},
    "learnt": LEARNT,
}
STILL = "min_area=1,max_aspect=1,flip=0,degrees=0,jitter=0,hue=0"


def batch(n: int = 6, side: int = 28, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 3, side, side), generator=g, dtype=torch.uint8)
    return images, torch.arange(n) % 3


def run(policy: Policy, images: torch.Tensor, labels: torch.Tensor, seed: int = 0) -> Augmented:
    g = torch.Generator().manual_seed(seed)
    return augment_batch(policy, images, labels, n_classes=3, size_px=24, generator=g)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(POLICIES)), st.integers(1, 7), st.integers(0, 2**40))
def test_augment_batch__keeps_its_promises(name: str, n: int, seed: int) -> None:
    images, labels = batch(n, seed=seed)
    before = images.clone()
    out = run(POLICIES[name], images, labels, seed)
    assert torch.equal(images, before)
    assert out.targets.shape == (n, 3)
    assert torch.allclose(out.targets.sum(1), torch.ones(n), atol=1e-5)
    assert out.targets.min() >= 0
    assert len(out.views) == (2 if name == "augmix" else 0)
    for each in (out.images, *out.views):
        assert each.shape == (n, 3, 24, 24)
        assert each.dtype == torch.float32
        assert 0 <= each.min() <= each.max() <= 1 + 1e-6
    again = run(POLICIES[name], images, labels, seed)
    assert torch.equal(out.images, again.images)
    assert torch.equal(out.targets, again.targets)
    assert all(torch.equal(a, b) for a, b in zip(out.views, again.views, strict=True))


@pytest.mark.parametrize("name", [n for n in POLICIES if n != "none"])
def test_augment_batch__another_seed_gives_another_batch(name: str) -> None:
    images, labels = batch()
    one, two = (run(POLICIES[name], images, labels, seed).images for seed in (1, 2))
    assert not torch.allclose(one, two, atol=0.01)


def test_augment_batch__goes_on_from_a_saved_state() -> None:
    images, labels = batch()
    g = torch.Generator().manual_seed(3)
    policy = POLICIES["augmix"]
    augment_batch(policy, images, labels, n_classes=3, size_px=24, generator=g)
    saved = g.get_state()
    second = augment_batch(policy, images, labels, n_classes=3, size_px=24, generator=g)
    other = torch.Generator()
    other.set_state(saved)
    resumed = augment_batch(policy, images, labels, n_classes=3, size_px=24, generator=other)
    assert torch.equal(second.images, resumed.images)
    assert torch.equal(second.views[1], resumed.views[1])


def test_augment_batch__none_is_the_centre_crop() -> None:
    images, labels = batch()
    out = run(POLICIES["none"], images, labels)
    assert torch.allclose(out.images * 255, images[:, :, 2:26, 2:26].float(), atol=1e-4)
    assert torch.equal(out.targets.argmax(1), labels)


@pytest.mark.parametrize(
    "text", [f"basic:{STILL}", f"mixup:probability=0,{STILL}", f"randaugment:n_ops=0,{STILL}"]
)
def test_augment_batch__identity_magnitudes_change_nothing(text: str) -> None:
    images, labels = batch(side=24)
    out = run(parse_policy(text), images, labels)
    assert torch.allclose(out.images * 255, images.float(), atol=0.01)
    assert torch.equal(out.targets.argmax(1), labels)
    assert out.targets.max(1).values.min() == 1


def test_augment_batch__mixup_pixels_are_mixed_as_its_targets() -> None:
    # Images of one colour each, so that a pixel tells the weights.
    images = torch.zeros(3, 3, 24, 24, dtype=torch.uint8)
    for i in range(3):
        images[i, i] = 255
    for name in ("mixup", "cutmix"):
        policy = parse_policy(f"{name}:alpha=1,{STILL}")
        out = run(policy, images, torch.arange(3))
        assert torch.allclose(out.images.mean((2, 3)), out.targets, atol=1e-4)
        assert out.targets.max() < 1


def test_augment_batch__floats_are_as_bytes() -> None:
    images, labels = batch()
    one = run(POLICIES["basic"], images, labels)
    two = run(POLICIES["basic"], images.float() / 255, labels)
    assert torch.allclose(one.images, two.images, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (torch.zeros(2, 3, 20, 28), torch.zeros(2, dtype=torch.long), "at least 24"),
        (torch.zeros(2, 1, 28, 28), torch.zeros(2, dtype=torch.long), "must be (B, 3, R, R)"),
        (torch.zeros(2, 3, 28, 28), torch.zeros(1, dtype=torch.long), "1 labels for 2 images"),
        (torch.zeros(1, 3, 28, 28), torch.full((1,), 3), "from 0 to 2"),
    ],
)
def test_augment_batch__refuses_what_does_not_fit(
    images: torch.Tensor, labels: torch.Tensor, says: str
) -> None:
    with pytest.raises(InputError, match="must be") as raised:
        run(POLICIES["basic"], images, labels)
    assert says in str(raised.value)


@pytest.mark.gpu
def test_augment_batch__is_the_same_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    images, labels = batch()
    for policy in POLICIES.values():
        here, there = run(policy, images, labels), run(policy, images.cuda(), labels.cuda())
        assert there.images.is_cuda
        assert (here.images - there.images.cpu()).abs().mean() < 1e-3
        assert torch.allclose(here.targets, there.targets.cpu())
