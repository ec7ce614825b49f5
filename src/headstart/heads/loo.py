"""Leave-one-out scores of the linear SVM without training once an example."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from headstart.heads.passes import Labels
from headstart.heads.path import label_columns
from headstart.heads.task import Device, Normalize, Task, normalize_rows, or_on_cpu, pick_devices


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaveOneOut:
    """Scores of each example by the model trained on all others.

    Attributes
    ----------
    decisions : ndarray of shape (n_samples, n_classes), float64
        Two classes have the columns ``-f`` and ``f``.
    correct : ndarray of shape (n_samples,), bool
        Whether the highest score was that of the example's own class.
    """

    decisions: NDArray[np.float64]
    correct: NDArray[np.bool_]


def leave_one_out(
    X: ArrayLike,
    y: ArrayLike,
    C: float = 1.0,
    *,
    normalize: Normalize = "l2",
    tol: float = 1e-8,
    device: str | torch.device | None = None,
) -> LeaveOneOut:
    """Near-exact leave-one-out scores at the price of one factor a class.

    An example outside the margin does not act on its model, so its score stands. For an active one
    the model without it is one Newton step away, which the leverages of the final Hessian give in
    closed form; that is exact where no other example crosses the margin on its account. (The
    leverage formula of linear smoothers, Allen 1974, applied to the active examples; the
    approximation is that of Chapelle et al. 2002 for the span of support vectors.)

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), float
        Features.
    y : array-like of shape (n_samples,)
        Labels of at least two classes.
    C : float > 0, default=1.0
        Cost.
    normalize : {"l2", "power", "none"}, default="l2"
        Whether rows are brought to unit length first.
    tol : float, default=1e-8
        Relative duality gap of the model on all examples.
    device : str or torch.device, optional
        By default a CUDA device where it is faster, else the CPU.

    Returns
    -------
    LeaveOneOut

    Raises
    ------
    ValueError
        If the input is malformed or of one class.
    """
    if not C > 0:
        raise ValueError(f"C must be above 0; got {C!r}")
    data, classes, member = label_columns(X, y)
    n, n_classes = len(member), len(classes)
    labels = Labels.of(member, n_classes, np.ones(n), np.ones(n_classes))

    def solve(device: Device) -> NDArray[np.float64]:
        devices = pick_devices(device, 1, data.shape)
        task = Task(normalize_rows(data, normalize), labels, devices)
        fit = task.fit(C, tol)
        [shard] = task.shards
        w = torch.from_numpy(np.column_stack([fit.coef, fit.intercept])).to(shard.device)
        f = w @ shard.solver.Z.T
        for model in range(task.n_models):
            _correct(shard.solver.Z, shard.y[model], f[model], C)
        return np.asarray(f.T.cpu().numpy())

    scores = or_on_cpu(solve, device)
    decisions = np.concatenate([-scores, scores], axis=1) if n_classes == 2 else scores
    return LeaveOneOut(decisions=decisions, correct=decisions.argmax(axis=1) == member)


def _correct(Z: Tensor, y: Tensor, f: Tensor, C: float) -> None:
    """Replace the scores of the active examples of one model, in place."""
    active = torch.nonzero(y * f < 1).flatten()
    if active.numel() == 0:
        return
    rows, error = Z[active], y[active] - f[active]
    if len(rows) <= Z.shape[1]:
        # (K_AA + I / 2C)^-1 has the diagonal that turns beta = 2 C error into the left-out error.
        system = rows @ rows.T
        system.diagonal().add_(0.5 / C)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(system))
        left_out = 2 * C * error / inverse.diagonal()
    else:
        eye = torch.eye(Z.shape[1], dtype=Z.dtype, device=Z.device)
        factor = torch.linalg.cholesky(eye + 2 * C * rows.T @ rows)
        half = torch.linalg.solve_triangular(factor, rows.T, upper=False)
        left_out = error / (1 - 2 * C * half.square().sum(dim=0))
    # left_out is y - f of the model without the example; the row's own error was the smaller.
    f[active] = y[active] - left_out
