"""Which layers are general and which specific, as a page."""

from __future__ import annotations

from headstart import plots
from headstart.experiments.layers.result import (
    KINDS,
    LABELS,
    PUBLISHED,
    PUBLISHED_BASE,
    PUBLISHED_NAME,
    Layer,
    LayersResult,
)
from headstart.heads import is_significant, significance
from headstart.plots.lines import Line, line_plot
from headstart.results import Interval
from headstart.runs.report.pages import Section, Table
from headstart.wording import counted, listed, unsigned_points

_WIDTH = 640.0
# Training accuracy that far below base B's is said.
CLEARLY_LESS = 0.05


def title(g: LayersResult) -> str:
    """The question."""
    return "Which layers transfer"


def sentence(g: LayersResult) -> str:
    """The headline: what copying all layers costs, and whether that is significant."""
    last = g.layers[-1].layer
    change = g.layers[-1].over_base["transfer"]
    return (
        f"With all layers up to {last} copied from A and frozen, accuracy on B changes by "
        f"{change} points ({significance(change)})."
    )


def detail(g: LayersResult) -> str:
    """Where co-adaptation and specificity show."""
    co = [row.layer for row in g.layers if _is_gain(row.co_adaptation)]
    specific = [row.layer for row in g.layers if _is_gain(row.specificity)]
    if not co and not specific:
        return "Neither co-adaptation nor specificity is significant at any layer."
    parts = [
        f"{name} is significant {_where(g, found)}" if found else f"{name} is not significant"
        for name, found in (("Specificity", specific), ("co-adaptation", co))
    ]
    return f"{'; '.join(parts)}."


def sections(r: LayersResult) -> list[Section]:
    """Findings, three figures, the table and how it was measured."""
    return [
        Section(heading="What was found", text=findings(r)),
        _accuracies(r),
        _drops(r),
        _published(r),
        Section(heading="All figures", text=[_kinds()], table=_table(r)),
        Section(heading="How it was measured", text=_how(r)),
    ]


def brief(r: LayersResult) -> list[Section]:
    """What the terminal shows."""
    rows = [_cells(row) for row in r.layers]
    header = ["up to", *LABELS.values(), "co-adapt.", "specific."]
    caption = (
        f"accuracy on B in %; base B {r.base_b.percent[0]:.1f}. Points lost: to co-adaptation "
        "(base B less BnB)\nand to specificity (BnB less AnB), with intervals that hold for all "
        "layers together"
    )
    return [
        Section(
            heading="", table=Table(header=header, rows=rows), caption=caption, text=findings(r)
        )
    ]


def findings(g: LayersResult) -> tuple[str, ...]:
    """A sentence for each question."""
    said = (_base(g), _co_adaptation(g), _specificity(g), _unfitted(g), _trained_on(g), _random(g))
    return tuple(text for text in said if text)


def _base(g: LayersResult) -> str:
    a, b = g.base_a, g.base_b
    text = f"Trained from random weights, the network recognises {b} of B's test images and {a} of A's."
    if b.value > 0.98:
        text += " B is nearly solved by it, which leaves little room for a drop to show."
    return text


def _co_adaptation(g: LayersResult) -> str:
    drops = {row.layer: row.co_adaptation for row in g.layers}
    clear = [n for n in _names(g) if _is_gain(drops[n])]
    better = [n for n in _names(g) if _is_loss(drops[n])]
    worst = max(_names(g), key=lambda n: drops[n].value)
    also = (
        f" Cut after {listed(better)}, BnB even beats base B, a sign that base B had not reached its "
        "best within the epochs given, which can hide co-adaptation."
        if better
        else ""
    )
    if not clear:
        return (
            "Co-adaptation did not appear: with B's own layers frozen and the rest trained again (BnB), no "
            f"loss is significant; the largest is {unsigned_points(*drops[worst])} points, up to {worst}.{also}"
        )
    return (
        f"Co-adaptation appears up to {listed(clear)}: frozen layers that are separated from those "
        f"they learnt with cost most, {unsigned_points(*drops[worst])} points, when cut after {worst}.{also}"
    )


def _specificity(g: LayersResult) -> str:
    drops = {row.layer: row.specificity for row in g.layers}
    clear = [n for n in _names(g) if _is_gain(drops[n])]
    worst = max(_names(g), key=lambda n: drops[n].value)
    better = [n for n in _names(g) if _is_loss(drops[n])]
    also = f" Up to {listed(better)} A's layers serve B better than B's own." if better else ""
    if not clear:
        return (
            "Specificity did not appear: layers learnt on A cost nothing significant against B's own; "
            f"the most is {unsigned_points(*drops[worst])} points, up to {worst}.{also}"
        )
    first = _names(g).index(clear[0])
    before = f" Up to {_names(g)[first - 1]} none shows." if first else ""
    return (
        f"Specificity shows {_where(g, clear)}: layers learnt on A cost up to {unsigned_points(*drops[worst])} points "
        f"more than B's own, when cut after {worst}.{before}{also}"
    )


def _unfitted(g: LayersResult) -> str:
    """Where the new layers cannot even fit the training images, the drop is not for lack of data."""
    own, fitted = g.train_accuracy, {row.layer: row.train_accuracy["transfer"] for row in g.layers}
    found = [n for n in _names(g) if own - fitted[n] > CLEARLY_LESS]
    if not found:
        return ""
    worst = min(found, key=lambda n: fitted[n])
    return (
        f"Cut after {listed(found)}, AnB does not fit B's training images either "
        f"({100 * fitted[worst]:.0f} % of them after {worst}, base B "
        f"{100 * own:.0f} %): what the new layers are given is not enough, or they would need longer "
        "training than the epochs given allow."
    )


def _trained_on(g: LayersResult) -> str:
    gains = {row.layer: row.over_base["transfer_tuned"] for row in g.layers}
    clear = [n for n in _names(g) if _is_gain(gains[n])]
    best = max(_names(g), key=lambda n: gains[n].value)
    own = next(row.over_own for row in g.layers if row.layer == best)
    if not clear:
        return (
            "A better start did not show: with A's layers trained further (AnB+) no net beats base B "
            f"significantly; the most is {gains[best]} points, from {best}."
        )
    text = (
        f"Layers from A that are trained further (AnB+) beat base B from {listed(clear)}, most by "
        f"{gains[best]} points from {best}. Against B's own layers trained further for as long (BnB+) that "
        f"is {own} points"
    )
    if _is_gain(own):
        return f"{text} (significant): A itself helps."
    return f"{text} ({significance(own)}): a gain of longer training, then, rather than of A."


def _random(g: LayersResult) -> str:
    gains = {row.layer: row.over_random for row in g.layers}
    first = next((n for n in _names(g) if _is_gain(gains[n])), None)
    worse = [n for n in _names(g) if _is_loss(gains[n])]
    last = g.layers[-1].layer
    cost = f"{g.layers[-1].over_base['random']} points"
    parts = []
    if first is not None:
        parts.append(
            f"Filters learnt on A beat random ones from {first} on ({gains[first]} points)"
        )
    elif not worse:
        parts.append("Filters learnt on A are not significantly better here than random ones")
    if worse:
        parts.append(
            f"up to {listed(worse)} random filters serve B better than A's "
            f"({gains[worse[-1]]} points for A's)"
        )
    parts.append(f"all layers random up to {last} come to {cost} against base B")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _is_gain(difference: Interval) -> bool:
    return is_significant(difference) and difference.value > 0


def _is_loss(difference: Interval) -> bool:
    return is_significant(difference) and difference.value < 0


def _names(g: LayersResult) -> tuple[str, ...]:
    return tuple(row.layer for row in g.layers)


def _where(g: LayersResult, clear: list[str]) -> str:
    """``from conv3 on``, or the layers by name where a later one does not show it."""
    first = _names(g).index(clear[0])
    return f"from {clear[0]} on" if tuple(clear) == _names(g)[first:] else f"at {listed(clear)}"


def _how(r: LayersResult) -> list[str]:
    """Data, network, training and intervals in words."""
    n_seeds = len(r.seeds)
    n_a, n_b = r.n_train
    crop = f" (crop: {r.settings.crop})" if r.settings.crop else ""
    data = (
        f"A: {r.a}, {counted(n_a, 'training image')}. B: {r.b}, {n_b:,} training and "
        f"{counted(r.n_test, 'test image')}. {r.backbone} from random weights, images of "
        f"{r.size_px} px{crop}, {r.settings.epochs} epochs of {r.training['optimizer']} at "
        f"{r.settings.lr:g}, augmentation {r.training['augment']}, "
        f"{n_seeds} {'seeds' if n_seeds > 1 else 'seed'}. All nets of a seed are trained alike; the "
        "new layers of a seed are the same random ones for every kind and cut."
    )
    frozen = (
        "Frozen means frozen: weights, BatchNorm's weight and bias and its running statistics were "
        "hashed before and after. The random filters' BatchNorm statistics were taken from B's "
        "training images first, without labels."
    )
    intervals = (
        "Accuracies carry 95 % intervals. Differences are paired over seeds and test images, and "
        f"their intervals hold for all {len(r.layers)} layers together with 95 % (Bonferroni). "
        "Few seeds estimate the spread between seeds poorly: more `seeds` estimate it better."
    )
    return [data, frozen, intervals, *r.notes]


def _cells(row: Layer) -> list[str]:
    """One layer as the texts of a table's row: accuracies in %, drops in points."""
    accuracies = [f"{row.accuracy[kind].percent[0]:.1f}" for kind in KINDS]
    return [
        row.layer,
        *accuracies,
        str(row.co_adaptation),
        str(row.specificity),
    ]


def _ticks(r: LayersResult) -> list[tuple[float, str]]:
    names = [(float(n), row.layer) for n, row in enumerate(r.layers, start=1)]
    return [(0.0, "none"), *names]


def _accuracies(r: LayersResult) -> Section:
    rows, base = r.layers, r.base_b.percent[0]
    xs = [float(n) for n in range(len(rows) + 1)]
    lines = [
        Line(label="base B", x=xs, y=[base] * len(xs), has_points=False, is_faint=True),
        *(_line(r, kind) for kind in KINDS),
    ]
    last = rows[-1].accuracy
    figure = line_plot(
        lines,
        name="accuracies",
        title="Accuracy on B by the number of layers copied",
        description=f"base B {base:.1f} %; with all layers copied "
        + ", ".join(f"{LABELS[kind]} {last[kind].percent[0]:.1f} %" for kind in KINDS),
        x_axis="layers copied, up to and including",
        y_axis="accuracy on B's test images, %",
        x_ticks=_ticks(r),
        width=_WIDTH,
    )
    return Section(
        heading="Accuracy by layers copied",
        figure=figure,
        caption="Mean of the seeds with 95 % intervals. BnB: B's own layers; AnB: layers from A; +: "
        "trained further, else frozen; random: random filters, frozen.",
    )


def _line(r: LayersResult, kind: str) -> Line:
    y, low, high = zip(*(row.accuracy[kind].percent for row in r.layers), strict=True)
    x = [float(n) for n in range(1, len(y) + 1)]
    return Line(label=LABELS[kind], x=x, y=y, low=low, high=high)


def _drops(r: LayersResult) -> Section:
    rows = [
        plots.IntervalRow.of_shares(f"{part} to {row.layer}", getattr(row, field))
        for field, part in (("co_adaptation", "co-adaptation"), ("specificity", "specificity"))
        for row in r.layers
    ]
    figure = plots.interval_plot(
        rows,
        name="drops",
        title="The drop and its parts",
        axis="points of accuracy lost on B",
        zero=True,
        width=480,
    )
    return Section(
        heading="The drop and its parts",
        figure=figure,
        caption="Co-adaptation: base B less BnB. Specificity: BnB less AnB. Right of the dashed line "
        "accuracy is lost. The intervals hold for all layers together with 95 %.",
    )


def _published(r: LayersResult) -> Section:
    """Own and published drops over the share of layers copied: the two nets differ in depth."""
    n, base = len(r.layers), r.base_b.value
    own = [
        Line(
            label=f"{LABELS[kind]} here",
            x=[(i + 1) / (n + 1) for i in range(n)],
            y=[100 * (row.accuracy[kind].value - base) for row in r.layers],
        )
        for kind in PUBLISHED
    ]
    published = [
        Line(
            label=f"{LABELS[kind]} published",
            x=[(i + 1) / (len(values) + 1) for i in range(len(values))],
            y=[v - PUBLISHED_BASE for v in values],
            is_faint=True,
        )
        for kind, values in PUBLISHED.items()
    ]
    figure = line_plot(
        [*own, *published],
        name="published",
        title="Beside the published experiment",
        description="Accuracy less that of base B over the share of layers copied, here and published",
        x_axis="share of the network's layers that were copied",
        y_axis="points against base B",
        width=_WIDTH,
    )
    return Section(
        heading="Beside the published experiment",
        figure=figure,
        caption=f"Faint: {PUBLISHED_NAME}, AlexNet, the means of the authors' training logs "
        "(base 62.6 %; AnB+ rests on one or two runs a point). Other data, another network and far "
        "more images: the shapes may be compared, the sizes not.",
    )


def _kinds() -> str:
    return "; ".join(f"{LABELS[kind]}: {line}" for kind, line in KINDS.items()) + "."


def _table(r: LayersResult) -> Table:
    header = ["up to", *LABELS.values(), "co-adaptation", "specificity"]
    base = f"{r.base_b.percent[0]:.1f}"
    first = ["base B", base, *[""] * (len(header) - 2)]
    return Table(header=header, rows=[first, *(_cells(row) for row in r.layers)])
