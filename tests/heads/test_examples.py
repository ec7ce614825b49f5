from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from headstart.heads import LinearSVM, LinearSVMPath, cross_validate, outofcore
from headstart.heads.examples import (
    Held,
    Streamed,
    hold,
    join_rows,
    normalize_rows,
    read_rows,
)
from headstart.heads.gram import GramSolver
from headstart.heads.passes import Labels
from headstart.heads.primal import PrimalSolver
from headstart.heads.task import Task

CPU = torch.device("cpu")


@pytest.fixture
def mapped(clusters: Any, tmp_path: Path) -> tuple[np.memmap[Any, Any], NDArray[np.int64]]:
    """1,500 features of length other than one in a read-only file, of 5 classes."""
    X, y = clusters(1500, 60, 5, noise=2.0)
    np.save(tmp_path / "X.npy", 3 * X)
    return np.load(tmp_path / "X.npy", mmap_mode="r"), y


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
@pytest.mark.parametrize("normalize", ["l2", "power", "none"])
def test_examples__are_the_same_held_and_streamed(dtype: Any, normalize: Any) -> None:
    rng = np.random.default_rng(0)
    X = (100 * rng.standard_normal((1100, 7))).astype(dtype)
    X[3] = 0
    fine: np.ndarray = X.astype(np.float64 if dtype in (np.float64, np.int16) else np.float32)
    whole = torch.from_numpy(np.column_stack([normalize_rows(fine, normalize), np.ones(1100)]))
    w = torch.from_numpy(rng.standard_normal((2, 8)))
    weight = torch.from_numpy(rng.random(1100)).clamp(min=0.5) - 0.5
    for examples in (
        Held(hold(X, normalize, read_rows(X, slice(0, 1), normalize).dtype.type)),
        Streamed(X, normalize, CPU),
    ):
        assert examples.shape == (1100, 8)
        Z = torch.cat([block for _, block in examples.blocks(torch.float64)])
        torch.testing.assert_close(Z, whole.double(), rtol=0, atol=0)
        torch.testing.assert_close(examples.decide(w, torch.float64), w @ Z.T)
        force = torch.from_numpy(rng.standard_normal((2, 1100)))
        torch.testing.assert_close(examples.pull(force, torch.float64), force @ Z)
        torch.testing.assert_close(examples.square(weight, torch.float64), (Z.T * weight) @ Z)
        torch.testing.assert_close(examples.square(None, torch.float64), Z.T @ Z)


def test_set_up__streams_features_above_the_limit_only(
    mapped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = mapped
    kinds = []
    for limit in (X.size, X.size - 1):
        monkeypatch.setattr(outofcore, "MOST_HELD_NUMBERS", limit)
        labels = Labels.of(y, 5, np.ones(len(y)), np.ones(5))
        kinds.append(type(outofcore.set_up(X, labels, "cpu", "l2")))
    assert kinds == [Task, outofcore.StreamedTask]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_linear_svm__has_the_same_optimum_and_certificate_streamed(
    mapped: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dtype: Any
) -> None:
    X, y = mapped
    np.save(tmp_path / "other.npy", X.astype(dtype))
    X = np.load(tmp_path / "other.npy", mmap_mode="r")
    held = LinearSVM(5.0, tol=1e-8, device="cpu").fit(np.array(X), y)
    monkeypatch.setattr(outofcore, "MOST_HELD_NUMBERS", 0)
    streamed = LinearSVM(5.0, tol=1e-8, device="cpu").fit(X, y)
    assert streamed.gap_.max() <= 1e-8
    np.testing.assert_allclose(streamed.coef_, held.coef_, atol=1e-3)
    scores = streamed.decision_function(X)
    np.testing.assert_allclose(scores, held.decision_function(np.array(X)), atol=1e-3)


def test_cross_validate__agrees_streamed(mapped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = mapped
    fold = np.arange(len(y)) // 5 % 3
    held = cross_validate(np.array(X), y, (0.1, 10.0), fold, device="cpu", tol=1e-7)
    path = LinearSVMPath((0.1, 10.0), cv=fold, device="cpu").fit(np.array(X), y)
    monkeypatch.setattr(outofcore, "MOST_HELD_NUMBERS", 0)
    streamed = cross_validate(X, y, (0.1, 10.0), fold, device="cpu", tol=1e-7)
    assert streamed.gap.max() <= 1e-7
    np.testing.assert_allclose(streamed.decisions, held.decisions, atol=1e-3)
    again = LinearSVMPath((0.1, 10.0), cv=fold, device="cpu").fit(X, y)
    assert again.C_ == path.C_
    np.testing.assert_allclose(again.coef_, path.coef_, atol=1e-2)


@pytest.mark.slow
def test_linear_svm__makes_no_whole_copy_of_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc to tell memory of one's own from pages of a file")
    rng = np.random.default_rng(0)
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (60_000, 200))
    y = np.arange(len(X)) % 2
    for start in range(0, len(X), 1000):
        X[start : start + 1000] = rng.standard_normal((1000, 200), dtype=np.float32)
    X[:, 0] += y
    X.flush()
    del X
    grown = []
    for limit in (0, 2**27):
        monkeypatch.setattr(outofcore, "MOST_HELD_NUMBERS", limit)
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
        before = own_bytes()
        peak = Peak()
        model = LinearSVM(0.01, device="cpu").fit(X, y)
        model.decision_function(X)
        grown.append(peak.stop() - before)
        assert model.gap_.max() <= 1e-5
    # 48 MB of features; held, they are there once more.
    assert grown[0] < 48e6 < grown[1]


def own_bytes() -> int:
    """Memory of this process that no file backs."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon in /proc/self/status")


class Peak:
    """The most memory seen from creation to `stop`, looked at every 2 ms."""

    def __init__(self) -> None:
        self._most, self._done = own_bytes(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.002):
            self._most = max(self._most, own_bytes())

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self._most


def test_normalize_rows__power_is_the_signed_square_root_then_unit_length() -> None:
    X = np.array([[4.0, -9.0], [0.0, 0.0]], dtype=np.float32)
    expected = np.array([[2.0, -3.0], [0.0, 0.0]]) / np.sqrt(13)
    np.testing.assert_allclose(normalize_rows(X, "power"), expected, rtol=1e-6)
    # A large activation counts for less.
    plain = normalize_rows(X, "l2")
    assert abs(normalize_rows(X, "power")[0, 1]) < abs(plain[0, 1])


def test_join_rows__normalises_each_part_as_asked() -> None:
    part = np.array([[4.0, -9.0]], dtype=np.float32)
    joined = join_rows([part, 100 * part], "power")
    np.testing.assert_allclose(joined[:, :2], joined[:, 2:], rtol=1e-6)
    assert joined.dtype == np.float32


@pytest.mark.parametrize(
    ("n", "d", "kind"),
    [
        (300, 40, GramSolver),
        (300, 10, PrimalSolver),
        (2_000, 160, GramSolver),
        (2_100, 160, PrimalSolver),
        (2_100, 220, GramSolver),
    ],
)
def test_task__takes_the_gram_matrix_where_examples_are_few(n: int, d: int, kind: type) -> None:
    X = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    y = np.arange(n) % 2
    made = Task(X, Labels.of(y, 2, np.ones(n), np.ones(2)), [CPU])
    assert isinstance(made.shards[0].solver, kind)
