"""Two numbers for each image, and how much of the neighbourhoods they keep."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data import duplicate_groups
from headstart.data.groups import groups_of
from headstart.data.sources import printable
from headstart.errors import DataError, InputError, argument
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.map.result import MapResult, Point
from headstart.experiments.map.settings import FEWEST, Settings
from headstart.experiments.onrun import training_images, unseen_predictions, who_judged
from headstart.heads import accuracy_interval
from headstart.reliability.asking import reduce
from headstart.reliability.novelty import FEWEST_ROWS, Novelty
from headstart.results import Interval

# Images up to which t-SNE takes less than half a minute on one core.
MOST_TSNE = 5_000
# Principal components that t-SNE reads, and its perplexity (van der Maaten and Hinton 2008).
N_COMPONENTS, PERPLEXITY = 50, 30.0
# Images that trustworthiness is measured on: it needs all distances.
MOST_JUDGED = 2_000
_BLOCK = 1_000


def measure(s: Settings, inputs: Inputs) -> MapResult:
    """Place every image, or a sample, and compare its neighbours there with those by all features.

    Raises DataError where there are fewer than ten images; InputError where a method is not installed;
    RunError as :func:`headstart.experiments.onrun.training_images`.
    """
    if s.method == "opentsne" and not has_opentsne():
        raise InputError(
            f"{argument('method', 'opentsne')} needs openTSNE: pip install 'headstart[map]', or take tsne"
        )
    images = training_images(s, inputs)
    records = [*images.records, *images.held_out]
    if len(records) < FEWEST:
        raise DataError(f"a map needs {FEWEST} images or more; this run has {len(records)}")
    rng = np.random.default_rng(s.seed)
    rows = np.sort(rng.permutation(len(records))[: s.most])
    X = np.asarray(images.X[rows], dtype=np.float32)
    shown = [records[i] for i in rows]
    member = np.unique([r.label for r in shown], return_inverse=True)[1]
    together = np.asarray(duplicate_groups(images.index, shown))
    method = s.method
    if method == "auto":
        method = "tsne" if len(shown) <= MOST_TSNE else "opentsne" if has_opentsne() else "pca"
    inputs.progress("place", 0, 1)
    places = _placed(X, method, s.seed)
    inputs.progress("place", 1, 1)
    predicted = unseen_predictions(images, inputs.progress)
    judged = np.sort(rng.permutation(len(X))[:MOST_JUDGED])
    return MapResult(
        settings=s,
        datasets=(DataFacts.of(images.index),),
        method=method,
        n_features=X.shape[1],
        n_images=len(records),
        on_map=_same_class(places, member, together, groups_of(shown)),
        in_features=_same_class(X, member, together, groups_of(shown)),
        judged_by=who_judged(images.run),
        trustworthiness=_trustworthiness(X[judged], places[judged]),
        points=tuple(
            Point(
                name=r.name,
                path=printable(str(r.path)),
                label=r.label,
                split=r.split,
                predicted=predicted.get(r.name, ""),
                x=float(x),
                y=float(y),
                novelty=None if np.isnan(share) else float(share),
            )
            for r, (x, y), share in zip(shown, places, _novelty(X, member, together), strict=True)
        ),
    )


def has_opentsne() -> bool:
    """Whether the extra ``map`` is installed."""
    return find_spec("openTSNE") is not None


def _placed(X: NDArray[Any], method: str, seed: int) -> NDArray[np.float64]:
    """Two coordinates in [0, 1], the same unit on both axes, the middle at 0.5."""
    Z = reduce(X - X.mean(axis=0), 2 if method == "pca" else N_COMPONENTS)
    perplexity = min(PERPLEXITY, (len(Z) - 1) / 3)
    if method == "tsne" and Z.shape[1] > 2:
        from sklearn.manifold import TSNE

        Z = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(Z)
    elif method == "opentsne" and Z.shape[1] > 2:
        import openTSNE

        Z = np.asarray(openTSNE.TSNE(perplexity=perplexity, random_state=seed).fit(Z))
    full = np.zeros((len(X), 2))
    full[:, : Z.shape[1]] = Z[:, :2]
    low, high = full.min(axis=0), full.max(axis=0)
    centred: NDArray[np.float64] = full - (low + high) / 2
    return centred / (max(high - low) or 1.0) + 0.5


def _novelty(X: NDArray[Any], member: NDArray[Any], together: NDArray[Any]) -> NDArray[np.float64]:
    """The share of images that are less novel, by those of the other folds; NaN where there is one fold."""
    folds = together % min(10, len(together))
    if len(X) < FEWEST_ROWS or len(np.unique(folds)) < 2:
        return np.full(len(X), np.nan)
    scores = Novelty.held_out_scores(X, member, folds)
    return np.argsort(np.argsort(scores, kind="stable"), kind="stable") / max(len(X) - 1, 1)


def _same_class(
    X: NDArray[Any],
    member: NDArray[Any],
    together: NDArray[Any],
    groups: Sequence[str] | None,
) -> Interval | None:
    """How often the nearest row that is not of the same copies or group is of the same class."""
    if np.unique(together).size < 2:
        return None
    norms = np.einsum("ij,ij->i", X, X)
    right = np.zeros(len(X), dtype=bool)
    for start in range(0, len(X), _BLOCK):
        part = slice(start, start + _BLOCK)
        squares = norms[None] - 2 * (X[part] @ X.T)
        squares[together[part, None] == together[None]] = np.inf
        right[part] = member[squares.argmin(axis=1)] == member[part]
    return accuracy_interval(right, groups=groups)


def _trustworthiness(X: NDArray[Any], places: NDArray[Any]) -> float:
    from sklearn.manifold import trustworthiness

    return float(trustworthiness(X, places, n_neighbors=max(1, min(5, len(X) // 2 - 1))))
