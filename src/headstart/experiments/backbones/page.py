"""Backbones compared: the bubbles, then the figures."""

from __future__ import annotations

from headstart import plots
from headstart.experiments.backbones.result import BackbonesResult, Candidate
from headstart.heads import significance, unseen_difference
from headstart.plots.bubbles import Bubble, bubble_plot
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table
from headstart.wording import counted, headline, listed, points, rough_time

_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def title(r: BackbonesResult) -> str:
    """The question."""
    return f"Backbones on {r.data}"


def sentence(r: BackbonesResult) -> str:
    """The headline: which to take, how accurate it is, and what the most accurate would cost."""
    chosen, best = r.chosen, r.best
    text = f"Take {chosen.name}: {chosen.cv} in cross-validation"
    if len(r.candidates) == 1:
        return f"{text}."
    if chosen is best:
        unseen = [
            c.name
            for c in r.candidates
            if c.macs < best.macs and unseen_difference(c.behind, r.n_train) is not None
        ]
        if unseen:
            few = f"{counted(r.n_train, 'image')} are too few to tell {listed(unseen)} from it"
            return headline(f"{text}; {few}.", f"{text}.")
        return headline(f"{text}, the most accurate of {len(r.candidates)}.", f"{text}.")
    behind = chosen.behind
    if points(behind.value) == "0.0":
        rest = f"; {best.name} is as accurate"
        if unseen_difference(behind, r.n_train) is not None:
            rest = f"; {counted(r.n_train, 'image')} are too few to tell {best.name} from it"
    else:
        higher = points(-behind.value, sign=False)
        rest = f"; {best.name} is {higher} points higher ({significance(behind)})"
    times = f"{best.macs / chosen.macs:.1f}"
    cost = "" if times == "1.0" else f" and computes {times} times as much"
    return headline(f"{text}{rest}{cost}.", f"{text}{rest}.", f"{text}.")


def detail(r: BackbonesResult) -> str:
    """The rule, and the front by name."""
    raced = f" {len(r.race.left)} left the race early." if r.race and r.race.left else ""
    layer = "one layer of each network, the last before the output layer,"
    rows = f"all {counted(r.n_train, 'training image')}"
    beside = f" {words.beside_fit(layer, rows)}" if r.n_test else ""
    if len(r.candidates) == 1:
        return f"It is the only one{' left' * bool(raced)}.{raced}{beside}"
    front = [f"{c.name} ({c.cv.percent[0]:.1f} %)" for c in r.candidates if c.is_on_front]
    rule = (
        f"{r.chosen.name} is the cheapest within one standard error of {r.best.name}, the "
        "most accurate, and at most one point lower."
    )
    if r.chosen is r.best:
        rule = "Nothing cheaper is within one standard error of it and at most one point lower."
        if r.chosen is r.candidates[0]:
            rule = "It is also the cheapest."
    if len(front) == len(r.candidates):
        all_of_them = "Both" if len(front) == 2 else f"All {len(front)}"
        which = (
            f"{all_of_them} are on the Pareto front: none is as accurate as one that computes more."
        )
    elif len(front) == 1:
        which = (
            f"{front[0]} is the whole Pareto front: no other is as accurate without computing more."
        )
    else:
        which = (
            f"The Pareto front is {listed(front)}: no other is as accurate without computing more."
        )
    return f"{rule} {which}{raced}{beside}"


def sections(r: BackbonesResult) -> list[Section]:
    """Figures and table."""
    return [_bubbles(r), _speeds(r), _table(r), *_race(r)]


def brief(r: BackbonesResult) -> list[Section]:
    """What the terminal shows."""
    rows = []
    for c in r.candidates:
        name, _, cv, test, _, macs, parameters, speed, _ = cells(c)
        rows.append([name, cv, test.partition(" ")[0], macs, parameters, speed])
    table = Table(
        header=["backbone", "cv", "test, %", "MACs", "parameters", "images/s"],
        rows=rows,
        chosen=r.candidates.index(r.chosen),
    )
    caption = (
        "cv: cross-validation on the training images; MACs: multiply-accumulates of one\n"
        "image; * the cheapest within one standard error and one point of the most accurate"
    )
    return [Section(heading="", table=table, caption=caption), *_race(r)]


def cells(row: Candidate) -> list[str]:
    """One backbone as the texts of a table's row."""
    mark = " *" * row.is_chosen
    return [
        f"{row.name}{mark}",
        f"{row.size_px}",
        str(row.cv),
        str(row.test) if row.test else "",
        "" if row.is_best else str(row.behind),
        short(row.macs),
        short(row.n_parameters),
        f"{row.images_per_s:,.0f}" if row.images_per_s >= 10 else f"{row.images_per_s:.1f}",
        "yes" if row.is_on_front else "",
    ]


def shown_name(row: Candidate) -> str:
    """The name for a figure, where a file's suffix would only take room."""
    return str(row.name).removesuffix(".safetensors")


def method(r: BackbonesResult) -> str:
    """How it was measured."""
    return (
        f"The last layer before the output layer of each network with a linear SVM, on {counted(r.n_train, 'training image')} "
        f"of {r.data}."
    )


HEADER = (
    "backbone",
    "px",
    "cross-validation",
    "test",
    "against the best, points",
    "multiply-accumulates",
    "parameters",
    "images/s",
    "on the front",
)


def short(n: float) -> str:
    """``407,000,000`` as ``407 M``."""
    for size, unit in _UNITS:
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n:.3g}"


def _bubbles(r: BackbonesResult) -> Section:
    rows = r.candidates
    points = [
        Bubble(
            label=shown_name(row),
            x=row.macs / 1e9,
            y=row.cv.percent[0],
            low=row.cv.percent[1],
            high=row.cv.percent[2],
            area=row.n_parameters,
            mark="chosen" if row.is_chosen else "best" if row.is_best else "",
        )
        for row in rows
    ]
    figure = bubble_plot(
        points,
        name="backbones",
        title=f"Backbones on {r.data}",
        description="; ".join(
            f"{p.label}: {p.y:.1f} %, {p.x:.3g} G multiply-accumulates" for p in points
        ),
        x_axis="multiply-accumulates of one image, G",
        y_axis="cross-validated accuracy, %",
        area_axis="parameters",
        area_unit=short,
        front=[shown_name(row) for row in rows if row.is_on_front],
    )
    return Section(
        heading="Accuracy against computation",
        text=[method(r)],
        figure=figure,
        caption="The area of a bubble is its number of parameters, the line through it the 95 % "
        "interval of the accuracy. The dashed line joins the Pareto front; a star is the cheapest "
        "within one standard error of the most accurate (a diamond), and at most one point lower.",
    )


def _speeds(r: BackbonesResult) -> Section:
    rows = [
        plots.IntervalRow.of_shares(
            f"{shown_name(row)}: {row.images_per_s:,.0f} images/s",
            row.cv,
            mark="chosen" if row.is_chosen else "best" if row.is_best else "",
        )
        for row in sorted(r.candidates, key=lambda row: -row.images_per_s)
    ]
    figure = plots.interval_plot(
        rows,
        name="backbone-speeds",
        title="Accuracy, the fastest first",
        axis="cross-validated accuracy, %",
    )
    return Section(
        heading="The fastest first",
        figure=figure,
        caption="Images a second as measured on this machine, decoding included: multiply-"
        "accumulates do not tell it alone.",
    )


def _race(r: BackbonesResult) -> list[Section]:
    """Who left when and why."""
    if r.race is None:
        return []
    if not r.race.rounds:
        few = f"{counted(r.n_train, 'training image')} are too few for rounds: all were judged on all of them."
        return [Section(heading="The race", text=[few])]
    rounds = "; ".join(
        f"{counted(len(one.names), 'network')} on {one.n_images:,} images in {rough_time(one.seconds)}"
        for one in r.race.rounds
    )
    text = [f"Rounds before all {r.n_train:,} training images: {rounds}."]
    if not r.race.left:
        return [Section(heading="The race", text=[*text, "None was clearly behind."])]
    why = {"behind": "more than a point behind {}", "budget": "least accurate, time was short"}
    rows = [
        [
            one.name,
            f"{one.n_images:,}",
            str(one.cv),
            "" if one.name == one.leader else str(one.behind),
            why[one.reason].format(one.leader),
        ]
        for one in r.race.left
    ]
    table = Table(header=("left", "after images", "cv", "points", "why"), rows=rows)
    caption = (
        "Points against the most accurate of the round, on the same images. All tests of the race "
        "together have a level of 5 %."
    )
    return [Section(heading="The race", text=text, table=table, caption=caption)]


def _table(r: BackbonesResult) -> Section:
    rows = [cells(row) for row in r.candidates]
    chosen = next(i for i, row in enumerate(r.candidates) if row.is_chosen)
    return Section(
        heading="In figures",
        table=Table(header=HEADER, rows=rows, chosen=chosen),
        caption="* the cheapest within one standard error of the most accurate, and at most one point lower. The choice "
        "looks at cross-validation on the training images alone.",
    )
