"""Features larger than memory: the passes by the plain formula, the optimum by two other solvers."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.svm import LinearSVC

from headstart.errors import HeadstartError
from headstart.heads import LinearSVM, LinearSVMPath, cross_validate, outofcore, streaming, task
from headstart.heads.examples import Normalize, Streamed, is_lazy
from headstart.heads.loo import leave_one_out
from headstart.heads.outofcore import StreamedTask, held_bytes, set_up
from headstart.heads.output_layer import fit_rows
from headstart.heads.passes import Labels, Passes, PassExecutor, parts, sample_square, segments
from headstart.heads.search import CostSearch
from headstart.heads.streaming import Newton
from headstart.heads.task import Task, pick_devices
from pretend_gpu import gpu

CPU = torch.device("cpu")


class Slices:
    """Rows that give slices and nothing else, and remember the longest."""

    def __init__(self, X: NDArray[Any]) -> None:
        self._X, self.shape, self.dtype, self.longest = X, X.shape, X.dtype, 0

    def __len__(self) -> int:
        return len(self._X)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        assert isinstance(rows, slice)
        self.longest = max(self.longest, rows.stop - rows.start)
        return self._X[rows].copy()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> tuple[Passes, NDArray[np.intp], Any]:
    """Three segments, two splits, three classes with weights; and the same as plain arrays."""
    monkeypatch.setattr("headstart.heads.passes.LEAST_SEGMENT_ROWS", 300)
    rng = np.random.default_rng(0)
    n, d = 1000, 6
    X, member = rng.standard_normal((n, d)), rng.integers(0, 3, n)
    weight, factors = rng.random(n), np.array([1.0, 2.0, 0.5])
    train = rng.random((2, n)) < 0.7
    known = Labels.of(member, 3, weight, factors)
    labels = Labels(
        member=member, weight=weight, label=known.label, own=known.own, rest=known.rest, train=train
    )
    piece = np.array([[0, 2], [1, 0], [1, 1]])
    Z = torch.from_numpy(np.column_stack([X, np.ones(n)]))
    positive = torch.from_numpy(member == piece[:, 1:])
    y = torch.where(positive, 1.0, -1.0).double()
    cost = torch.from_numpy(train[piece[:, 0]] * weight)
    cost *= torch.where(positive, torch.from_numpy(factors[piece[:, 1]])[:, None], 1.0)
    return Passes(Streamed(X, "none", CPU), labels), piece, (Z, y, cost)


def test_passes__give_what_the_formulas_say(passes: Any) -> None:
    made, piece, (Z, y, cost) = passes
    rng = torch.Generator().manual_seed(1)
    w, p = torch.randn(2, 3, 7, generator=rng, dtype=torch.float64)
    xi = (1 - y * (w @ Z.T)).clamp(min=0)
    sums = made.measure(piece, w, torch.float64)
    torch.testing.assert_close(sums.loss, (cost * xi**2).sum(1))
    torch.testing.assert_close(sums.mass, (cost * xi).sum(1))
    torch.testing.assert_close(sums.active, (cost * (xi > 0)).sum(1))
    torch.testing.assert_close(sums.pulled, (cost * xi * y) @ Z)
    on = cost * (xi > 0)
    torch.testing.assert_close(made.curve(piece, w, p), (on * (p @ Z.T)) @ Z)
    hessians = torch.stack([(Z.T * each) @ Z for each in on])
    torch.testing.assert_close(made.hessians(piece, w, torch.float64), hessians)
    rates = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    at = w.clone().requires_grad_()
    for j, rate in enumerate(rates):
        loss = (cost * (1 - y * ((at + rate * p) @ Z.T)).clamp(min=0) ** 2).sum()
        [slope] = torch.autograd.grad(loss, at)
        found = made.slopes(piece, w, p, rates)[:, j]
        torch.testing.assert_close(found, (slope * p).sum(1))


def test_passes__bound_the_optimum_and_differentiate_the_objective(passes: Any) -> None:
    made, piece, (Z, y, cost) = passes
    C, w = 0.7, torch.zeros(3, 7, dtype=torch.float64, requires_grad=True)
    primal = 0.5 * w.square().sum(1) + C * (cost * (1 - y * (w @ Z.T)).clamp(min=0) ** 2).sum(1)
    [gradient] = torch.autograd.grad(primal.sum(), w)
    sums = made.measure(piece, w.detach(), torch.float64)
    torch.testing.assert_close(sums.primal(C), primal.detach())
    torch.testing.assert_close(sums.gradient(C), gradient)
    best = Newton(made, piece, *reversed(torch.linalg.eigh(Z.T @ Z))).solve(C, sums, 1e-10)
    assert (best.gap(C) <= 1e-10 * best.primal(C)).all()
    assert (sums.primal(C) - sums.gap(C) <= best.primal(C)).all()


def test_held_out__scores_by_the_model_that_did_not_train_on_it(passes: Any) -> None:
    made, _, (Z, _, _) = passes
    fold = np.arange(1000) % 3 - 1
    W = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    parts = list(made.held_out(W, fold))
    assert [rows.start for rows, _ in parts] == [0, *(rows.stop for rows, _ in parts[:-1])]
    scores = torch.cat([scores for _, scores in parts])
    for k in (0, 1):
        torch.testing.assert_close(scores[fold == k], Z[fold == k] @ W[k].T)
    assert scores[fold < 0].isnan().all()


class DistributedSlices(Slices):
    """Rows whose passes others make, each with rows and labels of its own."""

    asked: ClassVar[list[str]] = []

    def executor(self, normalize: Normalize) -> PassExecutor:
        X = self._X

        class Others:
            def each(self, labels: Labels, name: str, arguments: Sequence[Any]) -> Iterator[Any]:
                DistributedSlices.asked.append(name)
                for rows in parts(name, len(X)):
                    theirs = copy.deepcopy(labels), copy.deepcopy(arguments)
                    examples = Streamed(X.copy(), normalize, CPU)
                    yield Passes(examples, theirs[0]).part(name, rows, theirs[1])

        return Others()


def test_streamed_task__helpers_give_the_same_bits(
    clusters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.heads.passes.LEAST_SEGMENT_ROWS", 300)
    # So that Hessians are factored, too.
    monkeypatch.setattr(streaming, "FEW_ITERATIONS", -100)
    X, y = clusters(2_000, 12, 4)
    own, others = (
        LinearSVMPath((0.1, 100.0), cv=2, normalize="none").fit(rows, y)
        for rows in (Slices(X), DistributedSlices(X))
    )
    np.testing.assert_array_equal(own.coef_, others.coef_)
    np.testing.assert_array_equal(own.cv_decisions_, others.cv_decisions_)
    np.testing.assert_array_equal(own.cv_gap_, others.cv_gap_)
    assert {"measure", "curve", "hessians", "held_out"} <= set(DistributedSlices.asked)


def test_set_up__divides_rows_among_cpus_and_leaves_a_gram_problem_on_the_device_that_was_asked_for(
    clusters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def pick(device: Any, *shape: Any) -> tuple[torch.device, ...]:
        asked.append(device)
        return (CPU,)

    monkeypatch.setattr(outofcore, "pick_devices", pick)
    X, y = clusters(60, 40, 3)
    labels = Labels.of(y, 3, np.ones(len(y)), np.ones(3))
    assert isinstance(set_up(DistributedSlices(X), labels, "cuda", "l2"), Task)
    monkeypatch.setattr(task, "MOST_GRAM_ROWS", 0)
    for device in (None, "cpu"):
        assert isinstance(set_up(DistributedSlices(X), labels, device, "l2"), StreamedTask)
    assert asked == ["cuda", "cpu", "cpu"]
    for on_gpu in ("cuda", ["cpu", "cuda:1"]):
        with pytest.raises(ValueError, match=r"made on its CPUs: .*got .*cuda"):
            set_up(DistributedSlices(X), labels, on_gpu, "l2")


def test_parts__are_segments_or_a_few_groups_of_them() -> None:
    for n in (5, 5_000, 100_000, 2_097_152, 10**8):
        found = parts("hessians", n)
        assert len(found) == min(len(segments(n)), 8)
        starts = [segment.start for segment in segments(n)]
        assert all(part.start in starts for part in found)
        assert [part.start for part in found] == [0, *(part.stop for part in found[:-1])]
        assert found[-1].stop == n
        assert parts("curve", n) == segments(n)


def test_segments__depend_on_the_number_of_rows_alone() -> None:
    for n, expected in ((5, 1), (5_000, 2), (100_000, 16), (2_097_152, 32)):
        found = segments(n)
        assert len(found) == expected
        assert [part.start for part in found] == [0, *(part.stop for part in found[:-1])]
        assert found[-1].stop == n


def test_sample_square__is_near_the_whole_from_a_part(clusters: Any) -> None:
    X, _ = clusters(20_000, 12, 4)
    rows = Slices(np.sort(X, axis=0))  # in order, the worst that rows can be
    near = sample_square(Streamed(rows, "none", CPU), torch.float64)
    Z = np.column_stack([np.sort(X, axis=0), np.ones(len(X))])
    assert np.linalg.norm(near.numpy() - Z.T @ Z) < 0.05 * np.linalg.norm(Z.T @ Z)
    assert rows.longest <= 16


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(6, 60),
    d=st.integers(1, 40),
    n_classes=st.integers(2, 4),
    log_C=st.floats(-3, 3),
    has_factors=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_streamed_task__finds_the_optimum_that_the_held_one_finds(
    n: int, d: int, n_classes: int, log_C: float, has_factors: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, d)), np.arange(n) % n_classes
    class_weight = {0: 3.0, 1: 0.25} if has_factors else None
    weight = rng.random(n) if has_factors else None
    models = [
        LinearSVM(10**log_C, class_weight=class_weight, normalize="none", tol=1e-6, device="cpu")
        for _ in range(2)
    ]
    held, streamed = models
    held.fit(X, y, weight)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "MOST_GRAM_ROWS", 0)
        streamed.fit(Slices(X), y, weight)
    assert streamed.gap_.max() <= 1e-6
    scale = np.abs(held.decision_function(X)).max()
    a, b = held.decision_function(X), streamed.decision_function(X)
    # Both are within 1e-6 of the least objective, which is strongly convex.
    np.testing.assert_allclose(a, b, atol=0.02 * scale + 1e-6)


@pytest.mark.parametrize("how", ["spectrum", "factors", "float64"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_linear_svm__is_liblinears_out_of_core(
    clusters: Any, monkeypatch: pytest.MonkeyPatch, how: str, n_classes: int
) -> None:
    X, y = clusters(2500, 40, n_classes, noise=3.0)
    monkeypatch.setattr(task, "MOST_GRAM_ROWS", 0)
    if how == "factors":
        monkeypatch.setattr(streaming, "FEW_ITERATIONS", -1000)
    if how == "float64":
        monkeypatch.setattr(streaming, "INEXACT_STEPS", 0)
    rows = Slices(X)
    for C in (0.1, 10.0):
        ours = LinearSVM(C, normalize="none", tol=1e-9, device="cpu").fit(rows, y)
        peer = LinearSVC(C=C, dual=False, tol=1e-10, max_iter=100_000).fit(X.astype(float), y)
        assert ours.gap_.max() <= 1e-9
        np.testing.assert_allclose(ours.coef_, peer.coef_, atol=1e-3)
        np.testing.assert_allclose(ours.intercept_, peer.intercept_, atol=1e-3)
        assert (ours.predict(rows) == peer.predict(X.astype(float))).all()
    assert rows.longest <= 4096


@pytest.mark.parametrize("n_classes", [2, 3])
def test_cross_validate__is_the_same_out_of_core(
    clusters: Any, monkeypatch: pytest.MonkeyPatch, n_classes: int
) -> None:
    X, y = clusters(2100, 50, n_classes, noise=3.0)
    y = y.copy()
    y[7] = 9  # a class that one fold does not train on
    fold = np.arange(len(y)) % 3
    fold[:6] = -1
    Cs = (0.1, 1.0, 30.0)
    held = cross_validate(X, y, Cs, fold, device="cpu", tol=1e-8)
    monkeypatch.setattr(task, "MOST_GRAM_ROWS", 0)
    told: list[tuple[str, int, int]] = []
    found = cross_validate(
        Slices(X), y, Cs, fold, device="cpu", tol=1e-8, progress=lambda *a: told.append(a)
    )
    assert found.gap.max() <= 1e-8
    np.testing.assert_allclose(found.decisions, held.decisions, atol=1e-3)
    assert (found.correct != held.correct).mean() < 0.002
    np.testing.assert_array_equal(found.tested, held.tested)
    np.testing.assert_allclose(found.accuracy, held.accuracy, atol=0.002)
    assert told[-1] == ("cross-validate", 3 * 3 * (n_classes + 1), 3 * 3 * (n_classes + 1))


def test_cross_validate__out_of_core_gives_the_scores_of_the_cost_it_names(
    clusters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of classes far apart every cost is as good, and scores at a smaller one are closer together."""
    X, y = clusters(300, 10, 3, noise=0.1)
    fold, Cs = np.arange(len(y)) // 3 % 5, (0.01, 1.0, 10.0, 100.0)
    held = cross_validate(X, y, Cs, fold, device="cpu", tol=1e-8)
    monkeypatch.setattr(task, "MOST_GRAM_ROWS", 0)
    found = cross_validate(Slices(X), y, Cs, fold, device="cpu", tol=1e-8)
    assert (found.accuracy == 1).all()
    assert found.C == held.C
    np.testing.assert_allclose(found.decisions, held.decisions, atol=1e-3)


def test_linear_svm_path__is_the_same_out_of_core(
    clusters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = clusters(900, 20, 3, noise=2.0)
    held = LinearSVMPath((0.1, 10.0), cv=3, device="cpu").fit(X, y)
    monkeypatch.setattr(task, "MOST_GRAM_ROWS", 0)
    found = LinearSVMPath((0.1, 10.0), cv=3, device="cpu").fit(Slices(X), y)
    assert found.C_ == held.C_
    np.testing.assert_allclose(found.coef_, held.coef_, atol=1e-2)
    np.testing.assert_allclose(found.predict_proba(Slices(X)), held.predict_proba(X), atol=1e-2)


def test_linear_svm__says_what_is_wrong_with_rows(clusters: Any) -> None:
    X, y = clusters(30, 5, 3)
    fitted = LinearSVM(device="cpu").fit(Slices(X), y)
    with pytest.raises(ValueError, match="X has 4 features, but LinearSVM was fitted on 5"):
        fitted.predict(Slices(X[:, :4]))
    with pytest.raises(ValueError, match="one row per label"):
        fitted.fit(Slices(X[:9]), y)
    X[3, 2] = np.nan
    with pytest.raises(ValueError, match="X holds NaN or infinity, first in row 3"):
        fitted.fit(Slices(X), y)


def test_is_lazy__is_what_no_array_stands_behind(clusters: Any) -> None:
    X, _ = clusters(5, 3, 2)
    assert is_lazy(Slices(X))
    others = (X, X.tolist(), torch.from_numpy(X), csr_array(X), "text", None)
    assert not any(map(is_lazy, others))


@pytest.mark.parametrize("kind", ["gram", "primal", "streamed"])
def test_devices__joined_are_one(clusters: Any, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    X, y = clusters(60 if kind == "gram" else 800, 20, 5, noise=2.0)
    rows = X
    if kind == "streamed":
        monkeypatch.setattr(task, "MOST_GRAM_ROWS", 0)
        rows = Slices(X)
    solvers = {"gram": Task, "primal": Task, "streamed": StreamedTask}
    labels = Labels.of(y, 5, np.ones(len(y)), np.ones(5))
    made = set_up(rows, labels, ("cpu", "cpu", "cpu"), "l2")
    assert isinstance(made, solvers[kind])
    pieces = made.pieces(2)
    assert len(pieces) >= 3
    everything = np.concatenate(pieces).tolist()
    assert everything == [[split, model] for split in (0, 1) for model in range(5)]
    fold = np.arange(len(y)) % 3
    one, three = (
        LinearSVMPath((0.1, 1.0, 10.0), cv=fold, device=device, tol=1e-8).fit(rows, y)
        for device in ("cpu", ("cpu", "cpu", "cpu"))
    )
    assert one.C_ == three.C_
    assert max(three.gap_.max(), three.cv_gap_.max()) <= 1e-8
    np.testing.assert_allclose(three.coef_, one.coef_, atol=1e-3)
    np.testing.assert_allclose(three.cv_decisions_, one.cv_decisions_, atol=1e-3)
    np.testing.assert_array_equal(three.cv_correct_, one.cv_correct_)


@pytest.mark.parametrize(("n", "d"), [(400, 300), (900, 5)])
def test_pieces__are_enough_for_several_cores(clusters: Any, n: int, d: int) -> None:
    """Ten models of five folds in one piece take four times as long where another program runs."""
    X, y = clusters(n, d, 10)
    made = set_up(X, Labels.of(y, 10, np.ones(n), np.ones(10)), "cpu", "l2")
    assert len(made.pieces(5)) >= 4
    assert len(made.pieces(1)) >= 4
    assert np.concatenate(made.pieces(5)).shape == (50, 2)


def test_devices__that_fail_say_so_once(clusters: Any) -> None:
    X, y = clusters(60, 20, 5)
    with pytest.raises(ValueError, match="got none"):
        LinearSVM(device=()).fit(X, y)
    with pytest.raises(ValueError, match="'mps' has no float64"):
        LinearSVM(device=("cpu", "mps")).fit(X, y)


def test_pick_devices__are_all_there_are_but_no_more_than_models(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert pick_devices(("cpu", "cpu"), 5) == (CPU, CPU)
    assert pick_devices(("cpu", "cpu"), 1) == (CPU,)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [str(d) for d in pick_devices(None, 3)] == ["cuda:0", "cuda:1", "cuda:2"]
    assert pick_devices("cpu", 3) == (CPU,)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_devices(None, 3) == (CPU,)


def test_pick_devices__a_gpu_solves_what_it_solves_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"cuda:0": 1.0, "cpu": 2.0, "cuda:1": 4.0}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(task, "product_seconds", lambda device, n, d: seconds[device])
    monkeypatch.setattr(task, "_failed", set())
    cuda = (torch.device("cuda:0"),)
    assert pick_devices(None, 3, (5_000, 1_000)) == cuda
    assert pick_devices(None, 3, (4_999, 1_000)) == (CPU,)  # launching costs more than it saves
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_devices(None, 3, (5_000, 1_000)) == cuda  # the second GPU is slow
    seconds["cuda:0"] = 3.0  # such as one with few units for float64
    assert pick_devices(None, 3, (5_000, 1_000)) == (CPU,)
    assert pick_devices("cuda:0", 3, (5, 10)) == cuda  # as asked


def test_pick_devices__a_gpu_that_fails_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def product_seconds(device: str, n: int, d: int) -> float:
        asked.append(device)
        if device == "cuda:0":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate ...\nOf it ...")
        return {"cpu": 2.0, "cuda:1": 1.0}[device]

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(task, "product_seconds", product_seconds)
    monkeypatch.setattr(task, "_failed", set())
    for shape in ((5_000, 1_000), (50_000, 1_000)):
        assert pick_devices(None, 3, shape) == (torch.device("cuda:1"),)
    assert asked.count("cuda:0") == 1  # and it is not tried again
    [said] = caplog.messages
    assert said == "cuda:0 is not used for SVMs (CUDA out of memory. Tried to allocate ...)"


@pytest.mark.parametrize("shape", [(120, 30), (600, 20)])  # on the Gram matrix, on the features
def test_fit__mixes_nothing_of_a_gpu_and_of_the_cpu(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, shape[0])
    X = rng.normal(size=shape) + rng.normal(size=(3, shape[1]))[y]
    expected = LinearSVM(device="cpu").fit(X, y)
    with gpu():
        found = LinearSVM(device="cuda").fit(X, y)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-5, atol=1e-8)


def splits_of(y: NDArray[Any]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Two folds as (train, test), once."""
    half = np.arange(len(y)) % 2
    yield from ((np.flatnonzero(half != i), np.flatnonzero(half == i)) for i in (0, 1))


FULL: dict[str, Callable[..., Any]] = {
    "on all": lambda X, y: LinearSVM().fit(X, y).coef_,
    "path": lambda X, y: LinearSVMPath((0.1, 1.0), cv=2).fit(X, y).coef_,
    "cross-validated": lambda X, y: cross_validate(X, y, [1.0], np.arange(len(y)) % 2).decisions,
    "search": lambda X, y: CostSearch(X, y, np.arange(len(y)) % 2).solve([1.0], [0, 1])[1.0],
    "search with other folds": lambda X, y: (
        CostSearch(X, y, np.arange(len(y)) % 2).sweep([1.0], np.arange(len(y)) % 3).decisions
    ),
    "folds from a generator": lambda X, y: cross_validate(X, y, [1.0], splits_of(y)).decisions,
    "path with folds from a generator": lambda X, y: (
        LinearSVMPath((0.1, 1.0), cv=splits_of(y)).fit(X, y).coef_
    ),
    "left out": lambda X, y: leave_one_out(X, y, 1.0).decisions,
    "output layer": lambda X, y: fit_rows(X, y, 1.0)[0],
}


@pytest.mark.parametrize("name", FULL)
def test_or_on_cpu__solves_what_a_gpu_that_was_chosen_has_no_memory_for(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    X = rng.normal(size=(60, 8)) + rng.normal(size=(3, 8))[y]
    expected = FULL[name](X, y)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(task, "_pays_on_gpu", lambda gpu, n, d: True)
    # The features do not fit, or they do but not the Gram matrix.
    for room_bytes in (100, 8 * 9 * 60):
        caplog.clear()
        with gpu() as mode:
            mode.room_bytes = room_bytes
            found = FULL[name](X, y)
        np.testing.assert_array_equal(found, expected)
        assert "the memory of the GPU is full" in caplog.messages[0]


def test_or_on_cpu__explains_the_full_memory_of_a_gpu_that_was_asked_for() -> None:
    X, y = np.eye(40), np.arange(40) % 2
    with gpu() as mode:
        mode.room_bytes = 100
        for device in ("cuda", ["cuda", "cuda"]):
            with pytest.raises(
                HeadstartError, match=r"^the memory of cuda.* is full: .*`device='cpu'`"
            ):
                LinearSVM(device=device).fit(X, y)


def test_product_seconds__is_measured_once_for_a_size() -> None:
    assert task.product_seconds("cpu", 64, 32) > 0
    assert task.product_seconds("cpu", 64, 32) == task.product_seconds("cpu", 64, 32)


def test_held_bytes__has_no_copies_of_what_is_streamed() -> None:
    assert held_bytes(1000, 100) == 12 * 100_000
    n = outofcore.MOST_HELD_NUMBERS
    assert held_bytes(n, 2) == 8 * n


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from headstart.heads import LinearSVMPath, outofcore
X = np.load(sys.argv[1], mmap_mode="r")
y = np.arange(len(X)) % 3
outofcore.MOST_HELD_NUMBERS = int(sys.argv[2])
LinearSVMPath((0.01,), cv=2, device="cpu").fit(X[:9300], y[:9300])  # loads what is loaded on use
status = Path("/proc/self/status").read_text().splitlines()
used = next(int(line.split()[1]) for line in status if line.startswith("VmData"))
limit = used * 1024 + int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
head = LinearSVMPath((0.01,), cv=2, device="cpu").fit(X, y)
assert max(head.gap_.max(), head.cv_gap_.max()) <= 1e-5
np.savez(sys.argv[4], coef=head.coef_, decisions=head.cv_decisions_, accuracy=head.cv_accuracy_)
"""


@pytest.mark.slow
def test_linear_svm_path__fits_within_a_limit_that_the_features_exceed(tmp_path: Path) -> None:
    """The kernel gives the process less new memory than the features take: `RLIMIT_DATA`."""
    if not sys.platform.startswith("linux"):
        pytest.skip("RLIMIT_DATA counts mapped memory on Linux only")
    n, d, allowed = 50_000, 240, 42_000_000
    rng = np.random.default_rng(0)
    centres = 0.4 * rng.standard_normal((3, d))
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (n, d))
    for start in range(0, n, 2000):
        rows = np.arange(start, start + 2000)
        X[rows] = centres[rows % 3] + rng.standard_normal((2000, d))
    X.flush()
    assert X.nbytes > allowed

    def run(most_held: int) -> subprocess.CompletedProcess[str]:
        words = [LIMITED, tmp_path / "X.npy", most_held, allowed, tmp_path / "found.npz"]
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", *map(str, words)],
            capture_output=True, text=True, timeout=250,
            # The stack of another thread would count as well.
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    refused = run(2**27)
    assert refused.returncode != 0
    assert "memory" in refused.stderr.lower() or "allocate" in refused.stderr
    done = run(9300 * d)
    assert done.returncode == 0, done.stderr[-2000:]
    held = LinearSVMPath((0.01,), cv=2, device="cpu").fit(X, np.arange(n) % 3)
    found = np.load(tmp_path / "found.npz")
    np.testing.assert_allclose(found["coef"], held.coef_, atol=1e-2)
    np.testing.assert_allclose(found["decisions"], held.cv_decisions_, atol=1e-2)
    np.testing.assert_allclose(found["accuracy"], held.cv_accuracy_, atol=1e-3)
