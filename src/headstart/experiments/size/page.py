"""Accuracy against images per class: the curve, the forecast, its check, training from scratch."""

from __future__ import annotations

from headstart import plots
from headstart.experiments.size.result import CurvePoint, Point, ScratchPoint, SizeResult
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table
from headstart.wording import counted, signed_points

NETWORK = "A compact network"


def title(r: SizeResult) -> str:
    """The question."""
    return f"How many {r.noun}s of {r.data} are enough"


def sentence(r: SizeResult) -> str:
    """What that many more images per class would bring."""
    # A law's gain is never below 0: an end that prints as 0.0 is where nothing comes of it.
    gain = [0.0 if abs(value) < 0.0005 else value for value in r.gain]
    nothing = "" if gain[1] > 0.0 else ", perhaps nothing"
    return (
        f"{r.settings.more:,} more {r.noun}s per class would bring {signed_points(*gain)} points, by the law "
        f"fitted to all sizes{nothing}."
    )


def detail(r: SizeResult) -> str:
    """What is reached now, and what a measurement would then show."""
    by_law = words.percent(r.accuracy_then.value - r.gain.value)
    text = (
        f"With {r.now:,.0f} {r.noun}s per class the linear SVM reaches "
        f"{words.percent(r.points[-1].accuracy.value)}. The law gives {by_law} for as many, and "
        f"{r.accuracy_then} for a measurement with {r.settings.more:,} more."
    )
    if r.accuracy_then.value < r.points[-1].accuracy.value:
        text += (
            " The last measurement lies above the fitted law, by chance or because the law does not fit: more "
            f"{r.noun}s are not expected to lower the accuracy."
        )
    layer = f"one layer, {r.tap} at {r.size_px} px," if r.noun == "image" else r.tap
    used = round(r.now * r.n_classes)
    some = f"{used:,} of " if used < r.n_train else ""
    rows = f"at most {some}{counted(r.n_train, f'training {r.noun}')}"
    beside = words.beside_fit(layer, rows, r.noun) if r.has_own_test else ""
    return " ".join(filter(None, (text, needed_sentence(r), beside)))


def needed_sentence(r: SizeResult) -> str:
    """How many images per class the accuracy that was asked for would take; empty where none was."""
    if r.needed is None or r.settings.accuracy is None:
        return ""
    goal = words.percent(r.settings.accuracy)
    if r.needed.n is None:
        return f"By the law no number of {r.noun}s reaches {goal}."
    low, high = (_count(n) for n in (r.needed.low, r.needed.high))
    return f"By the law {goal} would take {_count(r.needed.n)} {r.noun}s per class [{low}, {high}]."


def _count(n: float | None) -> str:
    if n is None:
        return "no number"
    if n < 1e6:
        return f"{n:,.0f}"
    return f"{n / 1e6:,.0f} million" if n < 1e9 else "over a billion"


def sections(r: SizeResult) -> list[Section]:
    """Curve, figures, and where asked for the check of the forecast and training from scratch."""
    found = [_curve(r), _points(r)]
    if r.settings.check:
        found.append(_check(r))
    if r.scratch:
        found.append(_scratch(r))
    return found


def brief(r: SizeResult) -> list[Section]:
    """What the terminal shows."""
    text = [check_sentence(r)] if r.settings.check else []
    text += [scratch_sentence(r)] if r.scratch else []
    caption = f"mean of {r.n_repeats} orders, {counted(r.n_test, r.noun)}"
    return [Section(heading="", table=_points(r).table, caption=caption, text=text)]


def check_sentence(r: SizeResult) -> str:
    """Whether the law predicted what was measured."""
    if not r.forecasts:
        return f"There are too few {r.noun}s to check the forecast on {r.noun}s held back."
    last, n = r.forecasts[-1], len(r.forecasts)
    text = (
        f"From at most {last.fitted_to} {r.noun}s per class {last.predicted} is predicted for {last.n}; "
        f"measured: {words.percent(last.measured)}, "
        f"{'inside' if last.is_inside else 'outside'} the interval."
    )
    if n == 1:
        return text
    inside = sum(f.is_inside for f in r.forecasts)
    return f"{text} In all, {inside} of {n} forecasts of at least twice as many {r.noun}s hold."


def scratch_sentence(r: SizeResult) -> str:
    """How many images pretrained features need for what training from random weights reaches."""
    last = r.scratch[-1]
    text = (
        f"{NETWORK}, trained from random weights on {last.n} {r.noun}s per class, reaches "
        f"{words.percent(last.accuracy.value)}"
    )
    if last.equal_n is None:
        return f"{text}, which the frozen features do not reach: pretraining does not help here."
    if last.equal_n >= last.n:
        return f"{text}; the frozen features need as many {r.noun}s: pretraining saves none here."
    return (
        f"{text}; the frozen features get there with {last.equal_n:.1f} {r.noun}s per class, "
        f"{last.n / last.equal_n:.0f} times fewer."
    )


def _features(r: SizeResult) -> str:
    if r.size_px is None:
        with_encoder = f", sentence encoder {r.backbone}" if r.backbone else ""
        return f"{r.tap}{with_encoder}; terms are learnt from all training texts, without labels"
    return f"{r.backbone}, features of {r.tap} at {r.size_px} px"


def method(r: SizeResult) -> str:
    """How it was measured."""
    scored = counted(r.n_test, f"test {r.noun}")
    if not r.has_own_test:
        scored = f"{counted(r.n_test, r.noun)} held out of the training {r.noun}s"
    return (
        f"{r.data}, {_features(r)}: the SVM (C = {r.C:g}) on "
        f"nested random subsets of the {counted(r.n_train, f'training {r.noun}')} in {r.n_repeats} "
        f"orders, scored on {scored}."
    )


def _curve(r: SizeResult) -> Section:
    law = "law, with the interval of a measurement"
    lines = [
        _line("measured", r.points),
        _line(law, r.curve, has_points=False, is_faint=True),
    ]
    if r.scratch:
        lines.append(_line(f"{NETWORK}, from random weights", r.scratch))
    figure = plots.line_plot(
        lines,
        name="datasize-curve",
        title=f"Accuracy against {r.noun}s per class",
        description="; ".join(f"{p.n}: {100 * p.accuracy.value:.1f} %" for p in r.points),
        x_axis=f"training {r.noun}s per class",
        y_axis="accuracy, %",
        log_x=True,
    )
    return Section(
        heading=f"Accuracy against {r.noun}s per class",
        text=[method(r)],
        figure=figure,
        caption=f"{law_sentence(r)} Intervals are of 95 %: of the test {r.noun}s for what was measured; for the law, "
        "of laws fitted to errors drawn by their variance, with the noise of a measurement.",
    )


def law_sentence(r: SizeResult) -> str:
    """The law in figures, and what it says of any number of images."""
    law = r.law
    if law.is_bent:
        beyond = f"{law.b:.3f} n^-{law.c:.2f}"
        return (
            f"The law: from {law.knot:,.0f} {r.noun}s per class on error = {beyond}, without a ceiling; below, "
            "a parabola of its logarithm."
        )
    ceiling = "no ceiling shows yet"
    if law.a >= 0.001:
        ceiling = f"{100 * law.a:.1f} % would stay wrong with any number of {r.noun}s"
    figures = f"error = {law.a:.3f} + {law.b:.3f} n^-{law.c:.2f}"
    return f"The law: {figures}; by it, {ceiling}."


def _line(
    label: str, points: tuple[Point | CurvePoint | ScratchPoint, ...], **how: bool
) -> plots.Line:
    y, low, high = zip(*(p.accuracy.percent for p in points), strict=True)
    x = [p.mean_n if isinstance(p, Point) else p.n for p in points]
    return plots.Line(label=label, x=x, y=y, low=low, high=high, **how)


def _points(r: SizeResult) -> Section:
    rows = [
        [f"{p.n}", str(p.accuracy), f"{100 * p.lowest:.1f} to {100 * p.highest:.1f}"]
        for p in r.points
    ]
    header = [f"{r.noun}s per class", "accuracy", "over the orders, %"]
    return Section(heading="In figures", table=Table(header=header, rows=rows))


def _check(r: SizeResult) -> Section:
    rows = [
        [
            f"{f.n}",
            f"at most {f.fitted_to}",
            str(f.predicted),
            f"{100 * f.measured:.1f}",
            "yes" if f.is_inside else "no",
        ]
        for f in r.forecasts
    ]
    header = [f"{r.noun}s per class", "fitted to", "predicted", "measured, %", "inside"]
    return Section(
        heading="Does the forecast hold?",
        text=[check_sentence(r)],
        table=Table(header=header, rows=rows) if rows else None,
    )


def _scratch(r: SizeResult) -> Section:
    rows = [
        [
            f"{p.n}",
            str(p.accuracy),
            f"{p.seconds:,.0f}",
            "–" if p.equal_n is None else f"{p.equal_n:.1f}",
        ]
        for p in r.scratch
    ]
    header = [
        f"{r.noun}s per class",
        "from scratch",
        "seconds",
        f"{r.noun}s per class with transfer",
    ]
    return Section(
        heading="Against training from scratch",
        text=[scratch_sentence(r)],
        table=Table(header=header, rows=rows),
        caption=f"The last column: with how many {r.noun}s per class the frozen features are as good.",
    )
