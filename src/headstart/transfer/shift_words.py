"""What `headstart.transfer.shift` measured, in sentences computed from the intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.transfer.adaptation import ADAPTED, BOUND, CONTROL, PLAIN
from headstart.transfer.wording import percent, points, unsigned_points
from headstart.wording import listed

if TYPE_CHECKING:
    from headstart.transfer.shift import Shift


def findings(s: Shift) -> tuple[str, ...]:
    """A sentence for each question."""
    return (_cost(s), *(_method(s, name) for name in ADAPTED), _bound(s))


def _cost(s: Shift) -> str:
    cost, here, there = s.cost, s.source, s.accuracy(PLAIN)
    both = f"{percent(here)} on the source's held-out images, {percent(there)} on the target's"
    if cost.low > 0:
        return f"The shift costs {unsigned_points(cost)}: {both}."
    if cost.high < 0:
        return f"The target is easier than the source: {both}."
    return f"The shift costs nothing that can be told from the noise: {both}."


def _method(s: Shift, name: str) -> str:
    if name not in s.correct:
        return f"{name} is not available: {s.absent[name]}."
    gain = s.gain(name)
    if gain.low > 0:
        said = f"{name} gains {points(gain)} over no adaptation"
    elif gain.high < 0:
        said = f"{name} harms: {points(gain)} against no adaptation"
    else:
        said = f"{name}: no gain that can be told from the noise, {points(gain)}"
    if name == "DANN":
        said += f"; its adversary alone brings {points(s.gain('DANN', CONTROL))}"
    if name == "AdaBN" and (at_home := s.adabn_at_home) is not None:
        said += (
            "; on the source itself, where nothing has shifted, statistics taken anew bring "
            f"{points(at_home)}"
        )
    return f"{said}."


def _bound(s: Shift) -> str:
    room = s.gain(BOUND)
    if room.low <= 0 and s.cost.low > 0:
        return (
            f"Labels of the target's {s.n_train[1]:,} training images would bring {points(room)}: not "
            "even they win back from these features what the shift costs, as far as can be told."
        )
    if room.low <= 0:
        return f"Labels of the target would bring {points(room)}: there is little or nothing to adapt to."
    best = max((n for n in ADAPTED if n in s.correct), key=lambda n: s.gain(n).value)
    share = max(s.gain(best).value, 0.0) / room.value
    return (
        f"Labels of the target's {s.n_train[1]:,} training images would bring {points(room)}; the "
        f"best of the adaptations wins back {100 * share:.0f} % of that."
    )


def sentence(s: Shift) -> str:
    """The answer."""
    gains = {n: s.gain(n) for n in ADAPTED if n in s.correct}
    clear = [n for n in gains if gains[n].low > 0]
    if s.cost.high < 0:
        start = "The target is no harder than the source"
    elif s.cost.low <= 0:
        start = "The shift costs nothing that can be told from the noise"
    else:
        start = f"The shift costs {unsigned_points(s.cost)}"
    if not clear:
        harmed = [n for n in gains if gains[n].high < 0]
        tail = f"; {listed(harmed)} {'harms' if len(harmed) == 1 else 'harm'}" if harmed else ""
        return f"{start}; no gain from adaptation without labels{tail}."
    best = max(clear, key=lambda n: gains[n].value)
    rest = [n for n in clear if n != best]
    also = f", and {listed(rest)} too" if rest else ""
    return f"{start}; {best} wins back {points(gains[best])} without a label{also}."
