"""How many steps gradient descent takes with and without normalised inputs.

The loss of a linear model is quadratic. Its largest curvature limits the learning rate, and the
smallest then determines the number of steps (LeCun et al. 1998, "Efficient BackProp", sections 4.3
and 5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from headstart.augment.searching import one_thread
from headstart.course.labs.result import LabResult
from headstart.course.labs.samples import Samples
from headstart.course.labs.spread import over_seeds, ratio_over_seeds
from headstart.heads import is_significant
from headstart.progress import Progress, silent
from headstart.results import Interval

Floats = NDArray[np.float64]

TREATMENTS = ("raw", "centred", "standardised")
FEATURES = ("body mass index", "blood pressure")
# Descent ends when this share of the excess loss is left.
LEFT = 0.01
# Half decades: wide enough for values of 1,000 without normalisation.
RATES = tuple(10 ** (k / 2) for k in range(-14, 5))
# Descent on real features ends at this share of the loss of guessing.
TARGET = 0.02
MAX_STEPS = 3000
MAX_ROWS = 600


@dataclass(frozen=True)
class Quadratic:
    """The loss ``1/2 mean (x w - y)^2`` of a linear model without bias."""

    hessian: Floats  # (d, d)
    pull: Floats  # (d,); ``mean x y``
    height: float  # the loss at ``w = 0``

    @classmethod
    def of(cls, X: Floats, y: Floats) -> Quadratic:
        """The loss for examples `X` (n, d) and targets `y` (n,)."""
        return cls(X.T @ X / len(X), X.T @ y / len(X), float(y @ y) / len(X) / 2)

    @property
    def condition_number(self) -> float:
        """Largest over smallest curvature."""
        curvature = np.linalg.eigvalsh(self.hessian)
        return float(curvature[-1] / curvature[0])

    @property
    def best_rate(self) -> float:
        """The constant rate with the fewest steps in the worst case: 2 / (largest + smallest)."""
        curvature = np.linalg.eigvalsh(self.hessian)
        return float(2 / (curvature[0] + curvature[-1]))

    @property
    def minimum(self) -> Floats:
        """The weights (d,) with the lowest loss."""
        return np.asarray(np.linalg.solve(self.hessian, self.pull), dtype=np.float64)

    def loss(self, w: Floats) -> Floats:
        """At weights (..., d)."""
        quadratic = np.einsum("...i,ij,...j->...", w, self.hessian, w) / 2
        return np.asarray(quadratic - w @ self.pull + self.height)

    def path(self, rate: float, n_steps: int) -> Floats:
        """Gradient descent from ``w = 0``: weights (n_steps + 1, d)."""
        w = np.zeros(len(self.pull))
        weights = [w]
        for _ in range(n_steps):
            w = w - rate * (self.hessian @ w - self.pull)
            weights.append(w)
        return np.array(weights)

    def n_steps(self, rate: float, left: float = LEFT) -> int:
        """Steps from ``w = 0`` until at most the share `left` of the excess loss is left.

        Raises ValueError where the rate is too high: descent does not converge.
        """
        curvature, axes = np.linalg.eigh(self.hessian)
        shrink = (1 - rate * curvature) ** 2
        if shrink.max() >= 1:
            raise ValueError(f"gradient descent does not converge at the rate {rate:g}")
        excess_by_axis = curvature * (axes.T @ self.minimum) ** 2
        # Every component decreases, so the number of steps can be bracketed.
        last = 1
        while excess_by_axis @ shrink**last > left * excess_by_axis.sum():
            last *= 2
        steps = np.arange(last // 2, last + 1)
        excess = (shrink[None] ** steps[:, None]) @ excess_by_axis
        return int(steps[np.argmax(excess <= left * excess_by_axis.sum())])


def treat(X: Floats, how: str) -> Floats:
    """The features (n, d): raw, with mean 0, or with mean 0 and deviation 1."""
    if how == "raw":
        return X
    centred: Floats = X - X.mean(axis=0)
    if how == "centred":
        return centred
    scale = X.std(axis=0)
    standardised: Floats = centred / np.where(scale > 1e-12, scale, 1)
    return standardised


class Descent(msgspec.Struct, frozen=True, kw_only=True):
    """Gradient descent on two features."""

    condition_number: Interval
    steps: Interval
    steps_by_seed: list[int]
    rate: Interval
    # weights of the first seed, at most 60 steps; `hessian`, `pull` and `height` are its loss
    path: list[list[float]]
    hessian: list[list[float]]
    pull: list[float]
    height: float


class TwoFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """Gradient descent on two features of `n_people`, by treatment."""

    n_people: int
    features: list[str]
    treatments: dict[str, Descent]


class Curve(msgspec.Struct, frozen=True):
    """Losses at some steps."""

    steps: list[int]
    losses: list[float]


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """Descent on real features with one treatment."""

    steps: Interval
    steps_by_seed: list[int]
    reached: int  # number of seeds that reached the target
    rates: list[float]  # length n_seeds; the best rate with each seed
    curve: Curve  # of the first seed


class RealFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """Descent on real features, raw against standardised."""

    name: str
    unit: str
    n_features: int
    n_rows: int
    n_classes: int
    scales: float  # largest over smallest standard deviation of a feature
    target: float  # loss at which descent ends
    raw: Speed
    standardised: Speed
    ratio: Interval  # steps with raw over steps with standardised features
    is_significant: bool


class NormaliseResult(LabResult, frozen=True, kw_only=True, tag="lab-normalise"):
    """What `measure` returns."""

    data: str
    seeds: list[int]
    left: float
    rates: list[float]
    max_steps: int
    two_features: TwoFeatures
    real_features: list[RealFeatures]


def two_features(seeds: Sequence[int]) -> TwoFeatures:
    """Gradient descent on two measurements of 442 people (scikit-learn's diabetes data).

    A seed draws as many people with replacement. Every treatment starts from zero weights and uses
    its own best rate.
    """
    from sklearn.datasets import load_diabetes

    found = load_diabetes(scaled=False)
    columns = [found.feature_names.index(name) for name in ("bmi", "bp")]
    X, y = np.asarray(found.data[:, columns], float), np.asarray(found.target, float)
    losses: dict[str, list[Quadratic]] = {how: [] for how in TREATMENTS}
    for seed in seeds:
        rows = np.random.default_rng([seed, 5]).integers(len(y), size=len(y))
        for how in TREATMENTS:
            losses[how].append(Quadratic.of(treat(X[rows], how), y[rows] - y[rows].mean()))
    return TwoFeatures(
        n_people=len(y),
        features=list(FEATURES),
        treatments={how: _descent(losses[how]) for how in TREATMENTS},
    )


def _descent(losses: Sequence[Quadratic]) -> Descent:
    steps = [loss.n_steps(loss.best_rate) for loss in losses]
    first = losses[0]
    return Descent(
        condition_number=over_seeds([q.condition_number for q in losses], at_least=1.0),
        steps=over_seeds(steps, at_least=0.0),
        steps_by_seed=steps,
        rate=over_seeds([q.best_rate for q in losses], at_least=0.0),
        path=first.path(first.best_rate, min(steps[0], 60)).tolist(),
        hessian=first.hessian.tolist(),
        pull=first.pull.tolist(),
        height=first.height,
    )


def descend_all(
    X: Floats, labels: NDArray[np.int64], n_classes: int, rates: Sequence[float], *, target: float
) -> Floats:
    """Softmax regression by full-batch gradient descent from zero weights, with all rates at once.

    Parameters
    ----------
    X : array (n, d)
    labels : int array (n,)
    target : float
        Descent stops once the loss with one of the rates is as low.

    Returns
    -------
    array (n_steps + 1, n_rates)
        Losses, starting with the loss of guessing; infinite where descent diverged.
    """
    n = len(X)
    inputs = torch.from_numpy(np.hstack([X, np.ones((n, 1))])).float()
    wanted = F.one_hot(torch.from_numpy(labels), n_classes).float().unsqueeze(1)
    rate = torch.tensor(list(rates)).view(1, -1, 1)
    weights = torch.zeros(inputs.shape[1], len(rates), n_classes)
    losses: list[Floats] = []
    for _ in range(MAX_STEPS + 1):
        logits = (inputs @ weights.flatten(1)).view(n, len(rates), n_classes)
        logs = F.log_softmax(logits, dim=2)
        loss = -(logs * wanted).sum(2).mean(0)
        losses.append(loss.nan_to_num(nan=math.inf, posinf=math.inf).double().numpy())
        if losses[-1].min() <= target:
            break
        pull = (logs.exp() - wanted).flatten(1)
        weights -= rate * ((inputs.T @ pull) / n).view_as(weights)
    return np.array(losses)


def real_features(samples: Samples, seeds: Sequence[int], progress: Progress) -> list[RealFeatures]:
    """Descent on 13 measurements of 178 wines and on the pixels of images; a seed draws 80 %."""
    from sklearn.datasets import load_wine

    wine = load_wine()
    top = 16.0 if samples.name == "digits" else 255.0
    pixels = (samples.images.flatten(1).double() * top).numpy()
    sets = (
        ("wine", "measurements", np.asarray(wine.data, float), wine.target.astype(np.int64)),
        (samples.name, "pixels", pixels, samples.labels.numpy()),
    )
    found = []
    for i, (name, unit, X, labels) in enumerate(sets):
        runs = []
        for j, seed in enumerate(seeds):
            progress("descend", i * len(seeds) + j, len(sets) * len(seeds))
            rows = np.random.default_rng([seed, 6]).permutation(len(X))
            rows = rows[: min(MAX_ROWS, round(0.8 * len(X)))]
            runs.append((X[rows], labels[rows]))
        found.append(_real(name, unit, runs))
    progress("descend", len(sets) * len(seeds), len(sets) * len(seeds))
    return found


def _real(name: str, unit: str, runs: Sequence[tuple[Floats, NDArray[np.int64]]]) -> RealFeatures:
    n_classes = int(max(labels.max() for _, labels in runs)) + 1
    target = TARGET * math.log(n_classes)
    raw = _speed([(treat(X, "raw"), y) for X, y in runs], n_classes, target)
    standardised = _speed([(treat(X, "standardised"), y) for X, y in runs], n_classes, target)
    ratio = ratio_over_seeds(raw.steps_by_seed, standardised.steps_by_seed)
    X, _ = runs[0]
    deviation = X.std(axis=0)
    deviation = deviation[deviation > 0]
    return RealFeatures(
        name=name,
        unit=unit,
        n_features=X.shape[1],
        n_rows=len(X),
        n_classes=n_classes,
        scales=float(deviation.max() / deviation.min()),
        target=target,
        raw=raw,
        standardised=standardised,
        ratio=ratio,
        is_significant=is_significant(ratio, null=1.0),
    )


def _speed(
    runs: Sequence[tuple[Floats, NDArray[np.int64]]], n_classes: int, target: float
) -> Speed:
    """Steps to the target, with the best of `RATES` for each seed."""
    descents = [descend_all(X, labels, n_classes, RATES, target=target) for X, labels in runs]
    best = [int(losses[-1].argmin()) for losses in descents]
    steps = [len(losses) - 1 for losses in descents]
    return Speed(
        steps=over_seeds(steps, at_least=0.0),
        steps_by_seed=steps,
        reached=sum(bool(losses[-1].min() <= target) for losses in descents),
        rates=[RATES[i] for i in best],
        curve=_curve(descents[0][:, best[0]]),
    )


def _curve(losses: Floats) -> Curve:
    """At most 60 points, evenly spaced in the logarithm of the step."""
    n = len(losses)
    steps = np.unique(np.geomspace(1, n, min(60, n)).round().astype(int))
    return Curve(steps.tolist(), losses[steps - 1].tolist())


def measure(
    samples: Samples, seeds: Sequence[int], *, progress: Progress = silent
) -> NormaliseResult:
    """Measure gradient descent with and without normalised inputs: two features, then many.

    `samples`: their pixels are the second set of real features.
    """
    with one_thread():
        two = two_features(seeds)
        real = real_features(samples, seeds, progress)
    verdicts = "; ".join(verdict(each) for each in real)
    return NormaliseResult(
        sentence=_sentence(two.treatments["raw"], two.treatments["standardised"]),
        detail=f"{verdicts[:1].upper()}{verdicts[1:]}.",
        data=samples.name,
        seeds=list(seeds),
        left=LEFT,
        rates=list(RATES),
        max_steps=MAX_STEPS,
        two_features=two,
        real_features=real,
    )


def _sentence(raw: Descent, standardised: Descent) -> str:
    before, after = count(raw.steps.value), count(standardised.steps.value)
    if raw.steps.value <= standardised.steps.value or before == after:
        return (
            f"Standardising two features saves gradient descent no steps: {before} before, {after} "
            "after."
        )
    return (
        f"Standardising two features lowers the condition number from "
        f"{count(raw.condition_number.value)} to {count(standardised.condition_number.value)} and the "
        f"steps of gradient descent from {before} to {after}."
    )


def verdict(each: RealFeatures) -> str:
    """The result for one set of real features, as a clause."""
    name = f"on the {each.n_features} {each.unit} of {each.name}"
    raw, normal = each.raw, each.standardised
    target = f"the loss of {each.target:.2g}"
    if not raw.reached and not normal.reached:
        return f"{name} neither reached {target} in {MAX_STEPS:,} steps"
    if not raw.reached and normal.reached == len(raw.rates):
        return (
            f"{name} raw values had not reached {target} after {MAX_STEPS:,} steps, where "
            f"standardised ones take {count(normal.steps.value)}"
        )
    value, low, high = (count(v) for v in each.ratio)
    times = f"raw values take {value} [{low}, {high}] times the steps of standardised ones"
    if not each.is_significant:
        return f"{name} {times} (not significant)"
    if each.ratio.value < 1:
        return f"{name}, against expectation, {times} (significant)"
    return f"{name} {times} (significant)"


def count(value: float) -> str:
    """A number of steps or a ratio, with one decimal below 10."""
    return f"{value:,.0f}" if abs(value) >= 9.95 else f"{value:.1f}"
