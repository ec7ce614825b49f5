"""Jittered views for off-the-shelf features: against features made by hand, and never leaking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.augment import jittered_views
from headstart.backbones import Backbone, at_size, tapped_forward
from headstart.comparison.comparing import compare_with
from headstart.comparison.views import CENTRE, POOLED, ROWS, ViewFitter, _rows, view_arms
from headstart.data import Index
from headstart.errors import InputError
from headstart.features.inventory import take_inventory
from headstart.progress import silent
from headstart.training.batches import normalised
from headstart.training.images import load_pixels
from headstart.training.network import features_tap

SIZE, N_VIEWS = 32, 3


@pytest.fixture
def fitter(indexed: Index, tiny: Backbone, cache: Path) -> ViewFitter:
    return ViewFitter(
        backbone=tiny, classes=indexed.classes, records=indexed.train, test=indexed.test,
        size_px=SIZE, n_views=N_VIEWS, cache=cache, device="cpu", progress=silent,
    )  # fmt: skip


def test_read__equals_the_network_run_by_hand(
    fitter: ViewFitter, indexed: Index, tiny: Backbone, cache: Path
) -> None:
    import torch

    some, n_views = indexed.train[:2], 17  # more than a batch
    fitter.n_views = n_views
    found = fitter._read(some)
    assert found.shape[:2] == (2, n_views)
    net = at_size(tiny, SIZE)
    pixels = load_pixels(some, net.preprocessing, cache=cache)
    for i in range(2):
        views = jittered_views(pixels[i].permute(1, 2, 0).numpy(), n_views, size_px=SIZE)
        images = torch.from_numpy(views).permute(0, 3, 1, 2).float() / 255
        tap = features_tap(net).name
        with torch.no_grad():
            value = tapped_forward(net, normalised(images, net.preprocessing), [tap])[tap]
        rows = value.flatten(2).mean(2).numpy() if value.ndim == 4 else value.numpy()
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        np.testing.assert_allclose(found[i], rows, atol=2e-3)


def test_rows__by_hand() -> None:
    X = np.array([[[1.0, 0.0], [0.0, 1.0]]], np.float32)
    np.testing.assert_array_equal(_rows(X, CENTRE), X[:, :1])
    np.testing.assert_array_equal(_rows(X, ROWS), X)
    np.testing.assert_allclose(_rows(X, POOLED), [[[0.5**0.5, 0.5**0.5]]], rtol=1e-6)


def test_views__are_compared_and_kept(fitter: ViewFitter, indexed: Index, cache: Path) -> None:
    arms = view_arms(N_VIEWS)
    found = compare_with(fitter, indexed, arms, seeds=(0,), cache=cache)
    notes = {name: done[0].note for name, done in found.outcomes.items()}
    assert notes[ROWS].endswith(f"{found.n_fit * N_VIEWS} rows")
    assert notes[CENTRE].endswith(f"{found.n_fit} rows")
    fitter._features.clear()
    fitter._extract = lambda records: pytest.fail("computed twice")  # type: ignore[method-assign]
    assert fitter._read(indexed.train[:1]).shape[1] == N_VIEWS


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_views__damaged_features_are_made_again(
    fitter: ViewFitter, indexed: Index, tmp_path: Path, share: float
) -> None:
    fitter.cache = tmp_path
    found = fitter._read(indexed.train)
    inventory = take_inventory(tmp_path)
    [item] = [item for item in inventory.items if item.kind == "views"]
    assert inventory.foreign == ()
    whole = item.path.read_bytes()
    item.path.write_bytes(whole[: int(share * len(whole))])
    fitter._features.clear()
    np.testing.assert_array_equal(fitter._read(indexed.train), found)


@pytest.mark.parametrize("n", [0, 1, 65])
def test_view_arms__refuses(n: int) -> None:
    with pytest.raises(InputError, match="`n_views` must be from 2 to 64"):
        view_arms(n)
