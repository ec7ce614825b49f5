"""What the nets of `headstart.experiments.layers.measure` show, in sentences computed from the intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.experiments.wording import percent, points, unsigned_points
from headstart.heads import Interval, is_significant, significance
from headstart.wording import listed

if TYPE_CHECKING:
    from headstart.experiments.layers.measure import Generality

# Training accuracy that far below base B's is said.
CLEARLY_LESS = 0.05


def findings(g: Generality) -> tuple[str, ...]:
    """A sentence for each question."""
    said = (_base(g), _co_adaptation(g), _specificity(g), _unfitted(g), _trained_on(g), _random(g))
    return tuple(text for text in said if text)


def _base(g: Generality) -> str:
    a, b = g.base_accuracy("A"), g.base_accuracy("B")
    text = f"Trained from nothing, the network recognises {percent(b)} of B's test images and {percent(a)} of A's."
    if b.value > 0.98:
        text += " B is nearly solved by it, which leaves little room for a drop to show."
    return text


def _co_adaptation(g: Generality) -> str:
    drops = {n: g.co_adaptation(n) for n in g.layers}
    clear = [n for n in g.layers if _is_gain(drops[n])]
    better = [n for n in g.layers if _is_loss(drops[n])]
    worst = max(g.layers, key=lambda n: drops[n].value)
    also = (
        f" Cut after {listed(better)}, BnB even beats base B, a sign that base B had not reached its "
        "best within the epochs given, which can hide co-adaptation."
        if better
        else ""
    )
    if not clear:
        return (
            "Co-adaptation did not appear: with B's own layers frozen and the rest trained again (BnB), no "
            f"loss is significant; the largest is {unsigned_points(drops[worst])}, up to {worst}.{also}"
        )
    return (
        f"Co-adaptation appears up to {listed(clear)}: frozen layers that are separated from those "
        f"they learnt with cost most, {unsigned_points(drops[worst])}, when cut after {worst}.{also}"
    )


def _specificity(g: Generality) -> str:
    drops = {n: g.specificity(n) for n in g.layers}
    clear = [n for n in g.layers if _is_gain(drops[n])]
    worst = max(g.layers, key=lambda n: drops[n].value)
    better = [n for n in g.layers if _is_loss(drops[n])]
    also = f" Up to {listed(better)} A's layers serve B better than B's own." if better else ""
    if not clear:
        return (
            "Specificity did not appear: layers learnt on A cost nothing significant against B's own; "
            f"the most is {unsigned_points(drops[worst])}, up to {worst}.{also}"
        )
    first = g.layers.index(clear[0])
    before = f" Up to {g.layers[first - 1]} none shows." if first else ""
    return (
        f"Specificity shows {_where(g, clear)}: layers learnt on A cost up to {unsigned_points(drops[worst])} "
        f"more than B's own, when cut after {worst}.{before}{also}"
    )


def _unfitted(g: Generality) -> str:
    """Where the new layers cannot even fit the training images, the drop is no lack of data."""
    own = g.train_accuracy("base B")
    found = [n for n in g.layers if own - g.train_accuracy("AnB", n) > CLEARLY_LESS]
    if not found:
        return ""
    worst = min(found, key=lambda n: g.train_accuracy("AnB", n))
    return (
        f"Cut after {listed(found)}, AnB does not fit B's training images either "
        f"({100 * g.train_accuracy('AnB', worst):.0f} % of them after {worst}, base B "
        f"{100 * own:.0f} %): what the new layers are given is not enough, or they would need longer "
        "training than the epochs given allow."
    )


def _trained_on(g: Generality) -> str:
    gains = {n: g.over_base("AnB+", n) for n in g.layers}
    clear = [n for n in g.layers if _is_gain(gains[n])]
    best = max(g.layers, key=lambda n: gains[n].value)
    own = g.over_own(best)
    if not clear:
        return (
            "A better start did not show: with A's layers trained on (AnB+) no net beats base B "
            f"significantly; the most is {points(gains[best])}, from {best}."
        )
    text = (
        f"Layers from A that are trained on (AnB+) beat base B from {listed(clear)}, most by "
        f"{points(gains[best])} from {best}. Against B's own layers trained on for as long (BnB+) that "
        f"is {points(own)}"
    )
    if _is_gain(own):
        return f"{text} (significant): A itself helps."
    return f"{text} ({significance(own)}): a gain of longer training, then, rather than of A."


def _random(g: Generality) -> str:
    gains = {n: g.over_random(n) for n in g.layers}
    first = next((n for n in g.layers if _is_gain(gains[n])), None)
    worse = [n for n in g.layers if _is_loss(gains[n])]
    last = g.layers[-1]
    cost = points(g.over_base("random", last))
    parts = []
    if first is not None:
        parts.append(
            f"Filters learnt on A beat random ones from {first} on ({points(gains[first])})"
        )
    elif not worse:
        parts.append("Filters learnt on A are not significantly better here than random ones")
    if worse:
        parts.append(
            f"up to {listed(worse)} random filters serve B better than A's "
            f"({points(gains[worse[-1]])} for A's)"
        )
    parts.append(f"all layers random up to {last} come to {cost} against base B")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def sentence(g: Generality) -> str:
    """The headline: what copying all layers costs, and whether that is significant."""
    last = g.layers[-1]
    change = g.over_base("AnB", last)
    return (
        f"With all layers up to {last} copied from A and frozen, accuracy on B changes by "
        f"{points(change)} ({significance(change)})."
    )


def detail(g: Generality) -> str:
    """Where co-adaptation and specificity show."""
    co = [n for n in g.layers if _is_gain(g.co_adaptation(n))]
    specific = [n for n in g.layers if _is_gain(g.specificity(n))]
    if not co and not specific:
        return "Neither co-adaptation nor specificity is significant at any layer."
    parts = [
        f"{name} is significant {_where(g, found)}" if found else f"{name} is not significant"
        for name, found in (("Specificity", specific), ("co-adaptation", co))
    ]
    return f"{'; '.join(parts)}."


def _is_gain(difference: Interval) -> bool:
    return is_significant(difference) and difference.value > 0


def _is_loss(difference: Interval) -> bool:
    return is_significant(difference) and difference.value < 0


def _where(g: Generality, clear: list[str]) -> str:
    """``from conv3 on``, or the layers by name where a later one does not show it."""
    first = g.layers.index(clear[0])
    return f"from {clear[0]} on" if tuple(clear) == g.layers[first:] else f"at {listed(clear)}"
