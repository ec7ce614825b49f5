"""The figures of the page: from the results of a run to :mod:`headstart.plots`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from headstart import plots
from headstart.data.summary import DataSummary
from headstart.results import Interval
from headstart.runs.report import story, words
from headstart.runs.report.objective import is_other, is_share, objective_name
from headstart.runs.result import CandidateResult, FitResult
from headstart.training.history import curves_of

N_CONTENDERS = 12
# Classes shown in the bar figure; a longer list is cut to its largest and smallest.
N_BARS = 24
_OF_CROSS_VALIDATION = {"map", "accuracies", "differences", "curve"}


def figures(metrics: FitResult) -> dict[str, Markup]:
    """Every figure that these metrics have the numbers for, by name, ready for the page."""
    makers: dict[str, Callable[[FitResult], str | None]] = {
        "map": layer_map,
        "accuracies": accuracies,
        "differences": differences,
        "curve": curve,
        "confusion": confusion,
        "reliability": reliability,
        "sizes": lambda m: sizes(m.data),
        "learning": learning,
    }
    if not story.is_judged(metrics):
        makers = {n: m for n, m in makers.items() if n not in _OF_CROSS_VALIDATION}
    drawn = {name: make(metrics) for name, make in makers.items()}
    return {name: Markup(svg) for name, svg in drawn.items() if svg is not None}


def layer_map(metrics: FitResult) -> str:
    """Tap x resolution; with a single resolution, the taps as a profile with intervals.

    With several backbones, a panel for each, and one for their joins. A mean of several has no place
    among taps and resolutions.
    """
    groups = story.by_backbone(metrics.candidates)
    mean = groups.pop(story.MEAN, [])
    if len(groups) == 1:
        [candidates] = groups.values()
        return _panel(metrics, candidates + (mean if len(metrics.resolutions) == 1 else []))
    drawn = []
    for i, (name, some) in enumerate(groups.items()):
        svg = _panel(metrics, some, name=f"figure-map-{i}", of=f" of {name}" * bool(name))
        heading = Markup('<h3 class="name">{}</h3>').format(name) if name else Markup("")
        drawn.append(heading + Markup(svg))
    return Markup("").join(drawn)


def _panel(
    metrics: FitResult,
    candidates: Sequence[CandidateResult],
    *,
    name: str = "figure-map",
    of: str = "",
) -> str:
    taps = list(dict.fromkeys(story.row_name(c) for c in candidates))
    resolutions = list(dict.fromkeys(c.resolution for c in candidates))
    is_image = metrics.noun == "image"
    kind = "tap and resolution" if is_image else "candidate"
    title = f"Cross-validated accuracy of every {kind}{of}"
    description = story.choice(metrics)
    if len(resolutions) == 1:
        where = f" at {resolutions[0]} px" if is_image else ""
        return plots.interval_plot(
            [_row(c, c.cv, label=story.row_name(c), second=c.test) for c in candidates],
            name=name,
            title=f"{title}, from input to output" if is_image else title,
            description=description,
            axis=f"cross-validated accuracy{where}, %",
        )
    places = {(story.row_name(c), c.resolution): c for c in candidates}
    return plots.layer_map(
        taps,
        resolutions,
        {key: 100 * c.cv.value for key, c in places.items()},
        marks={key: c.mark for key, c in places.items() if c.mark},
        name=name,
        title=title,
        description=description,
    )


def accuracies(metrics: FitResult) -> str | None:
    """Cross-validated accuracy of the contenders, with the test accuracy where it is known.

    None where the layer map shows the same: with a single resolution.
    """
    if len(metrics.resolutions) == 1:
        return None
    return plots.interval_plot(
        [_row(c, c.cv, second=c.test) for c in _contenders(metrics)],
        name="figure-accuracies",
        title="Accuracy of the leading candidates",
        description="Dots: cross-validated accuracy with its interval. Hollow diamonds: accuracy"
        f" on the test {metrics.noun}s. The same numbers stand in the table of all candidates.",
        axis="accuracy, %",
    )


def differences(metrics: FitResult) -> str | None:
    """Paired difference of the other contenders to the best; None where none was measured."""
    others = [c for c in _contenders(metrics) if not c.best]
    rows = [_row(c, c.difference) for c in others if c.difference is not None]
    if not rows or not is_share(metrics):
        return None
    than = (
        f"in {objective_name(metrics)} than the best" if is_other(metrics) else "than the highest"
    )
    return plots.interval_plot(
        rows,
        name="figure-differences",
        title=f"How much lower {than} the leading candidates are",
        description=f"Difference in percentage points on the same {metrics.noun}s, with its interval."
        " A difference within one standard error is a tie.",
        axis="difference to the highest, percentage points",
        zero=True,
    )


def curve(metrics: FitResult) -> str | None:
    """Accuracy of the chosen candidate over C; None with fewer than two values of C."""
    chosen = next((c for c in metrics.candidates if c.chosen), None)
    if not chosen:
        return None
    # Older runs tried every C on every candidate, and named them in one place.
    settings = chosen.Cs or metrics.selection.Cs
    if len(settings) < 2 or len(chosen.cv_by_C) != len(settings):
        return None
    accuracies = [100 * share for share in chosen.cv_by_C]
    C = metrics.chosen.C
    return plots.line_plot(
        [plots.Line(label="accuracy, %", x=settings, y=accuracies)],
        log_x=True,
        star=next(((c, a) for c, a in zip(settings, accuracies, strict=True) if c == C), None),
        name="figure-curve",
        title="Cross-validated accuracy over C",
        description=f"For {story.place(chosen)}; the chosen C is {words.plain(C)}.",
        x_axis=f"C (small: simple, large: follows every training {metrics.noun})",
        y_axis="accuracy, %",
        width=400,
        height=210,
    )


def confusion(metrics: FitResult) -> str:
    """Confusion matrix on the split that the metrics name."""
    classes, rows = metrics.classes, metrics.counts
    worst = story.confusions(classes, rows)[:3]
    said = "; ".join(f"{c.true} taken for {c.predicted}: {c.n} of {c.total}" for c in worst)
    return plots.confusion_matrix(
        classes,
        rows.tolist(),
        name="figure-confusion",
        title=f"Confusion matrix of {len(classes)} classes",
        description=f"Most frequent: {said}." if said else "Nothing was put in a wrong class.",
    )


def reliability(metrics: FitResult) -> str | None:
    """Share that is right against the probability that was given; None without metrics."""
    bins = () if metrics.metrics is None else metrics.metrics.reliability
    if len(bins) < 2:
        return None
    x = [100 * b.confidence for b in bins]
    y = [100 * b.accuracy.value for b in bins]
    low = max(0.0, min(*x, *(100 * b.accuracy.low for b in bins)) - 2)
    return plots.line_plot(
        [
            plots.Line(
                label="measured",
                x=x,
                y=y,
                low=[100 * b.accuracy.low for b in bins],
                high=[100 * b.accuracy.high for b in bins],
            ),
            plots.Line(
                label="perfectly calibrated",
                x=[low, 100],
                y=[low, 100],
                is_faint=True,
                has_points=False,
            ),
        ],
        name="figure-reliability",
        title="Share that is right against the probability given",
        description="; ".join(f"{a:.0f} %: {b:.0f} % right" for a, b in zip(x, y, strict=True)),
        x_axis="mean probability of the predicted class, %",
        y_axis="right, %",
        width=470,
    )


def sizes(data: DataSummary, each: str = "class") -> str:
    """Images of each class, or label, in each split; the largest and the smallest of a long list."""
    rows = sorted(data.classes, key=lambda c: -(c.n_train + c.n_val + c.n_test))
    if len(rows) > N_BARS:
        rows = [*rows[: N_BARS // 2], *rows[-N_BARS // 2 :]]
    splits = {
        "training": (data.n_train, [c.n_train for c in rows]),
        "validation": (data.n_val, [c.n_val for c in rows]),
        "test": (data.n_test, [c.n_test for c in rows]),
    }
    shown = {name: counts for name, (n, counts) in splits.items() if n}
    return plots.stacked_bars(
        [c.name for c in rows],
        [list(row) for row in zip(*shown.values(), strict=True)],
        list(shown),
        name="figure-sizes",
        title=f"{data.noun.capitalize()}s {'in' if each == 'class' else 'with'} each {each}",
        description=f"Their numbers for each {each} by split, the largest first.",
    )


def learning(metrics: FitResult) -> str | None:
    """Learning curves of the fine-tuning; None where there was none."""
    history = () if metrics.finetuning is None else metrics.finetuning.history
    if not history:
        return None
    last = history[-1]
    return plots.learning_curves(
        **curves_of(history),
        name="figure-learning",
        width=470,
        title="Loss and accuracy over the epochs of the fine-tuning",
        description=f"After epoch {last.epoch}: {words.percent(last.train_accuracy)} of the"
        f" training images right and {words.percent(last.val_accuracy)} of the validation images.",
    )


def small_interval(interval: Interval | None) -> Markup:
    """The little bar beside a recall in the table of classes; empty where it was not tested."""
    return Markup("" if interval is None else plots.small_interval(*interval))


def _contenders(metrics: FitResult) -> Sequence[CandidateResult]:
    return story.contenders(metrics.candidates, metrics.taps[-1], N_CONTENDERS)


def _row(
    candidate: CandidateResult,
    interval: Interval,
    *,
    label: str | None = None,
    second: Interval | None = None,
) -> plots.IntervalRow:
    return plots.IntervalRow.of_shares(
        label or story.place(candidate), interval, mark=candidate.mark, second=second
    )
