"""A layer profile: the map, the curve over depth, the concatenation, the test."""

from __future__ import annotations

from headstart import plots
from headstart.backbones.tapped import POOLINGS
from headstart.experiments.features import NORMALISATIONS
from headstart.experiments.profile.result import Model, ProfileResult
from headstart.heads import is_significant, significance, unseen_difference
from headstart.results import Difference, Interval
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table
from headstart.wording import counted, headline, points


def title(r: ProfileResult) -> str:
    """The question."""
    return f"Layers of {r.backbone} on {r.data}"


def sentence(r: ProfileResult) -> str:
    """The headline: which blocks to take, how accurate they are, and against the usual layer."""
    usual, _, joined = r.models
    where = f"on the test {r.noun}s" if r.n_test else "in cross-validation"
    n = len(joined.blocks)
    taken = f"Take {joined.blocks[0]}" if n == 1 else f"Take {n} blocks side by side"
    text = f"{taken}: {_reached(joined)} {where}"
    if joined.blocks == usual.blocks:
        return f"{text}; it is the usual layer."
    gain = _gain(joined)
    if points(gain.value) == "0.0":
        n = r.n_test or r.n_train
        if unseen_difference(gain, n) is not None:
            return f"{text}; {counted(n, r.noun)} are too few to tell it from the usual layer."
        return f"{text}, as accurate as the usual layer."
    return headline(
        f"{text}, {gain} points against the usual layer, {usual.blocks[0]} ({significance(gain)}).",
        f"{text}, {points(gain.value)} points against the usual layer ({significance(gain)}).",
    )


def detail(r: ProfileResult) -> str:
    """What the usual layer, the best block and the concatenation reach."""
    usual, best, joined = r.models
    text = (
        f"The usual layer, {usual.blocks[0]}, reaches {_reached(usual)}; the best single "
        f"block, {best.blocks[0]}, {_reached(best)}"
    )
    n = len(joined.blocks)
    if n == 1:
        text = f"{text}. No larger set of blocks is better by more than one standard error or one point."
    else:
        text = f"{text}; {n} blocks side by side ({', '.join(joined.blocks)}) {_reached(joined)}."
    rows = counted(r.n_train, f"training {r.noun}")
    beside = words.beside_fit("these blocks", rows, r.noun, has_all_layers=True)
    return f"{text} {beside}" if r.n_test else text


def sections(r: ProfileResult) -> list[Section]:
    """Map, curve, concatenation and test, in this order."""
    return [s for s in (_map(r), _curve(r), _steps(r), _models(r)) if s]


def brief(r: ProfileResult) -> list[Section]:
    """What the terminal shows."""
    rows = []
    for tap in r.taps:
        cells = [c for c in r.cells if c.tap == tap]
        marks = ["*" if c.is_best else "~" if c.is_tie else " " for c in cells]
        shown = [f"{c.cv.percent[0]:.1f} {m}" for c, m in zip(cells, marks, strict=True)]
        rows.append([tap, *shown])
    for cell in r.beside:
        rows.append([cell.tap, f"{cell.cv.percent[0]:.1f}  ", *[""] * (len(r.views) - 1)])
    header = ["layer", *(_shown_view(r, view) for view in r.views)]
    caption = (
        f"accuracy in %, {r.n_folds}-fold cross-validation on {r.n_train:,} training {r.noun}s\n"
        f"* highest{' layer' * bool(r.beside)}   ~ within one standard error of it"
    )
    table = Table(header=header, rows=rows)
    return [Section(heading="", table=table, caption=caption, text=[depth_sentence(r)])]


def depth_sentence(r: ProfileResult) -> str:
    """Where along the network the features suit the task, and whether the last layers lose."""
    best, taps = r.best, r.taps
    row = {c.tap: c for c in r.cells if c.view == best.view}
    first, last = row[taps[0]], row[taps[-1]]
    where = taps.index(best.tap)
    place = f"{best.tap} (layer {where + 1} of {len(taps)})"
    text = f"{_seen(r, best.view)} accuracy is highest in {place}, {_value(best.cv)}"
    if where > 0:
        text = (
            f"{_seen(r, best.view)} accuracy goes from {_value(first.cv)} in {taps[0]} to "
            f"{_value(best.cv)} in {place}"
        )
    if best.tap == taps[-1]:
        return f"{text}, the last: no layer is too specific for this task."
    difference = last.behind
    lower = points(abs(difference.value), sign=False)
    if points(difference.value) == "0.0":
        if unseen_difference(difference, r.n_train) is not None:
            return f"{text}; {counted(r.n_train, r.noun)} are too few to tell {taps[-1]} from it."
        return f"{text}; {taps[-1]} is as accurate: no layer is too specific for this task."
    if not is_significant(difference):
        return (
            f"{text}; {taps[-1]} is {lower} points lower (not significant): that late layers are too "
            "specific does not show here."
        )
    return (
        f"{text}, and falls by {lower} points (significant) to {taps[-1]}: the last layers are more "
        "specific to the network's own task than this one needs."
    )


def _shown_view(r: ProfileResult, view: str) -> str:
    """``"224 px"``; of texts how layers are pooled: ``"mean over tokens"``."""
    if r.noun == "image":
        return f"{view} px"
    return "mean over tokens" if view == "mean" else view


def _seen(r: ProfileResult, view: str) -> str:
    if r.noun == "image":
        return f"At {view} px"
    return "Averaged over tokens," if view == "mean" else f"With the {view},"


def _value(interval: Interval) -> str:
    return words.percent(interval.value)


def _reached(model: Model) -> str:
    """Test accuracy; cross-validated where there are no test images."""
    return _value(model.test or model.cv)


def _gain(model: Model) -> Difference:
    return model.test_gain or model.cv_gain


def _map(r: ProfileResult) -> Section:
    values: dict[tuple[str, int | str], float] = {(c.tap, c.view): c.cv.percent[0] for c in r.cells}
    marks: dict[tuple[str, int | str], str] = {
        (c.tap, c.view): "best" if c.is_best else "tie" for c in r.cells if c.is_best or c.is_tie
    }
    figure = plots.layer_map(
        r.taps,
        r.views,
        values,
        marks=marks,
        axis="resolution" if r.noun == "image" else "pooling",
        unit=" px" if r.noun == "image" else "",
        name="profile-map",
        title=_every_layer(r),
        description="; ".join(
            f"{t}, {_shown_view(r, str(s))}, {v:.1f} %" for (t, s), v in values.items()
        ),
    )
    half = max((c.cv.high - c.cv.low) / 2 for c in r.cells)
    return Section(
        heading=_every_layer(r),
        text=[method(r), *_beside(r)],
        figure=figure,
        caption=f"Cross-validated accuracy in % ({r.n_folds} folds of "
        f"{counted(r.n_train, f'training {r.noun}')}). 95 % intervals reach up to "
        f"{100 * half:.1f} points to each side; a tie is a paired difference to the highest within "
        "one standard error.",
    )


def _every_layer(r: ProfileResult) -> str:
    return "Every layer" if r.noun == "text" else "Every layer at every resolution"


def _beside(r: ProfileResult) -> list[str]:
    """What features that are not of the network reach, and whether the best layer beats them."""
    return [
        f"{cell.tap} reaches {cell.cv}; against the best layer, {r.best.tap}: {cell.behind} points "
        f"({significance(cell.behind)})."
        for cell in r.beside
    ]


def method(r: ProfileResult) -> str:
    """How the features were made."""
    if r.noun == "text":
        return (
            f"{r.data}, sentence encoder {r.backbone}: a linear SVM on each layer's features, "
            f"{NORMALISATIONS[r.settings.normalize]}."
        )
    views = "averaged over each image and its mirror image, " if r.settings.mirror else ""
    return (
        f"{r.data}, {r.backbone}: a linear SVM on each layer's features "
        f"({POOLINGS[r.settings.pooling]}), {views}{NORMALISATIONS[r.settings.normalize]}."
    )


def _curve(r: ProfileResult) -> Section | None:
    if len(r.taps) < 2:
        return None
    lines = []
    for view in r.views:
        row = [c for c in r.cells if c.view == view]
        lines.append(
            plots.Line(
                label=_shown_view(r, view),
                x=range(1, len(row) + 1),
                y=[c.cv.percent[0] for c in row],
                low=[c.cv.percent[1] for c in row],
                high=[c.cv.percent[2] for c in row],
            )
        )
    figure = plots.line_plot(
        lines,
        name="profile-curve",
        title="Accuracy over depth",
        description=depth_sentence(r),
        x_axis="layer, from input to output",
        y_axis="cross-validated accuracy, %",
        x_ticks=[(i + 1, tap) for i, tap in enumerate(r.taps)],
    )
    return Section(
        heading="From general to specific",
        text=[depth_sentence(r)],
        figure=figure,
        caption="Bars are 95 % intervals.",
    )


def _steps(r: ProfileResult) -> Section | None:
    steps = r.steps
    if len(steps) < 2:
        return None
    rows = [
        [
            f"{'+ ' * (i > 0)}{step.block}",
            words.bare_percent(step.cv),
            "" if step.gain is None else str(step.gain),
            "yes" if step.is_taken else "no",
        ]
        for i, step in enumerate(steps)
    ]
    rule = (
        "Starting from the best block, the one is added that gains most in cross-validation, every "
        "block counting the same. Of these sets the smallest is taken that ties with the most accurate "
        "(one standard error of the paired difference) and is at most one point lower."
    )
    part = ""
    if r.n_selected_on < r.n_train:
        part = f" Chosen on {r.n_selected_on:,} of the training {r.noun}s."
    return Section(
        heading="Blocks side by side",
        text=[f"{rule}{part}"],
        table=Table(
            header=["block", "accuracy, %", "gain, points", "taken"],
            rows=rows,
            chosen=sum(step.is_taken for step in steps) - 1,
        ),
        caption=f"Accuracy of the set up to and with this block, on held-out training {r.noun}s.",
    )


def _models(r: ProfileResult) -> Section:
    rows = [
        [
            model.name,
            f"{len(model.blocks)}",
            f"{model.n_features:,}",
            f"{model.C:g}",
            str(model.cv),
            str(model.test) if model.test else "",
            str(model.test_gain) if model.test_gain and i else "",
        ]
        for i, model in enumerate(r.models)
    ]
    joined = r.models[-1]
    text = [f"The concatenation holds {', '.join(joined.blocks)}."]
    if r.n_test:
        text.append(
            f"The {counted(r.n_test, f'test {r.noun}')} had no part in any choice and were scored once "
            "for each of the three. Differences are paired."
        )
    return Section(
        heading=f"On {r.noun}s not seen before",
        text=text,
        table=Table(
            header=[
                "",
                "blocks",
                "features",
                "C",
                "cross-validation",
                "test",
                "against the usual layer, points",
            ],
            rows=rows,
        ),
    )
