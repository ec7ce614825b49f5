"""The solvers against each other; tests/heads/test_svm.py has them against LIBLINEAR."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.heads import gram, primal
from headstart.heads.examples import combine
from headstart.heads.gram import GramSolver, _factor_batch, _factor_each
from headstart.heads.objective import Problem, Solver, likely_active, loss
from headstart.heads.primal import PrimalSolver
from headstart.heads.task import solve_from


def problem(n: int, d: int, C: float, seed: int = 0) -> tuple[torch.Tensor, Problem]:
    """Three models on random examples, each with a fifth of them held out."""
    rng = torch.Generator().manual_seed(seed)
    Z = torch.randn(n, d, generator=rng, dtype=torch.float64)
    Z[:, -1] = 1
    y = torch.where(torch.rand(3, n, generator=rng, dtype=torch.float64) < 0.4, 1.0, -1.0)
    held_out = torch.rand(3, n, generator=rng) < 0.2
    return Z, Problem(y=y.double(), cost=torch.where(held_out, 0.0, C).double())


def plain_primal(Z: torch.Tensor, p: Problem, w: torch.Tensor) -> torch.Tensor:
    return 0.5 * w.square().sum(dim=1) + loss(p, w @ Z.T)


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(4, 60),
    d=st.integers(2, 70),
    log_C=st.floats(-3, 3),
    seed=st.integers(0, 1000),
)
def test_solvers__agree_and_bound_each_other(n: int, d: int, log_C: float, seed: int) -> None:
    Z, p = problem(n, d, 10**log_C, seed)
    values = []
    solvers: list[Any] = [GramSolver(Z), PrimalSolver(Z)]
    for solver in solvers:
        state = solver.solve(p, solver.empty(p), 1e-6)
        value = plain_primal(Z, p, solver.weights(state))
        torch.testing.assert_close(value, state.primal, rtol=1e-6, atol=1e-9)
        assert (state.gap >= -1e-9 * (1 + value)).all()
        assert (state.gap <= 1e-6 * value + 1e-12).all()
        values.append(value)
    torch.testing.assert_close(values[0], values[1], rtol=2e-6, atol=1e-9)


@pytest.mark.parametrize("kind", [GramSolver, PrimalSolver])
def test_solve__certificate_holds_even_far_from_the_optimum(kind: Any) -> None:
    Z, p = problem(80, 60, 5.0)
    solver: Solver = kind(Z)
    best = solver.solve(p, solver.empty(p), 1e-10).primal
    for tol in (0.9, 0.5, 0.1, 1e-3):
        state = kind(Z).solve(p, solver.empty(p), tol)
        assert (state.primal - state.gap <= best * (1 + 1e-9)).all()
        assert (state.primal >= best * (1 - 1e-9)).all()


@pytest.mark.parametrize("kind", [GramSolver, PrimalSolver])
def test_solve__is_right_from_a_misleading_start(kind: Any) -> None:
    Z, p = problem(80, 60, 5.0)
    solver: Solver = kind(Z)
    cold = solver.solve(p, solver.empty(p), 1e-9)
    elsewhere = Problem(y=-p.y, cost=p.cost * 100)
    start = solver.solve(elsewhere, solver.empty(elsewhere), 1e-6)
    warm = solver.solve(p, start, 1e-9, guess=torch.full_like(p.y, 2.0) * p.y)
    torch.testing.assert_close(solver.weights(cold), solver.weights(warm), rtol=0, atol=1e-3)


def test_solve_from__models_that_do_not_get_there_begin_again_from_nothing() -> None:
    Z, p = problem(60, 20, 2.0)
    solver = GramSolver(Z)
    optimum = solver.solve(p, solver.empty(p), 1e-6)
    start = solver.empty(p)
    start.f[1] = torch.nan
    astray = solver.solve(p, start.copy(), 1e-6)
    assert not astray.gap[1] <= 1e-6 * astray.primal[1]
    found = solve_from(solver, p, start, 1e-6, None)
    torch.testing.assert_close(solver.weights(found), solver.weights(optimum), atol=1e-3, rtol=0)
    assert bool((found.gap <= 1e-6 * found.primal).all())


@pytest.mark.parametrize("C", [0.1, 1000.0])
def test_primal_solve__reaches_the_same_optimum_in_bfloat16(
    monkeypatch: pytest.MonkeyPatch, C: float
) -> None:
    Z, p = problem(2000, 60, C)
    found = []
    for dtype in (torch.bfloat16, torch.float32):
        monkeypatch.setattr(primal, "_rough_dtype", lambda device, dtype=dtype: dtype)
        solver = PrimalSolver(Z)
        assert (solver.rough, solver.fast) == (dtype, torch.float32)
        state = solver.solve(p, solver.empty(p), 1e-8)
        assert (state.gap <= 1e-8 * state.primal).all()
        torch.testing.assert_close(plain_primal(Z, p, solver.weights(state)), state.primal)
        found.append(state.primal)
    torch.testing.assert_close(found[0], found[1], rtol=2e-8, atol=0)


def test_gram_solve__agrees_between_factors_and_conjugate_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Z, p = problem(90, 100, 3.0)
    found = []
    for direct in (True, False):
        monkeypatch.setattr(GramSolver, "_is_direct", lambda *_, direct=direct: direct)
        solver = GramSolver(Z)
        found.append(solver.weights(solver.solve(p, solver.empty(p), 1e-9)))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-3)


@pytest.mark.parametrize("few", [250, 3])
def test_factor_batch__equals_one_by_one(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gram, "FEW_ACTIVE", few)  # read one by one, or in blocks of rows
    monkeypatch.setattr(gram, "BLOCK_ROWS", 7)
    Z, p = problem(50, 30, 2.0)
    active = (p.cost > 0) & (torch.rand(3, 50, generator=torch.Generator().manual_seed(1)) < 0.6)
    ridge = torch.full_like(p.y, 0.25)
    one, two = (f(Z @ Z.T, p.y, ridge, active) for f in (_factor_each, _factor_batch))
    assert one is not None
    assert two is not None
    torch.testing.assert_close(one, two)
    for row in range(3):
        index = torch.nonzero(active[row]).flatten()
        system = (Z @ Z.T)[index][:, index] + 0.25 * torch.eye(len(index))
        torch.testing.assert_close(system @ one[row, index], p.y[row, index])


def test_gram_solve__survives_duplicates_and_features_of_any_scale() -> None:
    rng = np.random.default_rng(0)
    X = np.repeat(1e3 * rng.standard_normal((10, 40)), 4, axis=0)
    Z = torch.from_numpy(np.hstack([X, np.ones((40, 1))]))
    y = torch.from_numpy(np.where(rng.random((2, 40)) < 0.5, 1.0, -1.0))
    p = Problem(y=y, cost=torch.full_like(y, 10.0))
    solver = GramSolver(Z)
    state = solver.solve(p, solver.empty(p), 1e-6)
    assert (state.gap <= 1e-6 * state.primal).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gram_product__by_few_features_equals_that_by_the_gram_matrix(dtype: torch.dtype) -> None:
    Z, p = problem(400, 30, C=1.0)
    solver = GramSolver(Z)
    assert solver.is_thin
    assert not GramSolver(Z[:50]).is_thin
    beta = p.y * torch.rand(3, 400, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = solver.product(beta, dtype)
    assert found.dtype == dtype
    wanted = beta @ (Z @ Z.T)
    atol = float(wanted.abs().max()) * (1e-5 if dtype == torch.float32 else 1e-12)
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=atol)


@pytest.mark.parametrize("d", [40, 400])
@pytest.mark.parametrize("C", [1.0, 100.0])
def test_gram_solve__never_goes_uphill_at_a_loose_tolerance(
    d: int, C: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With room to rise, steps went round in a circle at a gap just above the tolerance.
    Z, p = problem(300, d, C)
    tol, rises = 1e-3, []
    descend = GramSolver._descend

    def watched(self: Any, part: Any, now: Any, *rest: Any) -> Any:
        reached = descend(self, part, now, *rest)
        open_ = reached.gap > tol * now.primal
        rises.extend((reached.primal / now.primal - 1)[open_].tolist())
        return reached

    monkeypatch.setattr(GramSolver, "_descend", watched)
    solver = GramSolver(torch.nn.functional.normalize(Z, dim=1))
    found = solver.solve(p, solver.empty(p), tol)
    assert (found.gap <= tol * found.primal).all()
    assert rises
    assert max(rises) < 2e-6


def test_gram_solver__a_certificate_in_float32_holds_in_float64() -> None:
    Z, p = problem(300, 400, 3.0)
    solver = GramSolver(Z)
    state = solver.solve(p, solver.empty(p), 1e-3)
    exact = solver._assess(p, state.beta, state.beta @ Z @ Z.T)
    assert (exact.gap <= 1.1e-3 * exact.primal).all()
    assert "gram" not in solver._exact  # nothing as large in float64 was made


def test_gram_solver__where_float32_rounds_too_much_the_certificate_is_float64() -> None:
    rng = torch.Generator().manual_seed(0)
    Z = torch.randn(300, 400, generator=rng, dtype=torch.float64)
    Z[:, 0] += 300.0  # all rows alike
    y = torch.where(torch.rand(3, 300, generator=rng) < 0.3, 1.0, -1.0).double()
    p = Problem(y=y, cost=torch.full((3, 300), 100.0, dtype=torch.float64))
    solver = GramSolver(Z)
    state = solver.solve(p, solver.empty(p), 1e-3)
    exact = solver._assess(p, state.beta, state.beta @ Z @ Z.T)
    torch.testing.assert_close(state.primal, exact.primal, rtol=1e-4, atol=0)
    assert (exact.gap <= 1.1e-3 * exact.primal).all()


@pytest.mark.parametrize("kind", [GramSolver, PrimalSolver])
def test_begin__scores_that_are_nearly_right_reach_the_same_optimum(kind: Any) -> None:
    Z, p = problem(400, 30, 5.0)
    solver: Solver = kind(Z)
    cold = solver.solve(p, solver.empty(p), 1e-6)
    noise = torch.randn(cold.f.shape, generator=torch.Generator().manual_seed(1))
    start, guess = solver.begin(p, cold.f + 0.1 * noise)
    warm = solver.solve(p, start, 1e-6, guess)
    torch.testing.assert_close(warm.primal, cold.primal, rtol=3e-6, atol=1e-9)


def test_primal_solver__many_models_are_solved_by_their_active_examples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n, d, K = 900, 60, 45
    rng = torch.Generator().manual_seed(0)
    member = torch.arange(n) % K
    Z = torch.randn(n, d, generator=rng) + 2 * torch.randn(K, d, generator=rng)[member]
    Z = torch.nn.functional.normalize(Z, dim=1).double()
    y = torch.where(member == torch.arange(K)[:, None], 1.0, -1.0).double()
    rows = torch.rand(n, generator=rng) < 0.8
    p = Problem(y=y, cost=torch.where(rows, 10.0, 0.0).double().expand(K, n).contiguous())
    monkeypatch.setattr("headstart.heads.primal.N_NUMBERS_FLOAT64", 0)  # float32, as for many
    monkeypatch.setattr("headstart.heads.primal.CG_ITERATIONS", 10**9)  # as if these were dear
    solver = PrimalSolver(Z.float())
    expected = GramSolver(Z)
    expected_state = expected.solve(p, expected.empty(p), 1e-6)
    n_factored = 0
    active = PrimalSolver._active

    def counted(self: PrimalSolver, *given: Any) -> Any:
        nonlocal n_factored
        found = active(self, *given)
        n_factored += found is not None
        return found

    monkeypatch.setattr(PrimalSolver, "_active", counted)
    likely = solver.foresee(y, rows)
    assert likely.dtype == torch.bool
    assert not likely[:, ~rows].any()  # a held-out label is not looked at
    assert (likely & (y > 0)).sum() == ((y > 0) & rows).sum()
    start, guess = solver.resume(p, likely)
    found = solver.solve(p, start, 1e-5, guess)
    assert n_factored > 0
    torch.testing.assert_close(found.primal, expected_state.primal, rtol=2e-5, atol=0)
    assert (found.gap <= 1e-5 * found.primal).all()
    # Fewer features than active examples: the system has one unknown a feature.
    narrow = PrimalSolver(Z[:, :8].contiguous().float())
    weight = torch.where(rows, 20.0, 0.0).double().expand(2, n).contiguous()
    gradient = torch.randn(2, 8, generator=rng).double()
    direction = active(narrow, weight, gradient)
    assert direction is not None
    hessian = torch.eye(8).double() + 20 * Z[rows, :8].T @ Z[rows, :8]
    torch.testing.assert_close(
        direction, -torch.linalg.solve(hessian, gradient.T).T, rtol=1e-3, atol=1e-6
    )


@settings(max_examples=20, deadline=None)
@given(n_used=st.integers(0, 40), seed=st.integers(0, 1000))
def test_combine__is_the_product_however_few_coefficients_there_are(n_used: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    Z = torch.randn(160, 7, generator=rng, dtype=torch.float64)
    beta = torch.zeros(3, 160, dtype=torch.float64)
    for row in beta[:2]:  # the last model uses none
        row[torch.randperm(160, generator=rng)[:n_used]] = 1.5
    torch.testing.assert_close(combine(beta, Z), beta @ Z)


def test_likely_active__has_more_of_a_class_that_is_hard_to_tell() -> None:
    n, K = 600, 6
    rng = torch.Generator().manual_seed(0)
    member = torch.arange(n) % K
    y = torch.where(member == torch.arange(K)[:, None], 1.0, -1.0)
    hard = torch.tensor([1.0, 0, 0, 0, 0, 0])[:, None]
    scores = y + (0.3 + hard) * torch.randn(K, n, generator=rng)
    rows = torch.rand(n, generator=rng) < 0.8
    found = likely_active(scores, y, rows)
    assert not found[:, ~rows].any()
    assert found[(y > 0) & rows].all()
    negatives = (found & (y < 0)).sum(dim=1)
    assert negatives[0] > negatives[1:].max()
    n_positive = ((y > 0) & rows).sum(dim=1)
    assert (negatives >= 0.74 * n_positive).all()
