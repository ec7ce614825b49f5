"""How unlike the training examples a new one is, from features alone.

Letters: ``n`` rows kept, ``q`` queries, ``d`` features, ``r`` principal components, ``K`` classes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Principal components kept, and how far covariances are shrunk towards a multiple of the identity:
# held-out classes of two sets are found alike (AUROC within half a point) with 128 or 256, and 0.1 to 0.5.
N_COMPONENTS, SHRINKAGE = 256, 0.3
# Rows kept, in all: nearest examples are looked for among these.
MOST_ROWS = 5_000
# Rows whose distances are in memory at once.
BLOCK = 1_024
# Below this many examples, their spread says nothing.
FEWEST_ROWS = 10
# Above this size a randomized decomposition is much cheaper than the exact one.
_EXACT = 600

F = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Novelty:
    """The training examples as far as novelty needs them.

    Two scores are added, each less its median and divided by its spread over training examples that
    were held out: the relative Mahalanobis distance to the nearest class (Ren et al. 2021, "A simple
    fix to Mahalanobis distance"), and the Euclidean distance to the nearest training example. One
    misses where the other finds: near classes lie far from a class's own spread, other kinds of
    picture far from every picture. (We add standardised scores, not ranks, as ranks do not tell apart
    what lies beyond all training examples.)
    """

    mean: NDArray[np.float32]  # (d,)
    basis: NDArray[np.float32]  # (d, r); principal axes of the training features
    centres: NDArray[np.float32]  # (K, r); mean of each class
    # within, background: (r, r); whitening of the spread within classes, and of all
    within: NDArray[np.float32]
    background: NDArray[np.float32]
    outside: NDArray[np.float32]  # (2,); precision of both outside the basis
    rows: NDArray[np.float16]  # (n, r); training examples
    rests: NDArray[np.float32]  # (n,); their squared lengths outside the basis
    # (2, 2); median and spread of each score over held-out training examples
    scales: NDArray[np.float64]
    held_out: NDArray[np.float32]  # (m,); their sums, ascending

    @classmethod
    def fit(cls, X: ArrayLike, member: ArrayLike, folds: ArrayLike) -> Self:
        """Learn what training examples look like.

        Raises ValueError where there are fewer than :data:`FEWEST_ROWS` rows, or one fold only.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features, rows of unit length.
        member : array-like of shape (n,), int
            Class of each row, 0 to K - 1.
        folds : array-like of shape (n,), int
            Folds of rows that are held out together.
        """
        data, own = np.asarray(X, dtype=np.float32), np.asarray(member)
        mean, basis, Z, rests, scores = _held_out(data, own, np.asarray(folds))
        scales = _scales(scores)
        centres, within, background, outside = _spread(Z, own)
        return cls(
            mean=mean,
            basis=basis,
            centres=centres,
            within=within,
            background=background,
            outside=outside,
            rows=Z.astype(np.float16),
            rests=rests,
            scales=scales,
            held_out=np.sort(_standardised(scores, scales)).astype(np.float32),
        )

    @staticmethod
    def held_out_scores(X: ArrayLike, member: ArrayLike, folds: ArrayLike) -> NDArray[np.float64]:
        """The novelty of each row among those of the other folds, (n,); parameters of `fit`.

        The nearest row is looked for among :data:`MOST_ROWS` of the other folds, so that time and
        memory grow with n.
        """
        data = np.asarray(X, dtype=np.float32)
        *_, scores = _held_out(data, np.asarray(member), np.asarray(folds))
        return _standardised(scores, _scales(scores))

    def score(self, X: ArrayLike) -> NDArray[np.float64]:
        """The novelty of rows (q, d): higher is more novel, 0 as usual, without bounds."""
        Z, rests = _project(np.asarray(X, dtype=np.float32), self.mean, self.basis)
        parts = self.centres, self.within, self.background, self.outside
        rows = self.rows.astype(np.float32)
        return _standardised(_scores(Z, rests, parts, rows, self.rests), self.scales)

    def share(self, score: ArrayLike) -> NDArray[np.float64]:
        """The share of held-out training examples that are less novel, (q,), in [0, 1]."""
        found = np.searchsorted(self.held_out, np.asarray(score, dtype=np.float32))
        return found / len(self.held_out)

    def nearest(self, X: ArrayLike, k: int) -> NDArray[np.intp]:
        """The ``k`` nearest kept rows of each of (q, d), nearest first, (q, min(k, n))."""
        Z, rests = _project(np.asarray(X, dtype=np.float32), self.mean, self.basis)
        squares = _squares(Z, rests, self.rows.astype(np.float32), self.rests)
        return np.argsort(squares, axis=1, kind="stable")[:, :k]

    def tensors(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, contiguous."""
        return {f.name: np.ascontiguousarray(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def of_tensors(cls, tensors: dict[str, NDArray[Any]], n_features: int) -> Self:
        """What :meth:`tensors` gave.

        Raises KeyError or ValueError where an array is missing, of another shape, or holds numbers
        that are not finite.
        """
        found = cls(**{f.name: tensors[f.name] for f in fields(cls)})
        r, n = found.basis.shape[1], len(found.rows)
        wanted = {
            "mean": (n_features,),
            "basis": (n_features, r),
            "centres": (len(found.centres), r),
            "within": (r, r),
            "background": (r, r),
            "outside": (2,),
            "rows": (n, r),
            "rests": (n,),
            "scales": (2, 2),
            "held_out": (len(found.held_out),),
        }
        for name, shape in wanted.items():
            array = tensors[name]
            if array.shape != shape or not array.size or array.dtype.kind != "f":
                raise ValueError(f"{name} has the shape {array.shape}, needed {shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds numbers that are not finite")
        return found


def choose_rows(member: ArrayLike, most: int = MOST_ROWS) -> NDArray[np.intp]:
    """At most ``most`` rows with each class's share of them, ascending; the same for the same input."""
    own = np.asarray(member)
    if len(own) <= most:
        return np.arange(len(own))
    order = np.random.default_rng(0).permutation(len(own))
    order = order[np.argsort(own[order], kind="stable")]
    return np.sort(order[np.linspace(0, len(own) - 1, most).astype(np.intp)])


def _held_out(
    X: F, member: NDArray[Any], folds: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], F]:
    """Mean, basis, components, squared lengths outside, and the scores of rows held out, (n, 2)."""
    n_folds = len(np.unique(folds))
    if len(X) < FEWEST_ROWS or n_folds < 2:
        raise ValueError(
            f"novelty needs {FEWEST_ROWS} rows and 2 folds; got {len(X)} rows and {n_folds} folds"
        )
    mean = X.mean(axis=0)
    basis = _principal_axes(X - mean)
    Z, rests = _project(X, mean, basis)
    scores = np.empty((len(Z), 2))
    for fold in np.unique(folds):
        out, rest = folds == fold, np.flatnonzero(folds != fold)
        near = rest[choose_rows(member[rest])]
        parts = _spread(Z[rest], member[rest])
        scores[out] = _scores(Z[out], rests[out], parts, Z[near], rests[near])
    return mean, basis, Z, rests, scores


def _scales(scores: F) -> NDArray[np.float64]:
    """Median and spread of each score, (2, 2)."""
    low, middle, high = np.percentile(scores, [25, 50, 75], axis=0)
    # Of normal scores, the standard deviation.
    return np.stack([middle, np.maximum((high - low) / 1.349, 1e-12)], axis=1)


def _principal_axes(centred: F) -> NDArray[np.float32]:
    """The leading principal axes (d, r) of centred rows."""
    r = min(N_COMPONENTS, len(centred) - 1, centred.shape[1])
    if min(centred.shape) <= _EXACT:
        axes = np.linalg.svd(centred, full_matrices=False)[2][:r]
    else:
        from sklearn.utils.extmath import randomized_svd

        axes = randomized_svd(centred, r, n_iter=3, random_state=0)[2]
    return np.ascontiguousarray(axes.T, dtype=np.float32)


def _project(X: F, mean: F, basis: F) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Components (q, r), and squared lengths outside the basis (q,)."""
    centred = X - mean
    Z = centred @ basis
    rests = np.maximum((centred**2).sum(axis=1) - (Z**2).sum(axis=1), 0)
    return Z.astype(np.float32, copy=False), rests.astype(np.float32)


def _spread(Z: F, member: NDArray[Any]) -> tuple[F, F, F, F]:
    """Class means, whitening within classes and of all, and the precisions outside the basis."""
    classes, own = np.unique(member, return_inverse=True)
    centres = np.stack([Z[own == k].mean(axis=0) for k in range(len(classes))])
    within, outer = _whitening(Z - centres[own], len(Z) - len(classes))
    overall = Z.mean(axis=0)
    background, outer_all = _whitening(Z - overall, len(Z) - 1)
    # The overall mean is near the origin, which is that of all rows: kept as one more centre.
    return (
        np.vstack([centres, overall]).astype(np.float32),
        within,
        background,
        np.array([outer, outer_all], dtype=np.float32),
    )


def _whitening(centred: F, n_free: int) -> tuple[NDArray[np.float32], float]:
    """``L`` with ``L L^T`` the precision of centred rows, and the precision outside of them."""
    S = (centred.T @ centred).astype(np.float64) / max(n_free, 1)
    variance = max(float(np.trace(S)) / len(S), 1e-12)
    S *= 1 - SHRINKAGE
    S[np.diag_indices_from(S)] += SHRINKAGE * variance
    values, vectors = np.linalg.eigh(S)
    whitening = vectors / np.sqrt(np.maximum(values, 1e-12))
    return whitening.astype(np.float32), 1 / (SHRINKAGE * variance)


def _scores(Z: F, rests: F, parts: tuple[F, F, F, F], rows: F, rests_of_rows: F) -> F:
    """Relative Mahalanobis distance and distance to the nearest row, (q, 2)."""
    centres, within, background, (outer, outer_all) = parts
    to_class = _squares(Z @ within, np.zeros(len(Z)), centres[:-1] @ within, np.zeros(1)).min(
        axis=1
    )
    to_all = (((Z - centres[-1]) @ background) ** 2).sum(axis=1)
    relative = to_class - to_all + rests * (outer - outer_all)
    near = np.empty(len(Z))
    for start in range(0, len(Z), BLOCK):
        some = slice(start, start + BLOCK)
        near[some] = _squares(Z[some], rests[some], rows, rests_of_rows).min(axis=1)
    return np.stack([relative, np.sqrt(near)], axis=1)


def _squares(Z: F, rests: F, rows: F, rests_of_rows: F) -> NDArray[np.float64]:
    """Squared distances (q, n); what lies outside the basis counts as orthogonal."""
    own = (Z.astype(np.float64) ** 2).sum(axis=1) + rests
    its = (rows.astype(np.float64) ** 2).sum(axis=1) + rests_of_rows
    return np.asarray(np.maximum(own[:, None] + its - 2 * (Z @ rows.T), 0))


def _standardised(scores: F, scales: F) -> NDArray[np.float64]:
    return np.asarray(((scores - scales[:, 0]) / scales[:, 1]).sum(axis=1))
