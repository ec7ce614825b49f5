"""Sets on a scale of distances: rows, curves and points, for images and for texts."""

from __future__ import annotations

from collections.abc import Sequence

from headstart import plots
from headstart.experiments.correlation import RankCorrelation
from headstart.experiments.similarity.result import Placed, SimilarityResult
from headstart.plots.bubbles import Bubble, bubble_plot
from headstart.runs.report import words

N_CURVES = 6


def tau(found: RankCorrelation) -> str:
    """Kendall's tau with its interval, where there is one."""
    if found.low is None or found.high is None:
        return signed(found.kendall)
    return f"{signed(found.kendall)} [{signed(found.low)}, {signed(found.high)}]"


def of_target(r: SimilarityResult) -> Placed:
    """The set that was asked about."""
    return next(s for s in r.sets if s.name == r.target)


def scale_rows(r: SimilarityResult) -> list[list[str]]:
    """Every set with both distances, the nearest first."""
    return [
        [
            s.name,
            words.count(s.distance.n_images),
            *(str(s.distance.medians[measure]) for measure in ("kl", "frechet")),
        ]
        for s in r.sets
    ]


def gain_rows(r: SimilarityResult) -> list[list[str]]:
    """What transfer gave on every labelled set, the nearest first."""
    return [
        [
            s.name,
            words.decimal(s.kl),
            str(s.gain.features),
            str(s.gain.pixels),
            *(
                words.bare_percent(share).replace("-", "−")
                for share in (
                    s.gain.chance,
                    s.gain.errors_removed,
                    s.gain.above_chance,
                    s.gain.neighbours_removed,
                )
            ),
        ]
        for s in r.sets
        if s.gain is not None
    ]


def target_row(r: SimilarityResult, sets: Sequence[Placed]) -> int | None:
    """The line of a table that the target stands in."""
    return next((i for i, s in enumerate(sets) if s.name == r.target), None)


def curves(r: SimilarityResult) -> list[Placed]:
    """The data, and others spread evenly from the nearest to the farthest."""
    target, others = of_target(r), [s for s in r.sets if s.name != r.target]
    n = min(N_CURVES - 1, len(others))
    picked = [round(i * (len(others) - 1) / max(n - 1, 1)) for i in range(n)]
    return [target, *(others[i] for i in picked)]


def signed(value: float | None) -> str:
    """A correlation; a dash where there is none."""
    return words.NOTHING if value is None else f"{value:.2f}".replace("-", "−")


def scale_figure(r: SimilarityResult, title: str, description: str) -> str:
    """Every set on one axis; a star is the target."""
    rows = [
        plots.IntervalRow.of_shares(
            each.name,
            each.distance.medians["kl"],
            mark="chosen" if each.name == r.target else "",
        )
        for each in r.sets
    ]
    return plots.interval_plot(
        rows,
        name="figure-scale",
        title=title,
        description=description,
        axis="median symmetric KL divergence, 1/100 nat",
        width=560,
    )


def layer_figure(shown: Sequence[Placed], title: str, x_axis: str) -> str:
    """The distances of some sets, layer by layer."""
    lines = [
        plots.Line(
            label=each.name,
            x=range(1, len(each.distance.layers) + 1),
            y=each.distance.kl,
            has_points=False,
        )
        for each in shown
    ]
    return plots.line_plot(
        lines,
        name="figure-layers",
        title=title,
        description="; ".join(
            f"{each.name}: first layer {each.distance.kl[0]:.3f}, last {each.distance.kl[-1]:.3f}"
            for each in shown
        ),
        x_axis=x_axis,
        y_axis="symmetric KL divergence, nats (logarithmic)",
        log_y=True,
    )


def scatter(r: SimilarityResult, x_axis: str, y_axis: str) -> str:
    """What transfer gave on each labelled set against its distance."""
    points = [
        Bubble(
            label=each.name,
            x=each.kl,
            y=100 * each.gain.errors_removed,
            area=0.0,
            mark="chosen" if each.name == r.target else "",
        )
        for each in r.sets
        if each.gain is not None
    ]
    return bubble_plot(
        points,
        x_axis=x_axis,
        y_axis=y_axis,
        name="figure-prediction",
        title=f"What transfer gave against the {x_axis.partition(' (')[0]}",
        description="; ".join(f"{p.label}: {p.x:.3f}, {p.y:.0f} %" for p in points),
        log_x=False,
        height=320,
    )
