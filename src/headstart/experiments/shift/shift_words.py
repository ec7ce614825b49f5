"""What `headstart.experiments.shift.measure` measured, in sentences computed from the intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.experiments.shift.adaptation import ADAPTED, BOUND, CONTROL, PLAIN
from headstart.experiments.wording import percent, points, unsigned_points
from headstart.heads import is_significant, significance
from headstart.wording import counted, listed

if TYPE_CHECKING:
    from headstart.experiments.shift.measure import Shift


def findings(s: Shift) -> tuple[str, ...]:
    """A sentence for each question."""
    return (_cost(s), *(_method(s, name) for name in ADAPTED), _bound(s))


def _cost(s: Shift) -> str:
    cost, here, there = s.cost, s.source, s.accuracy(PLAIN)
    both = f"{percent(here)} on the source's held-out images, {percent(there)} on the target's"
    if not is_significant(cost):
        return f"The shift costs nothing significant, {points(cost)}: {both}."
    if cost.value > 0:
        return f"The shift costs {unsigned_points(cost)} (significant): {both}."
    return f"The target is significantly easier than the source: {both}."


def _method(s: Shift, name: str) -> str:
    if name not in s.correct:
        return f"{name} is not available: {s.absent[name]}."
    gain = s.gain(name)
    if not is_significant(gain):
        said = f"{name} changes accuracy by {points(gain)} (not significant)"
    elif gain.value > 0:
        said = f"{name} gains {points(gain)} over no adaptation (significant)"
    else:
        said = f"{name} harms: {points(gain)} against no adaptation (significant)"
    if name == "DANN":
        adversary = s.gain("DANN", CONTROL)
        said += f"; its adversary alone brings {points(adversary)} ({significance(adversary)})"
    if name == "AdaBN" and (at_home := s.adabn_at_home) is not None:
        said += (
            "; on the source itself, where nothing has shifted, re-estimated statistics bring "
            f"{points(at_home)} ({significance(at_home)})"
        )
    return f"{said}."


def _bound(s: Shift) -> str:
    room = s.gain(BOUND)
    is_costly = is_significant(s.cost) and s.cost.value > 0
    is_gain = is_significant(room) and room.value > 0
    if not is_gain and is_costly:
        return (
            f"Labels of the target's {counted(s.n_train[1], 'training image')} would bring {points(room)} "
            f"({significance(room)}): not even they win back from these features what the shift costs."
        )
    if not is_gain:
        return (
            f"Labels of the target would bring {points(room)} ({significance(room)}): there is little "
            "or nothing to adapt to."
        )
    best = max((n for n in ADAPTED if n in s.correct), key=lambda n: s.gain(n).value)
    share = max(s.gain(best).value, 0.0) / room.value
    return (
        f"Labels of the target's {counted(s.n_train[1], 'training image')} would bring {points(room)}; the "
        f"best of the adaptations wins back {100 * share:.0f} % of that."
    )


def sentence(s: Shift) -> str:
    """The headline: what the shift costs, and whether an adaptation wins it back."""
    gains = {n: s.gain(n) for n in ADAPTED if n in s.correct}
    clear = [n for n in gains if is_significant(gains[n]) and gains[n].value > 0]
    if not is_significant(s.cost):
        start = "The shift costs nothing significant"
    elif s.cost.value < 0:
        start = "The target is no harder than the source"
    else:
        start = f"The shift costs {unsigned_points(s.cost)}"
    if not clear:
        harmed = [n for n in gains if is_significant(gains[n]) and gains[n].value < 0]
        tail = f"; {listed(harmed)} harm{'s' * (len(harmed) == 1)}" if harmed else ""
        return f"{start}; no adaptation without labels gains significantly{tail}."
    best = max(clear, key=lambda n: gains[n].value)
    rest = [n for n in clear if n != best]
    also = f", and {listed(rest)} too" if rest else ""
    return f"{start}; {best} wins back {unsigned_points(gains[best])} without labels{also}."
