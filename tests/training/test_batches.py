"""Batches are functions of seed, epoch and step."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.augment import parse_policy
from headstart.backbones import Preprocessing
from headstart.progress import silent
from headstart.training.batches import (
    Images,
    PixelBatches,
    chunks,
    cross_entropy,
    derive_seed,
    epoch_order,
    keep_activations,
    mean_one,
    micro_batches,
    weighted_targets,
)
from headstart.training.processes import Processes

PREPROCESSING = Preprocessing(
    size_px=8, crop_pct=0.8, interpolation="bilinear", mean=(0.5, 0.4, 0.3), std=(0.2,) * 3
)


def some_images(n: int, seed: int) -> Images:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, 3, 10, 10), dtype=torch.uint8, generator=generator)
    return Images(pixels=pixels, labels=torch.arange(n) % 3)


def batches(policy: str) -> PixelBatches:
    return PixelBatches(
        train=some_images(70, 0),
        val=some_images(5, 1),
        policy=parse_policy(policy),
        n_classes=3,
        preprocessing=PREPROCESSING,
        seed=3,
    )


class Halves:
    """A stand-in for a frozen part whose value can be told: the first pixel of each image."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :, 0, 0].float()


@pytest.mark.parametrize(("n", "size"), [(10, 4), (9, 8), (3, 32), (64, 32)])
def test_epoch_order__has_each_image_once_in_batches_alike(n: int, size: int) -> None:
    found = epoch_order(n, size, 0, 1)
    assert sorted(torch.cat(found).tolist()) == list(range(n))
    sizes = [len(batch) for batch in found]
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1


def test_epoch_order__differs_by_epoch_and_seed_alone() -> None:
    first = torch.cat(epoch_order(20, 4, 0, 1))
    assert torch.equal(first, torch.cat(epoch_order(20, 4, 0, 1)))
    assert not torch.equal(first, torch.cat(epoch_order(20, 4, 0, 2)))
    assert not torch.equal(first, torch.cat(epoch_order(20, 4, 1, 1)))


def test_derive_seed__fits_a_generator() -> None:
    seeds = {derive_seed(0, "x", i) for i in range(1000)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_train_batch__none_is_the_normalised_centre() -> None:
    source = batches("none")
    batch = source.train_batch(torch.tensor([4, 2]), 1, 0)
    expected = (source.train.pixels[[4, 2], :, 1:9, 1:9] / 255 - torch.tensor(
        PREPROCESSING.mean
    ).view(3, 1, 1)) / 0.2  # fmt: skip
    assert torch.allclose(batch.inputs, expected, atol=1e-5)
    assert batch.targets.tolist() == [[0, 1, 0], [0, 0, 1]]


def test_train_batch__augments_anew_each_epoch_and_the_same_again() -> None:
    source, indices = batches("basic"), torch.arange(6)
    first = source.train_batch(indices, 1, 0)
    assert torch.equal(first.inputs, source.train_batch(indices, 1, 0).inputs)
    assert not torch.equal(first.inputs, source.train_batch(indices, 2, 0).inputs)
    assert not torch.equal(first.inputs, source.train_batch(indices, 1, 1).inputs)


def test_part__takes_some_of_everything() -> None:
    batch = batches("augmix").train_batch(torch.arange(4), 1, 0)
    assert len(batch.views) == 2
    part = batch.part(1, 3)
    assert torch.equal(part.views[1], batch.views[1][1:3])
    assert len(part.inputs) == len(part.targets) == 2


def test_keep_activations__gives_each_epoch_its_view() -> None:
    source = batches("basic")
    kept = keep_activations(source, Halves(), 2, silent)  # type: ignore[arg-type]
    indices = torch.tensor([5, 69, 0])
    first, second, third = (kept.train_batch(indices, epoch, 0).inputs for epoch in (1, 2, 3))
    assert torch.equal(first, third)
    assert not torch.equal(first, second)
    (val,) = kept.val_batches()
    assert torch.equal(val.inputs, source.val.pixels[:, :, 1, 1].float())
    assert val.targets.argmax(1).tolist() == [0, 1, 2, 0, 1]


def test_keep_activations__without_augmentation_are_those_of_the_pixels() -> None:
    source = batches("none")
    kept = keep_activations(source, Halves(), 1, silent)  # type: ignore[arg-type]
    indices = torch.arange(70)
    assert torch.equal(
        kept.train_batch(indices, 4, 0).inputs, source.train.pixels[:, :, 1, 1].float()
    )


@pytest.mark.parametrize("policy", ["none", "basic", "mixup", "cutmix", "augmix", "randaugment"])
def test_train_batch__rows_are_those_of_the_whole_batch(policy: str) -> None:
    source, indices, rows = batches(policy), torch.arange(9), torch.tensor([2, 3, 7])
    whole, some = source.train_batch(indices, 1, 2), source.train_batch(indices, 1, 2, rows)
    # The order of sums in a picture's look-up may depend on how many there are.
    assert torch.allclose(some.inputs, whole.inputs[rows], atol=1e-5)
    assert torch.equal(some.targets, whole.targets[rows])
    for one, other in zip(some.views, whole.views, strict=True):
        assert torch.allclose(one, other[rows], atol=1e-5)


@given(st.integers(0, 400), st.integers(1, 70), st.integers(1, 5))
def test_chunks__every_image_comes_once_and_none_alone(n: int, size: int, n_processes: int) -> None:
    found = [
        chunk
        for rank in range(n_processes)
        for chunk in chunks(n, size, Processes(rank=rank, size=n_processes))
    ]
    assert sorted(i for chunk in found for i in range(n)[chunk]) == list(range(n))
    if size > 1 and n != 1:
        assert all(chunk.stop - chunk.start > 1 for chunk in found)


@given(st.integers(1, 300), st.integers(1, 70))
def test_micro_batches__cover_the_batch_evenly(n: int, size: int) -> None:
    parts = micro_batches(n, size)
    assert [i for start, end in parts for i in range(start, end)] == list(range(n))
    sizes = [end - start for start, end in parts]
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1


def test_mean_one__keeps_ratios_and_drops_equal_weights() -> None:
    found = mean_one([1.0, 3.0, 8.0])
    assert found is not None
    assert found.tolist() == [0.25, 0.75, 2.0]
    assert mean_one([2.0, 2.0]) is None
    assert mean_one([]) is None


def test_cross_entropy__is_the_weighted_mean_by_hand() -> None:
    """Probabilities 1/2 and 1/4 of the true classes, of two images that weigh 0.5 and 1.5."""
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.75, 0.25]]))
    targets = weighted_targets(torch.tensor([0, 1]), 2, torch.tensor([0.5, 1.5]))
    by_hand = (0.5 * math.log(2) + 1.5 * math.log(4)) / 2
    assert float(cross_entropy(logits, targets)) == pytest.approx(by_hand)
    # A fifth of the target is spread over both classes: 0.9 of it stays, 0.1 goes to the other one.
    first = 0.9 * math.log(2) + 0.1 * math.log(2)
    second = 0.9 * math.log(4) + 0.1 * math.log(4 / 3)
    smoothed = (0.5 * first + 1.5 * second) / 2
    assert float(cross_entropy(logits, targets, smoothing=0.2)) == pytest.approx(smoothed)


@pytest.mark.parametrize("policy", ["none", "mixup", "cutmix"])
def test_train_batch__targets_sum_to_the_weights(policy: str) -> None:
    plain, indices = batches(policy), torch.arange(20)
    own = torch.linspace(0.1, 1.9, len(plain.train))
    source = dataclasses.replace(plain, train=dataclasses.replace(plain.train, weights=own))
    batch, same = source.train_batch(indices, 1, 0), plain.train_batch(indices, 1, 0)
    assert torch.equal(batch.inputs, same.inputs)
    total = batch.targets.sum(1)
    if policy == "none":
        torch.testing.assert_close(total, own[indices])
    assert float(total.min()) >= float(own[indices].min()) - 1e-6
    assert float(total.max()) <= float(own[indices].max()) + 1e-6
    [val] = source.val_batches()
    assert val.targets.sum(1).tolist() == [1.0] * 5
