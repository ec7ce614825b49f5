"""Accuracy against images a class as sections: the curve, the forecast, its check, from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart import plots
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table
from headstart.wording import counted, signed_points

Found = Mapping[str, Any]


def datasize_sentence(found: Found) -> str:
    """What that many more images a class would bring."""
    gain = found["gain"]
    return (
        f"{found['more']:,} more images a class would bring {signed_points(*gain)} points, by the "
        f"power law fitted to all sizes{', perhaps nothing' if gain[1] < 0.001 else ''}."
    )


def datasize_detail(found: Found) -> str:
    """What is reached now, and what a measurement would then show."""
    gain, then = found["gain"], found["accuracy_then"]
    last = found["points"][-1]
    return (
        f"With {found['now']:,.0f} images a class the linear SVM reaches "
        f"{words.percent(last['accuracy'][0])} ({words.percent(then[0] - gain[0])} by the law). With "
        f"{found['more']:,} more a measurement would show {_bounded(then)} %."
    )


def check_sentence(forecasts: Sequence[Mapping[str, Any]]) -> str:
    """Whether the law predicted what was measured."""
    if not forecasts:
        return "There are too few images to check the forecast on images held back."
    inside = sum(f["is_inside"] for f in forecasts)
    last = forecasts[-1]
    told = (
        f"From at most {last['fitted_to']} images a class {_bounded(last['told'])} % is predicted "
        f"for {last['n']}; measured: {100 * last['measured']:.1f} %, "
        f"{'inside' if last['is_inside'] else 'outside'} the interval."
    )
    n = len(forecasts)
    if n == 1:
        return told
    return f"{told} In all, {inside} of {n} forecasts of at least twice as many images hold."


def scratch_sentence(scratch: Mapping[str, Any]) -> str:
    """How many images pretrained features need for what training from nothing reaches."""
    last = scratch["points"][-1]
    text = (
        f"{scratch['name']}, trained from random weights on {last['n']} images a class, reaches "
        f"{words.percent(last['accuracy'][0])}"
    )
    if last["equal_n"] is None:
        return f"{text}, which the frozen features do not reach: pretraining does not help here."
    if last["equal_n"] >= last["n"]:
        return f"{text}; the frozen features need as many images: no head start shows here."
    return (
        f"{text}; the frozen features get there with {last['equal_n']:.1f} images a class, "
        f"{last['n'] / last['equal_n']:.0f} times fewer."
    )


def datasize_sections(found: Found) -> list[Section]:
    """Curve, forecast, check, and training from scratch where it was done."""
    sections = [_curve(found), _points(found)]
    if found.get("is_checked"):
        sections.append(_check(found))
    if found.get("scratch"):
        sections.append(_scratch(found["scratch"]))
    return sections


def method(found: Found) -> str:
    """How it was measured."""
    scored = (
        f"{counted(found['n_test'], 'test image')}"
        if found["has_own_test"]
        else f"{counted(found['n_test'], 'image')} held out of the training images"
    )
    return (
        f"{found['data']}, {found['backbone']}, features of {found['tap']} at "
        f"{found['size_px']} px: the SVM (C = {found['C']:g}) on nested random subsets of the "
        f"{counted(found['n_train'], 'training image')} in {found['n_repeats']} orders, "
        f"scored on {scored}."
    )


def _curve(found: Found) -> Section:
    points, law = found["points"], found["law"]
    lines = [
        plots.Line(
            label="measured",
            x=[p["mean_n"] for p in points],
            y=[100 * p["accuracy"][0] for p in points],
            low=[100 * p["accuracy"][1] for p in points],
            high=[100 * p["accuracy"][2] for p in points],
        ),
        plots.Line(
            label="power law, with the interval of a measurement",
            x=[p["n"] for p in found["curve"]],
            y=[100 * p["accuracy"][0] for p in found["curve"]],
            low=[100 * p["accuracy"][1] for p in found["curve"]],
            high=[100 * p["accuracy"][2] for p in found["curve"]],
            has_points=False,
            is_faint=True,
        ),
    ]
    if scratch := found.get("scratch"):
        lines.append(
            plots.Line(
                label=f"{scratch['name']}, from random weights",
                x=[p["n"] for p in scratch["points"]],
                y=[100 * p["accuracy"][0] for p in scratch["points"]],
                low=[100 * p["accuracy"][1] for p in scratch["points"]],
                high=[100 * p["accuracy"][2] for p in scratch["points"]],
            )
        )
    figure = plots.line_plot(
        lines,
        name="datasize-curve",
        title="Accuracy against images a class",
        description="; ".join(f"{p['n']}: {100 * p['accuracy'][0]:.1f} %" for p in points),
        x_axis="training images a class",
        y_axis="accuracy, %",
        log_x=True,
    )
    ceiling = (
        "no ceiling shows yet"
        if law["a"] < 0.001
        else f"{100 * law['a']:.1f} % would stay wrong with any number of images"
    )
    return Section(
        heading="Accuracy against images a class",
        text=[method(found)],
        figure=figure,
        caption=f"The law: error = {law['a']:.3f} + {law['b']:.3f} n^-{law['c']:.2f}; by it, "
        f"{ceiling}. Intervals are of 95 %: of the test images for what was measured; for the law, "
        "of repeats and points drawn anew, with the noise of a measurement.",
    )


def _points(found: Found) -> Section:
    rows = [
        [
            f"{p['n']}",
            _bounded(p["accuracy"]),
            f"{100 * p['lowest']:.1f} to {100 * p['highest']:.1f}",
        ]
        for p in found["points"]
    ]
    return Section(
        heading="In figures",
        table=Table(header=["images a class", "accuracy, %", "over the orders"], rows=rows),
    )


def _check(found: Found) -> Section:
    rows = [
        [
            f"{f['n']}",
            f"at most {f['fitted_to']}",
            _bounded(f["told"]),
            f"{100 * f['measured']:.1f}",
            "yes" if f["is_inside"] else "no",
        ]
        for f in found["forecasts"]
    ]
    header = ["images a class", "fitted to", "foretold, %", "measured, %", "inside"]
    return Section(
        heading="Does the forecast hold?",
        text=[check_sentence(found["forecasts"])],
        table=Table(header=header, rows=rows) if rows else None,
    )


def _scratch(scratch: Mapping[str, Any]) -> Section:
    rows = [
        [
            f"{p['n']}",
            _bounded(p["accuracy"]),
            f"{p['seconds']:,.0f}",
            "–" if p["equal_n"] is None else f"{p['equal_n']:.1f}",
        ]
        for p in scratch["points"]
    ]
    return Section(
        heading="Against training from scratch",
        text=[scratch_sentence(scratch)],
        table=Table(
            header=["images a class", "from scratch, %", "seconds", "images a class with transfer"],
            rows=rows,
        ),
        caption="The last column: with how many images a class the frozen features are as good.",
    )


def _bounded(interval: Sequence[float]) -> str:
    value, low, high = (100 * v for v in interval)
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"
