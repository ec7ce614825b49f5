"""Visual words: clusters of the training images' descriptors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.baselines.descriptors import Descriptors
from headstart.baselines.sift import root_sift
from headstart.errors import InputError, argument

Floats = NDArray[np.float32]

_BATCH = 4_096
# With fewer descriptors per word, words would represent a handful of patches.
PER_WORD = 10
# A mixture has few parameters, so more rows only take longer.
MIXTURE_ROWS = 40_000


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A mixture of Gaussians with diagonal covariances, after PCA."""

    mean: Floats  # (128,)
    # (128, d); a descriptor's coordinates are ``(x - mean) @ axes``; followed by the position in
    # the image
    axes: Floats
    weights: Floats  # (K,)
    # means, deviations: (K, d + 2)
    means: Floats
    deviations: Floats


def sample_descriptors(
    store: Descriptors, digests: Sequence[str], n: int, seed: int
) -> tuple[Floats, Floats]:
    """RootSIFT of about ``n`` descriptors sampled evenly from the images, and their positions.

    Flat patches, whose descriptors are zero, are left out.

    Returns
    -------
    descriptors : float32 array (m, 128)
    places : float32 array (m, 2)
    """
    rng = np.random.default_rng(seed)
    each = -(-n // max(len(digests), 1))
    found, places = [], []
    for digest in digests:
        all_of_it, where = store.read(digest)
        textured = np.flatnonzero(all_of_it.any(axis=1))
        rows = rng.permutation(textured)[:each]
        found.append(all_of_it[rows])
        places.append(where[rows])
    order = rng.permutation(sum(map(len, found)))  # so that its first rows are also a sample
    return root_sift(np.concatenate(found)[order]), np.concatenate(places)[order]


def fit_vocabulary(sample: Floats, n_words: int, seed: int) -> Floats:
    """The words: centres of mini-batch k-means (Sivic and Zisserman 2003).

    Raises InputError where there are fewer than ten descriptors per word.

    Parameters
    ----------
    sample : float32 array (n, 128)

    Returns
    -------
    float32 array (n_words, 128)
    """
    from sklearn.cluster import MiniBatchKMeans

    _require(len(sample), n_words, f"a vocabulary of {n_words} words", argument("n_words"))
    kmeans = MiniBatchKMeans(
        n_words, batch_size=_BATCH, n_init=1, max_iter=30, random_state=seed
    ).fit(sample)
    return np.asarray(kmeans.cluster_centers_, np.float32)


def fit_mixture(
    sample: Floats, places: Floats, n_gaussians: int, n_components: int, seed: int
) -> Mixture:
    """PCA, then a Gaussian mixture over coordinates and position in the image (Sánchez et al. 2012).

    Raises InputError where there are fewer than ten descriptors per Gaussian.

    Parameters
    ----------
    sample : float32 array (n, 128)
    places : float32 array (n, 2)
    """
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    wanted = f"a mixture of {n_gaussians} Gaussians"
    _require(len(sample), max(n_gaussians, n_components), wanted, argument("n_gaussians"))
    pca = PCA(n_components, random_state=seed).fit(sample)
    mean = np.asarray(pca.mean_, np.float32)
    axes = np.asarray(pca.components_.T, np.float32)
    points = with_places((sample - mean) @ axes, places)[:MIXTURE_ROWS]
    mixture = GaussianMixture(
        n_gaussians,
        covariance_type="diag",
        max_iter=20,
        tol=1e-2,
        reg_covar=1e-5,
        init_params="k-means++",
        random_state=seed,
    )
    with warnings.catch_warnings():
        # A few iterations suffice: the encoding matters, not the likelihood.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(points)
    return Mixture(
        mean=mean,
        axes=axes,
        weights=mixture.weights_.astype(np.float32),
        means=mixture.means_.astype(np.float32),
        deviations=np.sqrt(mixture.covariances_).astype(np.float32),
    )


def with_places(coordinates: NDArray[np.floating], places: Floats) -> Floats:
    """Coordinates, followed by the position relative to the centre of the image."""
    return np.hstack([coordinates, places - 0.5]).astype(np.float32, copy=False)


def _require(n: int, n_parts: int, wanted: str, option: str) -> None:
    least = PER_WORD * n_parts
    if n < least:
        raise InputError(
            f"{wanted} needs {least:,} descriptors or more; the training images give {n:,}: "
            f"take a smaller {option}, a smaller {argument('step_px')}, or more images"
        )
