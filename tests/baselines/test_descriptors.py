from __future__ import annotations

from pathlib import Path

import numpy as np

from headstart.baselines import SiftSettings, tiny_images
from headstart.baselines.descriptors import SHARD_IMAGES, Descriptors
from headstart.baselines.pixels import fit_neighbours
from headstart.data import Index

SMALL = SiftSettings(patches_px=(16,), n_words=(4, 8), n_levels=2, n_gaussians=3, n_components=6)


def test_descriptors__a_damaged_shard_is_computed_anew(stripes: Index, tmp_path: Path) -> None:
    store = Descriptors(SMALL, tmp_path)
    store.fill(stripes.records)
    digest = stripes.records[0].digest
    before = store.read(digest)[0].copy()
    (shard,) = store.folder.glob("shard-*.arrow")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    shard.write_bytes(bytes(data))
    again = Descriptors(SMALL, tmp_path)
    assert digest not in again
    again.fill(stripes.records)
    np.testing.assert_array_equal(again.read(digest)[0], before)
    assert len(stripes.records) < SHARD_IMAGES


def test_descriptors__a_stopped_run_goes_on(stripes: Index, tmp_path: Path) -> None:
    Descriptors(SMALL, tmp_path).fill(stripes.records[:7])
    told: list[tuple[int, int]] = []
    store = Descriptors(SMALL, tmp_path)
    store.fill(stripes.records, lambda _, done, total: told.append((done, total)))
    assert told == [(0, 13), (13, 13)]
    assert all(r.digest in store for r in stripes.records)


def test_tiny_images__have_no_mean_and_unit_length(stripes: Index) -> None:
    rows = tiny_images(stripes.records[:3])
    assert rows.shape == (3, 3 * 16 * 16)
    np.testing.assert_allclose(rows.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_fit_neighbours__takes_the_k_of_cross_validation() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b"], 30)
    X = (rng.normal(size=(60, 2)) + 1.2 * (y == "b")[:, None]).astype(np.float32)
    folds = np.arange(60) % 5
    model, accuracy = fit_neighbours(X, y, folds)
    assert model.n_neighbors > 1
    assert 0.7 < accuracy < 1
    few, _ = fit_neighbours(X[28:32], y[28:32], np.arange(4) % 2)
    assert few.n_neighbors == 1
