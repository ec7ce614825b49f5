"""What the comparison found: a row a method, and a sentence computed from the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headstart.heads import accuracy_interval, paired_difference, significance
from headstart.wording import counted, headline, points, signed_points

if TYPE_CHECKING:
    from headstart.baselines.comparison import MethodResult


def row_of(method: MethodResult, reference: MethodResult) -> dict[str, Any]:
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


def answer(data: Mapping[str, Any], judged: Sequence[MethodResult]) -> str:
    """Which is better on the test images, by how much, and whether that is significant."""
    on = f"on the {counted(data['n_test'], 'test image')} of {data['data']}"
    rival, network = _rival(judged), judged[-1]
    share = rival.correct.mean()
    if network.kind != "network":
        whole = accuracy_interval(rival.correct)
        return (
            f"{rival.name}: {_percent(rival)} [{100 * whole.low:.1f}, {100 * whole.high:.1f}] {on}."
        )
    is_better = network.correct.mean() >= share
    better, worse = (network, rival) if is_better else (rival, network)
    paired = paired_difference(better.correct, worse.correct)
    if points(paired.value) == "0.0":
        return headline(
            f"{better.name} and {worse.name} are equally accurate ({_percent(better)}) {on}.",
            f"{better.name} and {worse.name} are equally accurate ({_percent(better)}).",
        )
    said = (
        f"{better.name} ({_percent(better)}) is {points(paired.value, sign=False)} points above "
        f"{worse.name}"
    )
    return headline(
        f"{said} {on} ({significance(paired)}).",
        f"{said} on the test images ({significance(paired)}).",
        f"{said} ({significance(paired)}).",
    )


def detail(judged: Sequence[MethodResult], reference: MethodResult) -> str:
    """The paired difference of the best rival to the network, with its interval and the test."""
    rival = _rival(judged)
    if rival is reference or reference.kind != "network":
        return ""
    paired = paired_difference(rival.correct, reference.correct)
    p_value = "p < 0.001" if paired.p_value < 0.001 else f"p = {paired.p_value:.3f}"
    return (
        f"{rival.name} less {reference.name}: "
        f"{signed_points(paired.value, paired.low, paired.high)} points on the same images, "
        f"{significance(paired)} by McNemar's exact test ({p_value})."
    )


def _rival(judged: Sequence[MethodResult]) -> MethodResult:
    """The method to set against the network, chosen as everything is, on the training images."""
    rivals = [m for m in judged if m.kind == "sift"] or [m for m in judged if m.kind == "pixels"]
    return max(rivals, key=lambda m: m.cv_accuracy)


def _percent(method: MethodResult) -> str:
    return f"{100 * method.correct.mean():.1f} %"
