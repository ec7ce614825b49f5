"""The sections of a report on when to rely on the run: refusing, label sets, shortcuts, slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headstart import plots
from headstart.results import Interval
from headstart.runs.reliance import Checks, LabelSets, Refusal, Reliability, TrainingMap
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table

if TYPE_CHECKING:
    from headstart.runs.result import FitResult

# The target that the text of the section speaks of, where it can be reached.
SPOKEN = 0.95
# Classes that the map names.
MOST_NAMED = 40


def trust_sections(metrics: FitResult) -> list[Section]:
    """The sections that a run has figures for; none of an older run."""
    found = []
    if metrics.reliability:
        found.append(_when_to_answer(metrics.reliability, metrics.noun))
        if metrics.reliability.map is not None:
            found.append(_map(metrics.reliability.map, metrics.classes))
    if metrics.checks:
        found += [_parts(metrics.checks, metrics), _shortcuts(metrics.checks)]
    return found


def _parts(found: Checks, metrics: FitResult) -> Section:
    worse = [p for p in found.parts if p.is_worse]
    text = "No part is significantly worse than the others."
    if worse:
        w = worse[0]
        text = (
            f"Worst: {w.by} {w.value}, {w.accuracy} of {words.count(w.n)} images are right, against "
            f"{words.percent(w.rest)} of the others."
        )
    rows = [
        [
            f"{p.by}: {p.value}",
            words.count(p.n),
            str(p.accuracy),
            words.percent(p.rest),
            "worse" if p.is_worse else "",
        ]
        for p in found.parts
    ]
    return Section(
        heading="Parts of the data",
        text=[text],
        caption=f"{_divided(found)}. All intervals together hold with 95 % confidence.{_unlike_slices(found, metrics)}",
        table=_judged_table(["part", "images", "right", "others", "verdict"], rows)
        if rows
        else None,
    )


def _judged_table(header: list[str], rows: list[list[str]]) -> Table:
    """The table without its last column, the verdict, where that is empty."""
    if any(row[-1] for row in rows):
        return Table(header=header, rows=rows)
    return Table(header=header[:-1], rows=[row[:-1] for row in rows])


def _divided(found: Checks) -> str:
    """Which images were divided, and what judged them."""
    n = words.count(found.n_parts)
    if found.n_judged is not None and found.n_judged > found.n_parts:
        n = f"{n} of {words.count(found.n_judged)}"
    drawn = ", drawn at random, each class with its share" if " of " in n else ""
    if found.is_finetuned:
        return (
            f"{n} images{drawn}: those that were held out to compare the network with the SVM, and test ones, "
            "judged by the fine-tuned network"
        )
    return f"{n} images{drawn}: training ones, each judged by a classifier that had not seen it, and test ones"


def _unlike_slices(found: Checks, metrics: FitResult) -> str:
    """Why `headstart slices` may give other figures of the same parts; empty where it gives the same."""
    if found.is_finetuned:
        return (
            " headstart slices divides all training and test images, and judges training ones by a linear SVM on "
            "frozen features: its figures differ."
        )
    by = ""
    if n := metrics.chosen.n_averaged:
        by = f"by one linear SVM on the features of all {n} candidates, in place of their mean"
    elif metrics.selection.n_repeats > 1:
        by = f"on one division into folds instead of {metrics.selection.n_repeats}"
    return (
        f" headstart slices judges training images {by}: its figures may differ slightly."
        if by
        else ""
    )


def _shortcuts(found: Checks) -> Section:
    alarming = [s for s in found.shortcuts if s.is_alarming]
    text = "None of these alone tells the classes apart well."
    if alarming:
        text = (
            f"The classes can be told apart by {alarming[0].name} alone: {alarming[0].accuracy}, where chance is "
            f"{words.percent(alarming[0].chance)}. Colours may well be what sets classes apart; sizes and "
            "formats of files tell how the images were collected."
        )
    rows = [[s.name, str(s.accuracy), "look" if s.is_alarming else ""] for s in found.shortcuts]
    rows.append(["first layer of the network", str(found.first_layer), ""])
    return Section(
        heading="Shortcuts",
        text=[text],
        table=_judged_table(["by this alone", "balanced accuracy", "verdict"], rows),
        caption=f"{words.count(found.n_shortcuts)} training images, each judged by the others; chance is "
        f"{words.percent(found.shortcuts[0].chance)}.",
    )


def _when_to_answer(found: Reliability, noun: str) -> Section:
    spoken = next((r for r in found.refusals if r.target == SPOKEN), None)
    refusals = [spoken] if spoken else list(found.refusals[-1:])
    text = [_refusal_sentence(r, noun) for r in refusals]
    text += [_sets_sentence(s, noun) for s in found.sets[-1:]]
    if not text:
        text = [
            f"{words.count(found.n)} {noun}s are too few to name a probability from which to answer."
        ]
    return Section(
        heading="When to answer",
        text=text,
        figure=_curve(found, noun),
        caption=f"The {words.count(found.n)} training {noun}s, each predicted by a model that had not seen it: how "
        "often the answer is right, where only the most probable answers are accepted.",
        table=_table(found) if found.refusals else None,
    )


def _refusal_sentence(r: Refusal, noun: str) -> str:
    if r.threshold == 0:
        return (
            f"All answers together are right {100 * r.target:.0f} % of the time or more: {r.accuracy} of the "
            f"training {noun}s, cross-validated. No answer has to be refused for that."
        )
    said = (
        f"To be right {100 * r.target:.0f} % of the time, accept only answers with a probability of "
        f"{100 * r.threshold:.0f} % or more (predict --target-accuracy {r.target:g}): of the training {noun}s, "
        f"cross-validated, {r.coverage} get an answer, {r.accuracy} of these correctly."
    )
    if r.test_accuracy is not None and r.test_coverage is not None:
        said += f" As a check, of the test {noun}s {r.test_coverage} get an answer, {r.test_accuracy} of these correctly."
    return said


def _sets_sentence(s: LabelSets, noun: str) -> str:
    said = (
        f"Instead of one class, a set that holds the true class {100 * s.level:.0f} % of the time (predict "
        f"--label-sets {s.level:g}): the most probable class, and every other with a probability of at least "
        f"{words.decimal(s.threshold)}."
    )
    if s.test_coverage is None or s.mean_size is None:
        return said
    return (
        f"{said} Of the test {noun}s it holds the true class for {s.test_coverage}, and has {s.mean_size:.2f} "
        f"classes on average; {words.percent(s.single)} of the sets have one class."
    )


def _curve(found: Reliability, noun: str) -> str:
    x = [100 * v for v in found.coverage]
    y = [100 * v for v in found.accuracy]
    return plots.line_plot(
        [plots.Line(label="right", x=x, y=y, has_points=False)],
        name="risk-coverage",
        title=f"Accuracy against the share of {noun}s that are answered",
        description=f"answering all: {y[-1]:.1f} %; the surest {x[len(x) // 2]:.0f} %: {y[len(y) // 2]:.1f} %",
        x_axis=f"{noun}s answered, %",
        y_axis="right, %",
        y_range=(min(y), 100) if min(y) < 100 else (99, 100),
    )


def _table(found: Reliability) -> Table:
    has_test = any(r.test_coverage is not None for r in found.refusals)
    header = ["to be right", "accept from a probability of", "answered", "of these right"]
    header += ["answered, test", "right, test"] if has_test else []
    rows = []
    for r in found.refusals:
        row = [
            f"{100 * r.target:.0f} %",
            f"{100 * r.threshold:.1f} %",
            str(r.coverage),
            str(r.accuracy),
        ]
        rows.append(
            [*row, *(_shown(i) for i in (r.test_coverage, r.test_accuracy))] if has_test else row
        )
    return Table(header=header, rows=rows)


def _map(found: TrainingMap, classes: Sequence[str]) -> Section:
    labels = [classes[k] for k in found.labels]
    n_wrong = sum(found.is_wrong)
    some = len(labels)
    which = (
        words.count(some) if some == found.n else f"{words.count(some)} of {words.count(found.n)}"
    )
    said = (
        f"{which} training images at the two largest principal components of their features, which hold "
        f"{words.percent(found.variance)} of the variance. Classes that lie apart here are apart; classes that "
        "overlap here may still differ in other components. headstart map keeps more of the neighbourhoods, and "
        "shows the pictures."
    )
    return Section(
        heading="A map of the training images",
        text=[said],
        figure=plots.scatter_plot(
            list(zip(found.x, found.y, strict=True)),
            found.is_wrong,
            labels=labels if len(set(labels)) <= MOST_NAMED else (),
            name="training-map",
            title="Training images by their features",
            description=f"{some} images of {len(set(labels))} classes; {n_wrong} taken for another",
        ),
        caption="Orange crosses: taken for another class by a classifier that had not seen the image. Circles: "
        "recognised, or not judged.",
    )


def _shown(interval: Interval | None) -> str:
    return words.NOTHING if interval is None else str(interval)
