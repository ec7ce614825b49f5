"""What the comparison found: a row a method, and a sentence computed from the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headstart.heads import accuracy_interval, paired_difference

if TYPE_CHECKING:
    from headstart.baselines.comparison import Judged


def row_of(method: Judged, reference: Judged) -> dict[str, Any]:
    """A method as JSON-able values.

    Returns
    -------
    dict
        ``name``, ``kind``, ``detail``, ``n_features``, ``cv_accuracy``, ``tried``, ``test`` (value,
        low, high), and against the reference, where it is another: ``difference`` (value, low,
        high) and ``p_value`` (McNemar, exact).
    """
    test = accuracy_interval(method.correct)
    row: dict[str, Any] = {
        "name": method.name,
        "kind": method.kind,
        "detail": method.detail,
        "n_features": method.n_features,
        "cv_accuracy": method.cv_accuracy,
        "tried": dict(method.tried),
        "test": [test.value, test.low, test.high],
        "difference": None,
        "p_value": None,
    }
    if method is not reference:
        paired = paired_difference(method.correct, reference.correct)
        row["difference"] = [paired.value, paired.low, paired.high]
        row["p_value"] = paired.p_value
    return row


def answer(data: Mapping[str, Any], judged: Sequence[Judged]) -> str:
    """Who is better on the test images, by how much, and whether it could be chance."""
    on = f"on the {data['n_test']:,} test images of {data['data']}"
    rivals = [m for m in judged if m.kind == "sift"] or [m for m in judged if m.kind == "pixels"]
    # Chosen as everything is, on the training images.
    rival = max(rivals, key=lambda m: m.cv_accuracy)
    network = judged[-1]
    share = rival.correct.mean()
    if network.kind != "network":
        whole = accuracy_interval(rival.correct)
        return (
            f"{rival.name}: {_percent(rival)} [{100 * whole.low:.1f}, {100 * whole.high:.1f}] {on}."
        )
    ahead = network.correct.mean() >= share
    better, worse = (network, rival) if ahead else (rival, network)
    paired = paired_difference(better.correct, worse.correct)
    between = f"{100 * paired.value:.1f} points [{100 * paired.low:.1f}, {100 * paired.high:.1f}]".replace(
        "-", "−"
    )
    chance = f"McNemar p {'< 0.001' if paired.p_value < 0.001 else f'= {paired.p_value:.3f}'}"
    if paired.p_value >= 0.05:
        return (
            f"{better.name} ({_percent(better)}) against {worse.name} ({_percent(worse)}) {on}: "
            f"{between} between them, which McNemar's test cannot tell from chance "
            f"(p = {paired.p_value:.3f})."
        )
    return (
        f"{better.name}: {_percent(better)} {on}; {worse.name}: {_percent(worse)}, {between} fewer, "
        f"{chance}."
    )


def _percent(method: Judged) -> str:
    return f"{100 * method.correct.mean():.1f} %"
