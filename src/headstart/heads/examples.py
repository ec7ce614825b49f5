"""Examples of a linear problem, read in blocks of rows in the precision that a step needs.

`Held` has them in memory on the device. `Streamed` leaves them where they are, an array in memory, a
memory-mapped file or `Rows` of whatever kind, and converts and normalises a block whenever it is
read: for features that memory cannot hold twice, or not at all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Normalize = Literal["l2", "power", "none"]

# Rows of a block: on a CPU what a core's cache holds, so that a block used twice is near. Where a
# product is fast for its size (matrix units, squares) larger blocks cost less to set up.
BLOCK_ROWS = 512
LARGE_BLOCK_ROWS = 4_096
# One of so many coefficients is not zero where a product with these alone is quicker than one with all.
DENSE_SHARE = 8
BLOCK_ROWS_GPU = 16_384


@runtime_checkable
class Rows(Protocol):
    """Features that come a slice at a time, such as those of a store on disk.

    Attributes
    ----------
    shape : tuple of int
        (n_samples, n_features).
    dtype : np.dtype
        Of what a slice gives.
    """

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> NDArray[Any]: ...


def is_lazy(X: object) -> bool:
    """Whether ``X`` is `Rows` that no array in memory or mapped stands behind, nor a sparse one."""
    return isinstance(X, Rows) and not (hasattr(X, "__array__") or hasattr(X, "tocsr"))


def normalize_rows(X: NDArray[np.floating], normalize: Normalize) -> NDArray[np.floating]:
    """Features as the linear model sees them.

    ``"l2"`` divides every row by its Euclidean norm, as Razavian et al. (2014, "CNN features
    off-the-shelf") do before the SVM; rows of zeros stay zero. ``"power"`` takes the square root of
    every entry first, its sign kept (Perronnin et al. 2010, "Improving the Fisher kernel"), so that
    a few large activations do not decide alone. ``"none"`` returns ``X`` itself.
    """
    if normalize == "none":
        return X
    if normalize == "power":
        X = np.copysign(np.sqrt(np.abs(X)), X)
    elif normalize != "l2":
        raise ValueError(f"normalize must be 'l2', 'power' or 'none'; got {normalize!r}")
    # Scaling by the largest entry first keeps the squares from overflowing.
    peak = np.abs(X).max(axis=1, keepdims=True)
    scaled = X / np.where(peak > 0, peak, 1)
    norm = np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled / np.where(norm > 0, norm, 1)


def join_rows(
    parts: Sequence[NDArray[np.float32]], normalize: Normalize = "l2"
) -> NDArray[np.float32]:
    """Feature arrays (n, d_i) side by side, each row of each normalised first.

    So every layer and resolution counts the same, however large its activations are.
    """
    rows = [normalize_rows(part, normalize) for part in parts]
    return np.hstack(rows).astype(np.float32, copy=False)


def read_rows(X: NDArray[Any] | Rows, rows: slice, normalize: Normalize) -> NDArray[np.floating]:
    """The rows as the linear model sees them, float32 or, where ``X`` is finer, float64."""
    return normalize_rows(X[rows].astype(working_dtype(X), copy=False), normalize)


def working_dtype(X: NDArray[Any] | Rows) -> type[np.floating]:
    """float32 for what it represents exactly among floating-point features, else float64."""
    return np.float32 if X.dtype in (np.float16, np.float32) else np.float64


def row_blocks(n: int, n_rows: int = BLOCK_ROWS, *, start: int = 0) -> Iterator[slice]:
    """The rows from ``start`` up to ``n``, cut into blocks."""
    return (slice(a, min(a + n_rows, n)) for a in range(start, n, n_rows))


def combine(coefficients: Tensor, Z: Tensor) -> Tensor:
    """``coefficients Z``, (n_models, n_features), in their dtype.

    Where few of them are not zero, of these examples alone.
    """
    if _are_many(coefficients):
        return coefficients @ Z.to(coefficients.dtype)
    return _combine_few(coefficients, Z)


def _are_many(coefficients: Tensor) -> bool:
    """Whether a product with all examples is quicker than one with those whose coefficient is not zero."""
    if coefficients.device.type != "cpu":
        return True
    return DENSE_SHARE * int(torch.count_nonzero(coefficients)) > coefficients.numel()


def _combine_few(coefficients: Tensor, Z: Tensor) -> Tensor:
    rows = [torch.nonzero(row).flatten() for row in coefficients]
    return torch.stack(
        [
            c[at] @ Z.index_select(0, at).to(c.dtype)
            for c, at in zip(coefficients, rows, strict=True)
        ]
    )


class Examples(ABC):
    """Features with the constant one as the last column, (n_samples, n_features).

    Attributes
    ----------
    device : torch.device
        Where blocks are.
    """

    shape: tuple[int, int]
    device: torch.device

    @abstractmethod
    def read(self, rows: slice, dtype: torch.dtype) -> Tensor:
        """Some rows, (n_rows, n_features)."""

    def keep(self, dtype: torch.dtype) -> None:  # noqa: B027
        """Have the examples ready in ``dtype`` where there is memory for it."""

    def blocks(
        self, dtype: torch.dtype, is_large: bool = False, rows: slice | None = None
    ) -> Iterator[tuple[slice, Tensor]]:
        """All rows in order, or those of a slice, in blocks."""
        n_rows = LARGE_BLOCK_ROWS if is_large or dtype == torch.bfloat16 else BLOCK_ROWS
        if self.device.type != "cpu":
            n_rows = BLOCK_ROWS_GPU
        start, stop = (0, self.shape[0]) if rows is None else (rows.start, rows.stop)
        return ((block, self.read(block, dtype)) for block in row_blocks(stop, n_rows, start=start))

    def decide(self, w: Tensor, dtype: torch.dtype) -> Tensor:
        """``w Z^T`` computed in ``dtype``, (n_models, n_samples), float64."""
        f = torch.empty(len(w), self.shape[0], dtype=torch.float64, device=self.device)
        w = w.to(dtype)
        for rows, Z in self.blocks(dtype):
            f[:, rows] = (w @ Z.T).double()
        return f

    def pull(self, force: Tensor, dtype: torch.dtype) -> Tensor:
        """``force Z`` computed in ``dtype``, (n_models, n_features), float64."""
        pulled = torch.zeros(len(force), self.shape[1], dtype=dtype, device=self.device)
        for rows, Z in self.blocks(dtype):
            pulled.addmm_(force[:, rows].to(dtype), Z)
        return pulled.double()

    def square(self, weight: Tensor | None, dtype: torch.dtype) -> Tensor:
        """``Z^T diag(weight) Z``, (n_features, n_features), in ``dtype``; by default unweighted."""
        total = torch.zeros(self.shape[1], self.shape[1], dtype=dtype, device=self.device)
        for rows, block in self.blocks(dtype, is_large=True):
            if weight is None:
                total.addmm_(block.T, block)
                continue
            active = torch.nonzero(weight[rows]).flatten()
            Z = block[active]
            total.addmm_(Z.T * weight[rows][active].to(dtype), Z)
        return total


class Held(Examples):
    """Examples in memory, (n_samples, n_features), float32 or float64."""

    def __init__(self, Z: Tensor) -> None:
        self.shape, self.device = (Z.shape[0], Z.shape[1]), Z.device
        self._copies = {Z.dtype: Z}
        self._dtype = Z.dtype

    def keep(self, dtype: torch.dtype) -> None:
        if dtype not in self._copies:
            self._copies[dtype] = self._copies[self._dtype].to(dtype)

    def read(self, rows: slice, dtype: torch.dtype) -> Tensor:
        if dtype in self._copies:
            return self._copies[dtype][rows]
        return self._copies[self._dtype][rows].to(dtype)

    def pull(self, force: Tensor, dtype: torch.dtype) -> Tensor:
        if _are_many(force):
            return super().pull(force, dtype)
        kept = self._copies.get(dtype, self._copies[self._dtype])
        return _combine_few(force.to(dtype), kept).double()

    def square(self, weight: Tensor | None, dtype: torch.dtype) -> Tensor:
        if weight is not None or dtype not in self._copies:
            return super().square(weight, dtype)
        return self._copies[dtype].T @ self._copies[dtype]


class Streamed(Examples):
    """Examples that stay where they are.

    Parameters
    ----------
    X : ndarray or Rows of shape (n_samples, n_features - 1), of any real dtype
        Features without the constant; a np.memmap for one.
    normalize : {"l2", "power", "none"}
        What to do to each row.
    device : torch.device
        Where blocks go.
    """

    def __init__(self, X: NDArray[Any] | Rows, normalize: Normalize, device: torch.device) -> None:
        self.shape, self.device = (X.shape[0], X.shape[1] + 1), device
        self._X, self._normalize = X, normalize

    def read(self, rows: slice, dtype: torch.dtype) -> Tensor:
        part = read_rows(self._X, rows, self._normalize)
        Z = torch.ones(len(part), self.shape[1], dtype=dtype)
        # from_numpy wants a writable array that is its own; a block of a read-only file is not.
        Z[:, :-1] = torch.from_numpy(np.require(part, requirements=["C", "W"]))
        return Z.to(self.device)


def hold(X: NDArray[Any] | Rows, normalize: Normalize, dtype: type[np.floating]) -> Tensor:
    """All rows with the constant one, (n_samples, n_features + 1), filled a block at a time."""
    Z = np.empty((X.shape[0], X.shape[1] + 1), dtype=dtype)
    for rows in row_blocks(len(X)):
        Z[rows, :-1] = read_rows(X, rows, normalize)
    Z[:, -1] = 1
    return torch.from_numpy(Z)


def decide(
    X: NDArray[Any] | Rows,
    coef: NDArray[np.float64],
    intercept: NDArray[np.float64],
    normalize: Normalize,
) -> NDArray[np.float64]:
    """Scores, (n_samples, n_models), reading ``X`` block by block."""
    scores = np.empty((len(X), len(coef)))
    for rows in row_blocks(len(X)):
        scores[rows] = read_rows(X, rows, normalize) @ coef.T + intercept
    return scores
