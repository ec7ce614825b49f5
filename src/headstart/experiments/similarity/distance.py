"""How far images lie from those that a network was trained on, without those images; and sets of texts.

A BatchNorm layer (Ioffe and Szegedy 2015) keeps the running mean and variance of its input over
the source's images. Other images give other means and variances; the distance between the two
pairs of Gaussians, channel by channel and layer by layer, says how unlike the source they look to
the network. A sentence encoder keeps no such statistics: of texts, the two pairs are those of two sets.

Letters: ``N`` images or texts, ``L`` layers, ``C`` channels of one layer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.errors import BackboneError, InputError
from headstart.experiments.similarity.result import Distance
from headstart.results import Estimate
from headstart.training.batchnorm import without_batchnorm

if TYPE_CHECKING:
    from headstart.backbones import Backbone

Array = NDArray[np.float64]

N_RESAMPLES = 100
# For a 95 % point.
N_CHANCE = 400
MEASURES = ("kl", "frechet")
"""Symmetric Kullback-Leibler divergence, and squared 2-Wasserstein (Fréchet) distance."""


def symmetric_kl(mean: ArrayLike, var: ArrayLike, mean_0: ArrayLike, var_0: ArrayLike) -> Array:
    """Half the sum of both Kullback-Leibler divergences between two Gaussians.

    ``((v + (m - m0)^2) / v0 + (v0 + (m - m0)^2) / v - 2) / 4``.

    Parameters
    ----------
    mean, var, mean_0, var_0 : array-like of one shape, float
        Means and variances (above zero), one for each channel.

    Returns
    -------
    ndarray, float64
        In nats; 0 for the same Gaussians, and symmetric in them.
    """
    m, v, m0, v0 = (np.asarray(a, dtype=np.float64) for a in (mean, var, mean_0, var_0))
    squared = (m - m0) ** 2
    divergence: Array = ((v + squared) / v0 + (v0 + squared) / v - 2) / 4
    return divergence


def frechet(mean: ArrayLike, var: ArrayLike, mean_0: ArrayLike, var_0: ArrayLike) -> Array:
    """Squared 2-Wasserstein distance between two Gaussians: ``(m - m0)^2 + (s - s0)^2``.

    Dowson and Landau, "The Fréchet distance between multivariate normal distributions" (1982), for
    one dimension.

    Parameters
    ----------
    mean, var, mean_0, var_0 : array-like of one shape, float
        Means and variances, one for each channel.

    Returns
    -------
    ndarray, float64
        In squared units of the mean; symmetric.
    """
    m, v, m0, v0 = (np.asarray(a, dtype=np.float64) for a in (mean, var, mean_0, var_0))
    distance: Array = (m - m0) ** 2 + (np.sqrt(v) - np.sqrt(v0)) ** 2
    return distance


@dataclass(frozen=True, kw_only=True)
class Source:
    """What one BatchNorm layer keeps of the source's images; of texts, a layer's features of a set."""

    layer: str  # dotted path within the backbone's module; of texts a tap of the encoder
    # mean, var: (C,)
    mean: Array
    var: Array
    eps: float  # what the layer adds to a variance before it divides by it


def medians(
    kl: Sequence[float], frechet: Sequence[float], errors: Mapping[str, float]
) -> dict[str, Estimate]:
    """For each of `MEASURES` the median over the layers with the ends of its 95 % interval.

    Parameters
    ----------
    kl, frechet : sequence of float, length L
    errors : mapping of measure to float
        Standard error of the median over the layers: of other images of the same kind.
    """
    found = {}
    for name, values in (("kl", kl), ("frechet", frechet)):
        value, half = float(np.median(values)), 1.96 * errors[name]
        found[name] = Estimate(value, max(0.0, value - half), value + half)
    return found


def source_statistics(backbone: Backbone) -> tuple[Source, ...]:
    """The running statistics of every BatchNorm layer.

    Raises InputError where the network has no BatchNorm, or was not trained; the message says which
    to take. In the order in which the layers stand in the module.
    """
    reason = without_batchnorm(backbone.module)
    if reason is not None:
        raise InputError(
            f"not available: {reason.partition(':')[0]}, so {backbone.name} keeps no statistics of "
            "its source. Take a backbone with BatchNorm: embedded, resnet18, resnet50, "
            "mobilenet_v2, vgg16_bn, densenet121, efficientnet_b0, ..."
        )
    found = tuple(
        Source(
            layer=name,
            mean=_array(layer.running_mean),
            var=_array(layer.running_var),
            eps=float(layer.eps),
        )
        for name, layer in _named(backbone.module)
    )
    if all(np.all(s.mean == 0) and np.all(s.var == 1) for s in found):
        raise InputError(
            f"not available: the BatchNorm layers of {backbone.name} have seen no images (mean 0, "
            "variance 1): take pretrained weights"
        )
    return found


def measure_distance(
    backbone: Backbone,
    batches: Iterable[Tensor],
    *,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> Distance:
    """One pass of images, and how far each layer's input lies from the source's.

    The network runs as at test: each layer normalises with the source's statistics, so a
    difference low in the network is seen by all layers above it. For the interval, images are
    resampled with replacement (the bootstrap) from the sums that the one pass kept of each.

    Raises InputError where there are fewer than two images, or the network has no statistics of its
    source.

    Parameters
    ----------
    backbone : Backbone
        Not to be run by two threads at once: hooks hang on its layers during the call.
    batches : iterable of Tensor (B, 3, S, S), float32
        Normalised as the backbone wants it, on its device.
    seed : int, default 0
        Of the resampling.
    n_resamples : int, default 100
    """
    sources = source_statistics(backbone)
    sums = _sums(backbone.module, batches)
    # A layer that this network's forward does not use has no input, and no say.
    sources = tuple(s for s in sources if s.layer in sums)
    n_images = len(next(iter(sums.values()))[0]) if sums else 0
    if n_images < 2:
        raise InputError(f"a distance needs two images or more; got {n_images}")
    return distance_from(sources, sums, seed=seed, n_resamples=n_resamples)


def distance_from(
    sources: Sequence[Source],
    sums: Mapping[str, tuple[Array, Array]],
    *,
    reference: Mapping[str, tuple[Array, Array]] | None = None,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> Distance:
    """How far examples lie from the sources; the interval is of other examples of the same kind.

    Parameters
    ----------
    sources : sequence of Source
    sums : mapping of layer to two arrays (N, C)
        Mean and mean square of each example.
    reference : mapping of layer to two arrays (M, C), optional
        Those that the sources were computed from: the interval is then of other examples of both kinds.
    seed : int, default 0
        Of the resampling.
    n_resamples : int, default 100
    """
    n = _n_examples(sums)
    rng = np.random.default_rng(seed)
    own = [(s.mean, s.var) for s in sources]
    eps = [s.eps for s in sources]
    layers = [s.layer for s in sources]
    whole = _distances(_moments(sums, layers, np.full((1, n), 1 / n)), own, eps)
    drawn = _moments(sums, layers, _draws(rng, n, n, n_resamples))
    if reference is not None:
        m = _n_examples(reference)
        own = _moments(reference, layers, _draws(rng, m, m, n_resamples))
    resampled = _distances(drawn, own, eps)
    kl, frechet = (tuple(whole[name][0].tolist()) for name in MEASURES)
    errors = {name: float(np.median(d, axis=1).std()) for name, d in resampled.items()}
    return Distance(
        n_images=n,
        layers=tuple(layers),
        kl=kl,
        frechet=frechet,
        medians=medians(kl, frechet, errors),
    )


@dataclass(frozen=True, kw_only=True)
class Chance:
    """How far two sets of the same kind lie apart, because each is a sample."""

    distance: Distance  # mean over the draws, with the interval of one of them
    most: float  # 95 % of the draws have a median symmetric KL of at most this


def distance_by_chance(
    sums: Mapping[str, tuple[Array, Array]],
    n_reference: int,
    *,
    eps: float,
    seed: int = 0,
    n_resamples: int = N_CHANCE,
) -> Chance:
    """How far two sets drawn independently from the same examples lie apart.

    Both sets are drawn with replacement: one of N examples, as the user's, one of as many as a reference
    has. A single set compared with the examples that it was drawn from would lie too near: it leaves out
    that the reference is a sample too.

    Parameters
    ----------
    sums : mapping of layer to two arrays (N, C)
        Mean and mean square of each example.
    n_reference : int
        Examples of the reference.
    eps : float
        Added to every variance.
    seed : int, default 0
    n_resamples : int, default 400
    """
    n = _n_examples(sums)
    rng = np.random.default_rng(seed)
    layers = list(sums)
    own, other = (
        _moments(sums, layers, _draws(rng, n, size, n_resamples)) for size in (n, n_reference)
    )
    every = _distances(own, other, [eps] * len(layers))
    kl, frechet = (tuple(every[name].mean(axis=0).tolist()) for name in MEASURES)
    over_layers = {name: np.median(d, axis=1) for name, d in every.items()}
    errors = {name: float(d.std()) for name, d in over_layers.items()}
    distance = Distance(
        n_images=n,
        layers=tuple(layers),
        kl=kl,
        frechet=frechet,
        medians=medians(kl, frechet, errors),
    )
    return Chance(distance=distance, most=float(np.quantile(over_layers["kl"], 0.95)))


def _n_examples(sums: Mapping[str, tuple[Array, Array]]) -> int:
    return len(next(iter(sums.values()))[0])


def _draws(rng: np.random.Generator, n: int, size: int, n_resamples: int) -> Array:
    """Weights (n_resamples, n) of `size` of n examples, drawn with replacement."""
    return rng.multinomial(size, np.full(n, 1 / n), n_resamples) / size


def _moments(
    sums: Mapping[str, tuple[Array, Array]], layers: Sequence[str], weights: Array
) -> list[tuple[Array, Array]]:
    """Mean and variance (n_weightings, C) at each layer, for examples weighted by rows of `weights`."""
    found = []
    for layer in layers:
        means, squares = sums[layer]
        mean = weights @ means
        found.append((mean, np.clip(weights @ squares - mean**2, 0, None)))
    return found


def _distances(
    moments: Sequence[tuple[Array, Array]],
    others: Sequence[tuple[Array, Array]],
    eps: Sequence[float],
) -> dict[str, Array]:
    """Each measure (n_weightings, L) between two lists of mean and variance, layer by layer."""
    found: dict[str, list[Array]] = {name: [] for name in MEASURES}
    for (mean, var), (mean_0, var_0), added in zip(moments, others, eps, strict=True):
        # eps as the layer has it: else a channel that the source hardly used outweighs all others.
        v, v0 = var + added, var_0 + added
        found["kl"].append(symmetric_kl(mean, v, mean_0, v0).mean(axis=1))
        scale = np.sqrt(v0)
        found["frechet"].append(
            frechet(mean / scale, v / v0, mean_0 / scale, np.ones_like(v0)).mean(axis=1)
        )
    return {name: np.stack(columns, axis=1) for name, columns in found.items()}


@torch.no_grad()
def _sums(module: nn.Module, batches: Iterable[Tensor]) -> dict[str, tuple[Array, Array]]:
    """Mean and mean square (N, C) of each image's input of each layer that ran."""
    kept: dict[str, list[tuple[Tensor, Tensor]]] = {}
    modes = [(part, part.training) for part in module.modules()]
    with contextlib.ExitStack() as hooks:
        for name, layer in _named(module):
            hooks.callback(layer.register_forward_pre_hook(_note(kept, name)).remove)
        try:
            module.eval()
            for batch in batches:
                module(batch)
        finally:
            for part, training in modes:
                part.training = training
    if len({sum(len(m) for m, _ in parts) for parts in kept.values()}) > 1:
        raise BackboneError(
            f"not available: {type(module).__name__} runs some BatchNorm layers more than once an "
            "image, so their inputs cannot be told apart"
        )
    return {
        name: (
            torch.cat([m for m, _ in parts]).numpy(),
            torch.cat([s for _, s in parts]).numpy(),
        )
        for name, parts in kept.items()
    }


def _note(
    kept: dict[str, list[tuple[Tensor, Tensor]]], name: str
) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def note(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        values = args[0].float().flatten(2) if args[0].ndim > 2 else args[0].float()[:, :, None]
        # Twenty times quicker than torch.var_mean over positions.
        norms = torch.linalg.vector_norm(values.contiguous(), dim=2).double().cpu()
        means = values.mean(dim=2).double().cpu()
        kept.setdefault(name, []).append((means, norms.square() / values.shape[2]))

    return note


def _named(module: nn.Module) -> Iterator[tuple[str, _BatchNorm]]:
    for name, layer in module.named_modules():
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None:
            yield name, layer


def _array(values: Tensor | None) -> Array:
    assert values is not None
    array: Array = values.detach().double().cpu().numpy()
    return array
