"""The rule's advice: the four quadrants with the data as a dot, then what was measured."""

from __future__ import annotations

from headstart import plots
from headstart.comparison.result import ComparisonResult
from headstart.experiments.advice.result import ADVICE, AdviceResult, Depth, Regime, Rule
from headstart.heads import is_significant, significance
from headstart.plots.quadrants import quadrant_plot
from headstart.runs.report.comparison import cells
from headstart.runs.report.pages import Section, Table
from headstart.wording import headline

# What each arm of a comparison does, in the rule's terms.
_KIND_OF_ARM = {
    "linear SVM": "a linear classifier on the penultimate layer",
    "linear SVM, joined": "a linear SVM that sees earlier layers too",
    "output": "a new output layer, trained",
    "upper": "fine-tuning of a few layers",
    "lower": "fine-tuning of the lower layers",
    "all": "fine-tuning of all layers",
    "scratch": "training from scratch",
}


def title(r: AdviceResult) -> str:
    """The question."""
    return f"What to do with {r.data}"


def sentence(r: AdviceResult) -> str:
    """What measured best, beside the rule; without trainings the rule's advice."""
    return rule_headline(r.rule) if r.regime is None else regime_verdict(r.regime)


def detail(r: AdviceResult) -> str:
    """Where the data lie, and whether earlier layers do what the rule says of them."""
    return f"{rule_sentence(r.rule)} {depth_verdict(r.rule, r.depth)}"


def sections(r: AdviceResult) -> list[Section]:
    """Quadrants, layers, and regimes where these were measured."""
    found = [_quadrants(r)]
    if r.depth:
        found.append(_depth(r, r.depth))
    if r.comparison and r.regime:
        found.append(_regimes(r.comparison, regime_verdict(r.regime)))
    return found


def brief(r: AdviceResult) -> list[Section]:
    """What the terminal shows."""
    rule = r.rule
    much, far = "much" if r.has_much else "little", "unlike" if r.is_far else "like"
    size = f"{rule.n_per_class:.0f} a class: {much} (much from {rule.much:g}, a convention)"
    place = f"{rule.distance:.3f} to the source: {far} (unlike from {rule.far:.3f}, a convention)"
    return [Section(heading="", text=[f"images   {size}", f"distance {place}"])]


def rule_headline(rule: Rule) -> str:
    """The advice, and why."""
    much, far = rule.quadrant
    why = f"{'much' if much else 'little'} data, {'unlike' if far else 'like'} the source"
    return f"The rule advises: {rule.advice} ({why})."


def rule_sentence(rule: Rule) -> str:
    """Place and advice."""
    much, far = rule.quadrant
    return (
        f"The rule: {'much' if much else 'little'} data ({rule.n_per_class:.0f} images per class), "
        f"{'unlike' if far else 'like'} the source (distance {rule.distance:.2f}, unlike from "
        f"{rule.far:.2f}): {rule.advice}."
    )


def depth_verdict(rule: Rule, found: Depth | None) -> str:
    """Whether earlier layers do what the rule says of them."""
    if found is None:
        return "One layer only: there is no earlier one to measure."
    _, far = rule.quadrant
    better = found.is_earlier_better
    if better is None:
        verdict = ": that earlier layers suit unlike data better does not show here" * far
    elif better == far:
        verdict = ", as the rule says"
    elif better:
        verdict = ", against the rule, which keeps earlier layers for unlike data"
    else:
        verdict = ", against the rule, by which earlier layers suit unlike data better"
    return (
        f"Measured by cross-validation: {found.gain} points with {found.early} rather than "
        f"{found.late} ({significance(found.gain)}){verdict}."
    )


def regime_verdict(found: Regime) -> str:
    """Whether the regime that measured best is the one that the rule advises."""
    best, kind = found.taken, _KIND_OF_ARM.get(found.taken, found.taken)
    if found.advised is None:
        return f"Measured: take {kind} ({best}); what the rule advises was not among the arms."
    if found.gain is None:
        return f"Measured: take {kind} ({best}), as the rule says."
    if is_significant(found.gain):
        return (
            f"Measured: take {best}, against the rule: {found.gain} points over {found.advised} on "
            "the validation images (significant)."
        )
    text = (
        f"Measured: take {best}, {found.gain} points against the rule's {found.advised} on the "
        "validation images (not significant)"
    )
    return headline(f"{text}{', and cheaper' * found.is_cheaper}.", f"{text}.")


def _quadrants(r: AdviceResult) -> Section:
    rule = r.rule
    figure = quadrant_plot(
        (rule.n_per_class, rule.distance),
        (rule.much, rule.far),
        ADVICE,
        label=r.data,
        references=r.references,
        x_axis="training images per class",
        y_axis="distance to the source (symmetric KL)",
        name="advice-quadrants",
        title="Size and similarity: what the rule advises",
        description=rule_sentence(rule),
    )
    network = "measured with the same network" if r.references else "those of the embedded network"
    return Section(
        heading="Where your data lie",
        text=[rule_sentence(rule)],
        figure=figure,
        caption=f"The rule is that of the course CS231n. Its thresholds are conventions: much data "
        f"from {rule.much:g} images per class; unlike the source from {rule.far:.2f}, half-way "
        f"on a logarithmic scale between photographs and handwritten digits, {network}.",
    )


def _depth(r: AdviceResult, depth: Depth) -> Section:
    rows = [
        plots.IntervalRow.of_shares(f"{depth.early} (best earlier layer)", depth.early_cv),
        plots.IntervalRow.of_shares(f"{depth.late} (penultimate layer)", depth.late_cv),
    ]
    figure = plots.interval_plot(
        rows,
        name="advice-depth",
        title="Earlier layers against the last",
        axis="cross-validated accuracy, %",
    )
    return Section(
        heading="Do earlier layers suit these images better?",
        text=[depth_verdict(r.rule, depth)],
        figure=figure,
        caption=f"Paired difference: {depth.gain} points. The earlier layer is the best of "
        "several, which favours it a little.",
    )


def _regimes(comparison: ComparisonResult, verdict: str) -> Section:
    header = ["", "validation", "test", "over the seeds", f"against {comparison.reference}"]
    return Section(
        heading="What measured best",
        text=[verdict],
        table=Table(
            header=[*header, "seconds", "trained"],
            rows=[cells(row, comparison) for row in comparison.arms],
            chosen=next(i for i, row in enumerate(comparison.arms) if row.is_taken),
        ),
        caption="Accuracies in %, differences in points. * the quickest within one standard error of "
        "the best on the validation images.",
    )
