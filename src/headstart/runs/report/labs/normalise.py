"""The page of ``lab normalise``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headstart import plots
from headstart.plots.contours import Panel, contour_plot
from headstart.runs.report.labs import cells
from headstart.runs.report.pages import Section, Table

_TITLES = {"raw": "as measured", "centred": "mean 0", "standardised": "mean 0, deviation 1"}
_GRID = 160


def normalise_sections(found: Mapping[str, Any]) -> list[Section]:
    """The contours with the paths, then the descents on real features."""
    return [_contours(found), *(_descent(each, found) for each in found["real_features"])]


def _contours(found: Mapping[str, Any]) -> Section:
    two = found["two_features"]
    figure = contour_plot(
        [_panel(how, two["treatments"][how]) for how in _TITLES],
        name="contours",
        title="Contours of the loss and the path of gradient descent",
        description="; ".join(
            f"{_TITLES[how]}: condition number {t['condition_number'][0]:.3g}, "
            f"{t['steps'][0]:.0f} steps"
            for how, t in two["treatments"].items()
        ),
        x_axis=f"weight of {two['features'][0]}",
        y_axis=f"weight of {two['features'][1]}",
    )
    rows = [
        [
            _TITLES[how],
            cells.whole(t["condition_number"]),
            cells.interval(t["rate"], ".2g"),
            cells.whole(t["steps"]),
        ]
        for how, t in two["treatments"].items()
    ]
    return Section(
        heading="Two features, and the bowl that they make",
        text=(
            cells.method(
                {**found, "data": f"{two['n_people']} people of scikit-learn's diabetes data"},
                f"A linear model predicts the progress of the disease from {' and '.join(two['features'])}; "
                "it has no bias, so that its two weights can be drawn. Every seed draws people with "
                "replacement.",
            ),
            (
                "The condition number is the largest over the smallest curvature of the bowl. Each descent "
                "starts at the ring (all weights zero: the same function) and takes the best constant "
                "rate there is, 2 / (largest + smallest curvature)."
            ),
        ),
        figure=figure,
        caption="Lines of equal loss, the first steps of gradient descent (the first seed; at most 60), "
        "and the least loss (star). Both axes of a panel have one scale.",
        table=Table(
            header=(
                "inputs",
                "condition number",
                "best rate",
                f"steps until {found['left']:.0%} is left",
            ),
            rows=rows,
        ),
    )


def _panel(how: str, treatment: Mapping[str, Any]) -> Panel:
    """The part of the plane that holds the path and the goal, as a square."""
    hessian, pull = np.array(treatment["hessian"]), np.array(treatment["pull"])
    path = np.array(treatment["path"])
    goal = np.linalg.solve(hessian, pull)
    seen = np.vstack([path, goal])
    middle = (seen.min(0) + seen.max(0)) / 2
    half = 0.75 * float((seen.max(0) - seen.min(0)).max())
    x = np.linspace(middle[0] - half, middle[0] + half, _GRID)
    y = np.linspace(middle[1] - half, middle[1] + half, _GRID)
    places = np.stack(np.meshgrid(x, y), axis=-1)
    offset = places - goal
    values = np.einsum("...i,ij,...j->...", offset, hessian, offset) / 2
    start = float(goal @ hessian @ goal) / 2
    return Panel(
        label=_TITLES[how],
        note=f"condition number {treatment['condition_number'][0]:,.3g}, "
        f"{treatment['steps'][0]:,.0f} steps",
        x=x.tolist(),
        y=y.tolist(),
        values=values,
        levels=[start * share for share in (0.02, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)],
        path=[(float(a), float(b)) for a, b in path],
        goal=(float(goal[0]), float(goal[1])),
    )


def _descent(each: Mapping[str, Any], found: Mapping[str, Any]) -> Section:
    raw, normal = each["treatments"]["raw"], each["treatments"]["standardised"]
    figure = plots.line_plot(
        [
            plots.Line(label=label, x=t["curve"]["steps"], y=t["curve"]["losses"], has_points=False)
            for label, t in (("as measured", raw), ("standardised", normal))
        ],
        name=f"descent-{each['unit']}",
        title=f"Training loss on {each['name']}",
        description=f"as measured {raw['steps'][0]:.0f} steps, standardised {normal['steps'][0]:.0f}",
        x_axis="steps of gradient descent",
        y_axis="training loss",
        log_x=True,
        log_y=True,
    )
    n_seeds = len(found["seeds"])
    rows = [
        [
            label,
            _steps(t, found, n_seeds),
            f"{t['reached']} of {n_seeds}",
            " to ".join(f"{r:.2g}" for r in dict.fromkeys((min(t["rates"]), max(t["rates"])))),
        ]
        for label, t in (("as measured", raw), ("standardised", normal))
    ]
    return Section(
        heading=f"Real features: the {each['n_features']} {each['unit']} of {each['name']}",
        text=(
            (
                f"Softmax regression on {each['n_rows']:,} examples of {each['n_classes']} classes by full "
                "gradient descent from zero. The largest deviation of a feature is "
                f"{each['scales']:,.0f} times the smallest. Both take the best of the same "
                f"{len(found['rates'])} rates, from {found['rates'][0]:g} to {found['rates'][-1]:g} in half "
                "decades, seed by seed; every seed draws its own examples."
            ),
        ),
        figure=figure,
        caption="The first seed's descent at its best rate, from the first step on.",
        table=Table(
            header=("inputs", f"steps to a loss of {each['target']:.2g}", "arrived", "best rate"),
            rows=rows,
        ),
    )


def _steps(treatment: Mapping[str, Any], found: Mapping[str, Any], n_seeds: int) -> str:
    if not treatment["reached"]:
        return f"more than {found['max_steps']:,}"
    more = "at least " if treatment["reached"] < n_seeds else ""
    return more + cells.whole(treatment["steps"])
