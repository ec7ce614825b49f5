"""Sparse features, such as counts of words: what the solvers need to know of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.heads.examples import Normalize

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def hold_sparse(X: Any, normalize: Normalize) -> csr_array:
    """All rows with the constant one as the last column, float64."""
    from scipy.sparse import csr_array, hstack
    from sklearn.preprocessing import normalize as unit_rows

    Z = csr_array(X, dtype=np.float64)
    if normalize == "power":
        Z = Z.sign() * abs(Z).sqrt()
    if normalize != "none":
        Z = unit_rows(Z)
    return csr_array(hstack([Z, np.ones((Z.shape[0], 1))]))


def require_finite(X: Any) -> None:
    """Raise where a stored value is not finite.

    Raises
    ------
    ValueError
    """
    rows = X.tocoo()
    if not (finite := np.isfinite(rows.data)).all():
        row = int(rows.row[~finite].min())
        raise ValueError(f"X holds NaN or infinity, first in row {row}")
