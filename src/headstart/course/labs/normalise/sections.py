"""The page of ``lab normalise``."""

from __future__ import annotations

import numpy as np

from headstart import plots
from headstart.course.labs.normalise.descent import (
    Descent,
    NormaliseResult,
    Quadratic,
    RealFeatures,
    Speed,
)
from headstart.course.labs.spread import method, whole, written
from headstart.plots.contours import Panel, contour_plot
from headstart.runs.report.pages import Section, Table

_TITLES = {"raw": "as measured", "centred": "mean 0", "standardised": "mean 0, deviation 1"}
_GRID = 160


def page(found: NormaliseResult) -> list[Section]:
    """The contours with the paths, then the descents on real features."""
    return [_contours(found), *(_descent(each, found) for each in found.real_features)]


def _contours(found: NormaliseResult) -> Section:
    two = found.two_features
    figure = contour_plot(
        [_panel(how, two.treatments[how]) for how in _TITLES],
        name="contours",
        title="Contours of the loss and the path of gradient descent",
        description="; ".join(
            f"{_TITLES[how]}: condition number {t.condition_number.value:.3g}, "
            f"{t.steps.value:.0f} steps"
            for how, t in two.treatments.items()
        ),
        x_axis=f"weight of {two.features[0]}",
        y_axis=f"weight of {two.features[1]}",
    )
    rows = [
        [
            _TITLES[how],
            whole(t.condition_number),
            written(t.rate, ".2g"),
            whole(t.steps),
        ]
        for how, t in two.treatments.items()
    ]
    return Section(
        heading="Two features and the shape of their loss",
        text=(
            method(
                f"{two.n_people} people of scikit-learn's diabetes data",
                found.seeds,
                f"A linear model predicts the progress of the disease from {' and '.join(two.features)}; "
                "it has no bias, so that its two weights can be plotted. Every seed draws people with "
                "replacement.",
            ),
            (
                "The condition number is the ratio of the largest to the smallest curvature of the loss. "
                "Each descent starts at the ring (zero weights, which is the same function for all) and "
                "uses the best constant rate, 2 / (largest + smallest curvature)."
            ),
        ),
        figure=figure,
        caption="Lines of equal loss, the first steps of gradient descent (first seed, at most 60), and "
        "the minimum (star). Both axes of a panel have the same scale.",
        table=Table(
            header=(
                "inputs",
                "condition number",
                "best rate",
                f"steps until {found.left:.0%} is left",
            ),
            rows=rows,
        ),
    )


def _panel(how: str, treatment: Descent) -> Panel:
    """The square part of the plane that holds the path and the minimum."""
    loss = Quadratic(np.array(treatment.hessian), np.array(treatment.pull), treatment.height)
    path, goal = np.array(treatment.path), loss.minimum
    seen = np.vstack([path, goal])
    middle = (seen.min(0) + seen.max(0)) / 2
    half = 0.75 * float((seen.max(0) - seen.min(0)).max())
    x = np.linspace(middle[0] - half, middle[0] + half, _GRID)
    y = np.linspace(middle[1] - half, middle[1] + half, _GRID)
    least = loss.loss(goal)
    start = float(loss.loss(np.zeros(2)) - least)
    return Panel(
        label=_TITLES[how],
        note=f"condition number {treatment.condition_number.value:,.3g}, "
        f"{treatment.steps.value:,.0f} steps",
        x=x.tolist(),
        y=y.tolist(),
        values=loss.loss(np.stack(np.meshgrid(x, y), axis=-1)) - least,
        levels=[start * share for share in (0.02, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)],
        path=[(float(a), float(b)) for a, b in path],
        goal=(float(goal[0]), float(goal[1])),
    )


def _descent(each: RealFeatures, found: NormaliseResult) -> Section:
    raw, normal = each.raw, each.standardised
    figure = plots.line_plot(
        [
            plots.Line(label=label, x=t.curve.steps, y=t.curve.losses, has_points=False)
            for label, t in (("as measured", raw), ("standardised", normal))
        ],
        name=f"descent-{each.unit}",
        title=f"Training loss on {each.name}",
        description=f"as measured {raw.steps.value:.0f} steps, standardised {normal.steps.value:.0f}",
        x_axis="steps of gradient descent",
        y_axis="training loss",
        log_x=True,
        log_y=True,
    )
    n_seeds = len(found.seeds)
    rows = [
        [
            label,
            _steps(t, found, n_seeds),
            f"{t.reached} of {n_seeds}",
            " to ".join(f"{r:.2g}" for r in dict.fromkeys((min(t.rates), max(t.rates)))),
        ]
        for label, t in (("as measured", raw), ("standardised", normal))
    ]
    return Section(
        heading=f"Real features: the {each.n_features} {each.unit} of {each.name}",
        text=(
            (
                f"Softmax regression on {each.n_rows:,} examples of {each.n_classes} classes by full-batch "
                "gradient descent from zero weights. The largest standard deviation of a feature is "
                f"{each.scales:,.0f} times the smallest. Both use the best of the same "
                f"{len(found.rates)} rates, from {found.rates[0]:g} to {found.rates[-1]:g} in half "
                "decades, seed by seed; every seed draws its own examples."
            ),
        ),
        figure=figure,
        caption="Descent with the first seed at its best rate, from the first step on.",
        table=Table(
            header=("inputs", f"steps to a loss of {each.target:.2g}", "reached", "best rate"),
            rows=rows,
        ),
    )


def _steps(treatment: Speed, found: NormaliseResult, n_seeds: int) -> str:
    if not treatment.reached:
        return f"more than {found.max_steps:,}"
    more = "at least " if treatment.reached < n_seeds else ""
    return more + whole(treatment.steps)
