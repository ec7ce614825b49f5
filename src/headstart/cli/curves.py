"""Learning curves as a few lines of text, for a terminal of 80 columns."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from headstart.wording import epoch_figures

if TYPE_CHECKING:
    from headstart.training.rates import RangeTest

_LEVELS = "▁▂▃▄▅▆▇█"
_N_COLUMNS = 32
_MARGIN = 15


def learning_curves(
    epochs: Sequence[int],
    *,
    train_loss: Sequence[float],
    val_loss: Sequence[float],
    train_accuracy: Sequence[float],
    val_accuracy: Sequence[float],
    best: int | None = None,
) -> str:
    """Four sparklines, at most 80 columns wide, with first, last and extreme figures.

    Training and validation of one figure share a scale, so that a gap between them is seen. More
    epochs than columns are averaged in pieces; fewer are drawn wider.

    Parameters
    ----------
    epochs : sequence of int, length n_epochs
    train_loss, val_loss : sequence of float, length n_epochs
        What is not a finite number is shown as ``·``; a line without any number is left out.
    train_accuracy, val_accuracy : sequence of float in [0, 1], length n_epochs
    best : int or None
        The epoch under which an arrow stands.

    Returns
    -------
    str
        Lines without a newline at the end; empty without epochs, and words for a single one.
    """
    if not epochs:
        return ""
    if len(epochs) == 1:
        figures = epoch_figures(train_loss[0], train_accuracy[0], val_loss[0], val_accuracy[0])
        return f"epoch {epochs[0]}: {figures}"
    lines = _rows("loss", (train_loss, val_loss), "{:.3g}", min)
    in_per_cent = [[100 * v for v in values] for values in (train_accuracy, val_accuracy)]
    lines += _rows("accuracy", in_per_cent, "{:.1f} %", max)
    lines.append(f"{'epoch':<{_MARGIN}}{_axis(epochs, best)}")
    return "\n".join(line.rstrip() for line in lines)


def rate_lines(found: RangeTest) -> list[str]:
    """The curve of a learning-rate range test, and what it suggests."""
    rates, losses = list(found.rates), list(found.smoothed)
    means = [sum(losses[a:b]) / (b - a) for a, b in _pieces(len(losses))]
    spark = _spark(means, min(losses), max(losses))
    figures = f"{losses[0]:.3g} → {losses[-1]:.3g}  (min {min(losses):.3g})"
    rise = f"{rates[0]:.0e} → {rates[-1]:.0e}"
    said = "No rate lowered the loss by more than its noise: none is suggested."
    if found.suggestion is not None:
        said = (
            f"The loss falls fastest at {found.steepest:.1e} and is least at {found.lowest:.1e}: "
            f"try {found.suggestion:.1g}."
        )
    return [f"{'loss':<{_MARGIN}}{spark}  {figures}", f"{'rate':<{_MARGIN}}{rise}", said]


def _rows(
    name: str,
    pair: Sequence[Sequence[float]],
    form: str,
    extreme: Callable[[Iterable[float]], float],
) -> list[str]:
    """The lines of one figure: training, and validation where there is any."""
    finite = [v for values in pair for v in values if math.isfinite(v)]
    rows: list[str] = []
    for which, values in zip(("train", "val"), pair, strict=True):
        own = [v for v in values if math.isfinite(v)]
        if not own:
            continue
        label = f"{name if not rows else '':<9}{which}"
        figures = f"{form.format(values[0])} → {form.format(values[-1])}"
        if which == "val":
            figures += f"  ({extreme.__name__} {form.format(extreme(own))})"
        spark = _spark(values, min(finite), max(finite))
        rows.append(f"{label:<{_MARGIN}}{spark}  {figures}")
    return rows


def _spark(values: Sequence[float], low: float, high: float) -> str:
    """One character a column, from the lowest bar at `low` to the highest at `high`."""
    span = (high - low) or 1.0
    drawn = []
    for start, stop in _pieces(len(values)):
        here = [v for v in values[start:stop] if math.isfinite(v)]
        if not here:
            drawn.append("·")
            continue
        share = (sum(here) / len(here) - low) / span
        drawn.append(_LEVELS[min(int(share * len(_LEVELS)), len(_LEVELS) - 1)])
    return "".join(bar * _wide(len(values)) for bar in drawn)


def _axis(epochs: Sequence[int], best: int | None) -> str:
    """The first and last epoch at their ends, and an arrow under the best one if it has room."""
    pieces, wide = _pieces(len(epochs)), _wide(len(epochs))
    first, last = str(epochs[0]), str(epochs[-1])
    width = max(len(pieces) * wide, len(first) + 1 + len(last))
    axis = first.ljust(width - len(last)) + last
    if best is None or best not in epochs:
        return axis
    place = list(epochs).index(best)
    piece = next(i for i, (start, stop) in enumerate(pieces) if start <= place < stop)
    column = piece * wide + wide // 2
    if not len(first) < column < width - len(last) - 1:
        return f"{axis}  best: {best}"
    return f"{axis[:column]}▲{axis[column + 1 :]}  ▲ best: {best}"


def _pieces(n: int) -> list[tuple[int, int]]:
    """Which values share a column."""
    n_columns = min(n, _N_COLUMNS)
    edges = [round(i * n / n_columns) for i in range(n_columns + 1)]
    return list(itertools.pairwise(edges))


def _wide(n: int) -> int:
    """How many characters one of `n` values takes."""
    return max(1, min(4, _N_COLUMNS // n))
