from __future__ import annotations

from headstart.experiments.wording import percent, points, triple, unsigned_points
from headstart.heads import Interval

SOME = Interval(0.012, -0.0004, 0.019)


def test_wording__intervals() -> None:
    assert percent(Interval(0.62, 0.581, 0.657)) == "62.0 % [58.1, 65.7]"
    assert points(SOME) == "+1.2 [−0.04, +1.9] points"
    assert unsigned_points(SOME) == "1.2 [−0.04, 1.9] points"
    assert triple(SOME) == [0.012, -0.0004, 0.019]
