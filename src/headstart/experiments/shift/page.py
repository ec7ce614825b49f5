"""Accuracy across a shift of domain, as a page."""

from __future__ import annotations

from headstart import plots
from headstart.experiments.shift.result import ADAPTED, BOUND, PLAIN, Method, ShiftResult
from headstart.heads import is_significant, significance
from headstart.results import Difference, Interval
from headstart.runs.report.pages import Section, Table
from headstart.wording import counted, listed, unsigned_points


def title(r: ShiftResult) -> str:
    """The question."""
    return "Across a shift of domain"


def sentence(r: ShiftResult) -> str:
    """The headline: what the shift costs, and whether an adaptation wins it back."""
    gains = r.gains()
    clear = [n for n in gains if is_significant(gains[n]) and gains[n].value > 0]
    if not is_significant(r.cost):
        start = "The shift costs nothing significant"
    elif r.cost.value < 0:
        start = "The target is no harder than the source"
    else:
        start = f"The shift costs {_unsigned(r.cost)}"
    if not clear:
        harmed = [n for n in gains if is_significant(gains[n]) and gains[n].value < 0]
        tail = f"; {listed(harmed)} harm{'s' * (len(harmed) == 1)}" if harmed else ""
        return f"{start}; no adaptation without labels gains significantly{tail}."
    best = max(clear, key=lambda n: gains[n].value)
    rest = [n for n in clear if n != best]
    also = f", and {listed(rest)} too" if rest else ""
    return f"{start}; {best} wins back {_unsigned(gains[best])} without labels{also}."


def detail(r: ShiftResult) -> str:
    """Nothing: every finding has a sentence of its own."""
    return ""


def sections(r: ShiftResult) -> list[Section]:
    """Findings, the figure with the table, and how it was measured."""
    return [
        Section(heading="What was found", text=findings(r)),
        Section(
            heading="Accuracy on the target",
            figure=_figure(r),
            caption="Held-out images, 95 % intervals. The first line is the source's own held-out "
            "images, the others are the target's.",
            table=_table(r),
        ),
        Section(heading="What was compared", text=_lines(r)),
        Section(heading="How it was measured", text=_how(r)),
    ]


def brief(r: ShiftResult) -> list[Section]:
    """What the terminal shows."""
    caption = "on held-out images; points against no adaptation, paired"
    return [Section(heading="", table=_table(r), caption=caption, text=findings(r))]


def findings(r: ShiftResult) -> tuple[str, ...]:
    """A sentence for each question."""
    return (_cost(r), *(_method(r, name) for name in ADAPTED), _bound(r))


def _cost(r: ShiftResult) -> str:
    cost, here, there = r.cost, r.source, r.method(PLAIN).accuracy
    both = f"{here} on the source's held-out images, {there} on the target's"
    if not is_significant(cost):
        return f"The shift costs nothing significant, {cost} points: {both}."
    if cost.value > 0:
        return f"The shift costs {_unsigned(cost)} (significant): {both}."
    return f"The target is significantly easier than the source: {both}."


def _method(r: ShiftResult, name: str) -> str:
    gain = r.method(name).gain
    if gain is None:
        return f"{name} is not available: {r.method(name).absent}."
    if not is_significant(gain):
        said = f"{name} changes accuracy by {gain} points (not significant)"
    elif gain.value > 0:
        said = f"{name} gains {gain} points over no adaptation (significant)"
    else:
        said = f"{name} harms: {gain} points against no adaptation (significant)"
    if name == "DANN":
        adversary = r.adversary
        said += f"; its adversary alone brings {adversary} points ({significance(adversary)})"
    if name == "AdaBN" and (at_home := r.adabn_at_home) is not None:
        said += (
            "; on the source itself, where nothing has shifted, re-estimated statistics bring "
            f"{at_home} points ({significance(at_home)})"
        )
    return f"{said}."


def _bound(r: ShiftResult) -> str:
    room = r.method(BOUND).gain
    assert room is not None
    is_costly = is_significant(r.cost) and r.cost.value > 0
    is_gain = is_significant(room) and room.value > 0
    if not is_gain and is_costly:
        return (
            f"Labels of the target's {counted(r.n_train[1], 'training image')} would bring {room} points "
            f"({significance(room)}): not even they win back from these features what the shift costs."
        )
    if not is_gain:
        return (
            f"Labels of the target would bring {room} points ({significance(room)}): there is little "
            "or nothing to adapt to."
        )
    best = max(gain.value for gain in r.gains().values())
    share = max(best, 0.0) / room.value
    return (
        f"Labels of the target's {counted(r.n_train[1], 'training image')} would bring {room} points; the "
        f"best of the adaptations wins back {100 * share:.0f} % of that."
    )


def _unsigned(loss: Difference) -> str:
    return f"{unsigned_points(*loss)} points"


def _how(r: ShiftResult) -> list[str]:
    """Data, network and intervals in words."""
    (n_source, n_target), (n_source_test, n_target_test) = r.n_train, r.n_test
    n_seeds = len(r.seeds)
    data = (
        f"Source: {r.source_name}, {n_source:,} training and {n_source_test:,} held-out images. "
        f"Target: {r.target_name}, {counted(n_target, 'training image')}, whose labels only the last "
        f"line uses, and {n_target_test:,} held-out images, which no method sees. {r.backbone}, "
        f"layer {r.tap}, {r.size_px} px, frozen."
    )
    choice = (
        "C of each SVM is chosen by cross-validation on what it is trained on. Nothing is chosen by the "
        "target's labels, and so nothing here says beforehand which adaptation to take."
    )
    intervals = (
        "Gains are paired on the same images, and their intervals hold for the three adaptations "
        f"together with 95 % (Bonferroni). DANN is trained with {n_seeds} "
        f"{'seeds' if n_seeds > 1 else 'seed'}; the others draw nothing."
    )
    return [data, choice, intervals, *r.notes]


def _cells(row: Method) -> list[str]:
    """One method as the texts of a table's row: accuracy in %, gain in points."""
    if row.accuracy is None:
        return [row.name, "not available", ""]
    return [row.name, str(row.accuracy), str(row.gain) if row.gain else ""]


def _source_cells(r: ShiftResult) -> list[str]:
    """The source's own held-out images as a row."""
    return ["on the source itself", str(r.source), ""]


def _table(r: ShiftResult) -> Table:
    return Table(
        header=["", "accuracy", "points against no adaptation"],
        rows=[_source_cells(r), *(_cells(row) for row in r.methods)],
    )


def _figure(r: ShiftResult) -> str:
    named: list[tuple[str, Interval]] = [("on the source itself", r.source)]
    named += [(row.name, row.accuracy) for row in r.methods if row.accuracy]
    rows = [plots.IntervalRow.of_shares(name, shares) for name, shares in named]
    return plots.interval_plot(
        rows,
        name="accuracies",
        title="Accuracy on held-out images",
        axis="accuracy",
        width=480,
    )


def _lines(r: ShiftResult) -> list[str]:
    lines = []
    for row in r.methods:
        why = f" Not available: {row.absent}." if row.absent else ""
        lines.append(f"{row.name}: {row.line}.{why}")
    return lines
