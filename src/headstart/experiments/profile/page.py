"""A layer profile as sections: the map, the curve over depth, the concatenation, the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart import plots
from headstart.heads import is_significant, significance
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table
from headstart.wording import counted, headline, points, signed_points

Found = Mapping[str, Any]


def profile_sentence(found: Found) -> str:
    """The headline: which blocks to take, how accurate they are, and against the usual layer."""
    usual, _, joined = found["models"]
    split = "test" if found["n_test"] else "cv"
    where = "on the test images" if found["n_test"] else "in cross-validation"
    n = len(joined["blocks"])
    taken = f"Take {joined['blocks'][0]}" if n == 1 else f"Take {n} blocks side by side"
    text = f"{taken}: {_value(joined[split])} {where}"
    if joined["blocks"] == usual["blocks"]:
        return f"{text}; it is the usual layer."
    gain = joined[f"{split}_gain"]
    if points(gain[0]) == "0.0":
        return f"{text}, as accurate as the usual layer."
    return headline(
        f"{text}, {signed_points(*gain)} points against the usual layer, "
        f"{usual['blocks'][0]} ({significance(gain)}).",
        f"{text}, {points(gain[0])} points against the usual layer ({significance(gain)}).",
    )


def profile_detail(found: Found) -> str:
    """What the usual layer, the best block and the concatenation reach."""
    usual, best, joined = found["models"]
    split = "test" if found["n_test"] else "cv"
    text = (
        f"The usual layer, {usual['blocks'][0]}, reaches {_value(usual[split])}; the best single "
        f"block, {best['blocks'][0]}, {_value(best[split])}"
    )
    n = len(joined["blocks"])
    if n == 1:
        return f"{text}. No larger set of blocks is better by more than one standard error or one point."
    return (
        f"{text}; {n} blocks side by side ({', '.join(joined['blocks'])}) {_value(joined[split])}."
    )


def profile_sections(found: Found) -> list[Section]:
    """Map, curve, concatenation and test, in this order."""
    sections = [_map(found), _curve(found), _steps(found), _models(found)]
    return [section for section in sections if section]


def depth_sentence(found: Found) -> str:
    """Where along the network the features suit the task, and whether the last layers lose."""
    best = next(c for c in found["cells"] if c["is_best"])
    taps = found["taps"]
    row = {c["tap"]: c for c in found["cells"] if c["view"] == best["view"]}
    first, last = row[taps[0]], row[taps[-1]]
    where = taps.index(best["tap"])
    text = (
        f"At {best['view']} px accuracy goes from {_value(first['cv'])} in {taps[0]} to "
        f"{_value(best['cv'])} in {best['tap']} (layer {where + 1} of {len(taps)})"
    )
    if best["tap"] == taps[-1]:
        return f"{text}, the last: no layer is too specific for this task."
    difference = last["behind"]
    lower = points(abs(difference[0]), sign=False)
    if points(difference[0]) == "0.0":
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


def _value(interval: Sequence[float]) -> str:
    return words.percent(interval[0])


def _map(found: Found) -> Section:
    values = {(c["tap"], c["view"]): 100 * c["cv"][0] for c in found["cells"]}
    marks = {
        (c["tap"], c["view"]): "best" if c["is_best"] else "tie"
        for c in found["cells"]
        if c["is_best"] or c["is_tie"]
    }
    figure = plots.layer_map(
        found["taps"],
        found["views"],
        values,
        marks=marks,
        name="profile-map",
        title="Accuracy of every layer at every resolution",
        description="; ".join(f"{t} at {s} px {v:.1f} %" for (t, s), v in values.items()),
    )
    half = max((c["cv"][2] - c["cv"][1]) / 2 for c in found["cells"])
    return Section(
        heading="Every layer at every resolution",
        text=[method(found)],
        figure=figure,
        caption=f"Cross-validated accuracy in % ({found['n_folds']} folds of "
        f"{counted(found['n_train'], 'training image')}). 95 % intervals reach up to "
        f"{100 * half:.1f} points to each side; a tie is a paired difference to the highest within "
        "one standard error.",
    )


def method(found: Found) -> str:
    """How the features were made."""
    views = "averaged over each image and its mirror image, " if found["mirror"] else ""
    return (
        f"{found['data']}, {found['backbone']}: a linear SVM on each layer's features "
        f"({found['pooling_line']}), {views}{found['normalize_line']}."
    )


def _curve(found: Found) -> Section | None:
    if len(found["taps"]) < 2:
        return None
    lines = []
    for view in found["views"]:
        row = [c for c in found["cells"] if c["view"] == view]
        lines.append(
            plots.Line(
                label=f"{view} px",
                x=range(1, len(row) + 1),
                y=[100 * c["cv"][0] for c in row],
                low=[100 * c["cv"][1] for c in row],
                high=[100 * c["cv"][2] for c in row],
            )
        )
    figure = plots.line_plot(
        lines,
        name="profile-curve",
        title="Accuracy over depth",
        description=depth_sentence(found),
        x_axis="layer, from input to output",
        y_axis="cross-validated accuracy, %",
        x_ticks=[(i + 1, tap) for i, tap in enumerate(found["taps"])],
    )
    return Section(
        heading="From general to specific",
        text=[depth_sentence(found)],
        figure=figure,
        caption="Bars are 95 % intervals.",
    )


def _steps(found: Found) -> Section | None:
    steps = found["steps"]
    if len(steps) < 2:
        return None
    rows = [
        [
            f"{'+ ' * (i > 0)}{step['block']}",
            words.bare_percent(step["cv"]),
            "" if step["gain"] is None else signed_points(*step["gain"]),
            "yes" if step["is_taken"] else "no",
        ]
        for i, step in enumerate(steps)
    ]
    rule = (
        "Starting from the best block, the one is added that gains most in cross-validation, every "
        "block counting the same. Of these sets the smallest is taken that ties with the most accurate "
        "(one standard error of the paired difference) and is at most one point lower."
    )
    part = ""
    if found["n_selected_on"] < found["n_train"]:
        part = f" Chosen on {found['n_selected_on']:,} of the training images."
    return Section(
        heading="Blocks side by side",
        text=[f"{rule}{part}"],
        table=Table(
            header=["block", "accuracy, %", "gain, points", "taken"],
            rows=rows,
            chosen=sum(step["is_taken"] for step in steps) - 1,
        ),
        caption="Accuracy of the set up to and with this block, on held-out training images.",
    )


def _models(found: Found) -> Section:
    rows = [
        [
            model["name"],
            f"{len(model['blocks'])}",
            f"{model['n_features']:,}",
            f"{model['C']:g}",
            _bounded(model["cv"]),
            _bounded(model["test"]) if model["test"] else "",
            signed_points(*model["test_gain"]) if model["test_gain"] and i else "",
        ]
        for i, model in enumerate(found["models"])
    ]
    joined = found["models"][-1]
    text = [f"The concatenation holds {', '.join(joined['blocks'])}."]
    if found["n_test"]:
        text.append(
            f"The {counted(found['n_test'], 'test image')} had no part in any choice and were scored once "
            "for each of the three. Differences are paired."
        )
    return Section(
        heading="On images not seen before",
        text=text,
        table=Table(
            header=[
                "", "blocks", "features", "C", "cross-validation, %", "test, %",
                "against the usual layer, points",
            ],
            rows=rows,
        ),
    )  # fmt: skip


def _bounded(interval: Sequence[float]) -> str:
    value, low, high = (100 * v for v in interval)
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"
