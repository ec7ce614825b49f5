"""What normalising the inputs does to gradient descent: its path, and how many steps it takes.

A linear model's loss is a bowl whose longest axis is ``sqrt(condition number)`` times its shortest.
The longest axis limits the rate, the shortest then takes the steps (LeCun et al. 1998, "Efficient
BackProp", section 4.3 and 5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from headstart.heads import is_significant
from headstart.labs.samples import Samples
from headstart.labs.spread import over_seeds, ratio_over_seeds, triple
from headstart.labs.training import one_thread
from headstart.progress import Progress, silent

Floats = NDArray[np.float64]

TREATMENTS = ("raw", "centred", "standardised")
FEATURES = ("body mass index", "blood pressure")
# The path ends where this share of the way down is left.
LEFT = 0.01
# Half decades: wide enough for values of 1,000 without normalisation.
RATES = tuple(10 ** (k / 2) for k in range(-14, 5))
# Share of the loss of guessing that ends a descent on real features.
TARGET = 0.02
MAX_STEPS = 3000
MAX_ROWS = 600


@dataclass(frozen=True)
class Bowl:
    """The loss ``1/2 mean (x w - y)^2`` of a linear model without bias.

    Attributes
    ----------
    hessian : array (d, d)
    pull : array (d,)
        ``mean x y``.
    height : float
        The loss at ``w = 0``.
    """

    hessian: Floats
    pull: Floats
    height: float

    @classmethod
    def of(cls, X: Floats, y: Floats) -> Bowl:
        """The bowl of examples `X` (n, d) and targets `y` (n,)."""
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
    def bottom(self) -> Floats:
        """The weights where the loss is least."""
        return np.asarray(np.linalg.solve(self.hessian, self.pull), dtype=np.float64)

    def loss(self, w: Floats) -> Floats:
        """At weights (..., d)."""
        quadratic = np.einsum("...i,ij,...j->...", w, self.hessian, w) / 2
        return np.asarray(quadratic - w @ self.pull + self.height)

    def path(self, rate: float, n_steps: int) -> Floats:
        """Gradient descent from ``w = 0``: weights (n_steps + 1, d)."""
        w = np.zeros(len(self.pull))
        places = [w]
        for _ in range(n_steps):
            w = w - rate * (self.hessian @ w - self.pull)
            places.append(w)
        return np.array(places)

    def n_steps(self, rate: float, left: float = LEFT) -> int:
        """Steps from ``w = 0`` until at most the share `left` of the way down is left.

        Raises
        ------
        ValueError
            The rate is too high: descent does not converge.
        """
        curvature, axes = np.linalg.eigh(self.hessian)
        shrink = (1 - rate * curvature) ** 2
        if shrink.max() >= 1:
            raise ValueError(f"gradient descent does not converge at the rate {rate:g}")
        parts = curvature * (axes.T @ self.bottom) ** 2
        # Every part only shrinks, so the number of steps can be bracketed.
        last = 1
        while parts @ shrink**last > left * parts.sum():
            last *= 2
        steps = np.arange(last // 2, last + 1)
        excess = (shrink[None] ** steps[:, None]) @ parts
        return int(steps[np.argmax(excess <= left * parts.sum())])


def treat(X: Floats, how: str) -> Floats:
    """The features (n, d) as measured, with mean 0, or with mean 0 and deviation 1."""
    if how == "raw":
        return X
    centred: Floats = X - X.mean(axis=0)
    if how == "centred":
        return centred
    scale = X.std(axis=0)
    standardised: Floats = centred / np.where(scale > 1e-12, scale, 1)
    return standardised


def two_features(seeds: Sequence[int]) -> dict[str, Any]:
    """Gradient descent on two measurements of 442 people (scikit-learn's diabetes data).

    A seed draws as many people with replacement. Every treatment starts at the same function, zero,
    with its own best rate.
    """
    from sklearn.datasets import load_diabetes

    found = load_diabetes(scaled=False)
    columns = [found.feature_names.index(name) for name in ("bmi", "bp")]
    X, y = np.asarray(found.data[:, columns], float), np.asarray(found.target, float)
    bowls: dict[str, list[Bowl]] = {how: [] for how in TREATMENTS}
    for seed in seeds:
        rows = np.random.default_rng([seed, 5]).integers(len(y), size=len(y))
        for how in TREATMENTS:
            bowls[how].append(Bowl.of(treat(X[rows], how), y[rows] - y[rows].mean()))
    return {
        "n_people": len(y),
        "features": list(FEATURES),
        "treatments": {how: _descent(bowls[how]) for how in TREATMENTS},
    }


def _descent(bowls: Sequence[Bowl]) -> dict[str, Any]:
    steps = [bowl.n_steps(bowl.best_rate) for bowl in bowls]
    first = bowls[0]
    return {
        "condition_number": triple(over_seeds([b.condition_number for b in bowls], at_least=1.0)),
        "steps": triple(over_seeds(steps, at_least=0.0)),
        "steps_by_seed": steps,
        "rate": triple(over_seeds([b.best_rate for b in bowls], at_least=0.0)),
        "path": first.path(first.best_rate, min(steps[0], 60)).tolist(),
        "hessian": first.hessian.tolist(),
        "pull": first.pull.tolist(),
        "height": first.height,
    }


def descend_all(
    X: Floats, labels: NDArray[np.int64], n_classes: int, rates: Sequence[float], *, target: float
) -> Floats:
    """Softmax regression by full gradient descent from zero, at all rates side by side.

    Parameters
    ----------
    X : array (n, d)
    labels : int array (n,)
    n_classes : int
    rates : sequence of n_rates floats
    target : float
        Descent stops once the loss at one of the rates is as low.

    Returns
    -------
    array (n_steps + 1, n_rates)
        Losses, from that of guessing on; infinite where descent diverged.
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


def real_features(
    samples: Samples, seeds: Sequence[int], progress: Progress
) -> list[dict[str, Any]]:
    """Descent on 13 measurements of 178 wines, and on the pixels of images; a seed draws 80 %."""
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
        found.append({"name": name, "unit": unit, **_speeds(runs)})
    progress("descend", len(sets) * len(seeds), len(sets) * len(seeds))
    return found


def _speeds(runs: Sequence[tuple[Floats, NDArray[np.int64]]]) -> dict[str, Any]:
    """Steps to the target, raw and standardised, each at the best of the same rates."""
    n_classes = int(max(labels.max() for _, labels in runs)) + 1
    target = TARGET * math.log(n_classes)
    treated: dict[str, Any] = {}
    for how in ("raw", "standardised"):
        steps, rates, curves = [], [], []
        for X, labels in runs:
            losses = descend_all(treat(X, how), labels, n_classes, RATES, target=target)
            best = int(losses[-1].argmin())
            steps.append(len(losses) - 1)
            rates.append(RATES[best])
            curves.append(losses[:, best])
        treated[how] = {
            "steps": triple(over_seeds(steps, at_least=0.0)),
            "steps_by_seed": steps,
            "reached": sum(bool(curve[-1] <= target) for curve in curves),
            "rates": rates,
            "curve": _curve(curves[0]),
        }
    deviation = runs[0][0].std(axis=0)
    deviation = deviation[deviation > 0]
    ratio = ratio_over_seeds(
        treated["raw"]["steps_by_seed"], treated["standardised"]["steps_by_seed"]
    )
    return {
        "n_features": int(runs[0][0].shape[1]),
        "n_rows": len(runs[0][0]),
        "n_classes": n_classes,
        "scales": float(deviation.max() / deviation.min()),
        "target": target,
        "treatments": treated,
        "ratio": triple(ratio),
        "is_significant": is_significant(ratio, null=1.0),
    }


def _curve(losses: Floats) -> dict[str, list[float]]:
    """At most 60 points of it, evenly spaced in the logarithm of the step."""
    n = len(losses)
    steps = np.unique(np.geomspace(1, n, min(60, n)).round().astype(int))
    return {"steps": steps.tolist(), "losses": losses[steps - 1].tolist()}


def normalise_trial(
    samples: Samples, seeds: Sequence[int], *, progress: Progress = silent
) -> dict[str, Any]:
    """Gradient descent with and without normalised inputs: two features to look at, then many.

    Parameters
    ----------
    samples : Samples
        Whose pixels are the second set of real features.
    seeds : sequence of int
    progress : Progress

    Returns
    -------
    dict
        JSON-ready figures, with a ``sentence``.
    """
    with one_thread():
        found = {
            "data": samples.name,
            "seeds": list(seeds),
            "left": LEFT,
            "rates": list(RATES),
            "max_steps": MAX_STEPS,
            "two_features": two_features(seeds),
            "real_features": real_features(samples, seeds, progress),
        }
    return {"sentence": _sentence(found), "detail": _detail(found), **found}


def _sentence(found: dict[str, Any]) -> str:
    plain, normal = (found["two_features"]["treatments"][how] for how in ("raw", "standardised"))
    before, after = (count(t["steps"][0]) for t in (plain, normal))
    if plain["steps"][0] <= normal["steps"][0] or before == after:
        return f"Standardising two features saves gradient descent no steps: {before} before, {after} after."
    return (
        f"Standardising two features lowers the condition number from "
        f"{count(plain['condition_number'][0])} to {count(normal['condition_number'][0])} and the "
        f"steps of gradient descent from {before} to {after}."
    )


def _detail(found: dict[str, Any]) -> str:
    said = "; ".join(_verdict(each) for each in found["real_features"])
    return f"{said[:1].upper()}{said[1:]}."


def _verdict(each: dict[str, Any]) -> str:
    """What came of one set of real features."""
    name = f"on the {each['n_features']} {each['unit']} of {each['name']}"
    raw, normal = (each["treatments"][how] for how in ("raw", "standardised"))
    n_seeds = len(raw["rates"])
    if not raw["reached"] and not normal["reached"]:
        return f"{name} neither reached the loss of {each['target']:.2g} in {MAX_STEPS:,} steps"
    if not raw["reached"] and normal["reached"] == n_seeds:
        return (
            f"{name} raw values had not reached the loss of {each['target']:.2g} after "
            f"{MAX_STEPS:,} steps, where standardised ones take {count(normal['steps'][0])}"
        )
    value, low, high = (count(v) for v in each["ratio"])
    times = f"raw values take {value} [{low}, {high}] times the steps of standardised ones"
    if not each["is_significant"]:
        return f"{name} {times} (not significant)"
    if each["ratio"][0] < 1:
        return f"{name}, against expectation, {times} (significant)"
    return f"{name} {times} (significant)"


def count(value: float) -> str:
    """A number of steps, or of times: one decimal below 10."""
    return f"{value:,.0f}" if abs(value) >= 9.95 else f"{value:.1f}"
