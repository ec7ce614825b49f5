"""Training and validation figures over the epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from headstart.plots import svg
from headstart.plots.axes import Scale, y_grid
from headstart.wording import epoch_figures

_TOP, _FOOT = 56.0, 40.0


def learning_curves(
    epochs: Sequence[int],
    *,
    train_loss: Sequence[float],
    val_loss: Sequence[float],
    train_accuracy: Sequence[float],
    val_accuracy: Sequence[float],
    best: int | None = None,
    name: str,
    title: str,
    description: str,
    width: float = 640,
    height: float = 250,
) -> str:
    """Loss on the left, accuracy on the right; training dashed, validation solid.

    Parameters
    ----------
    epochs : sequence of int, length n_epochs
        Rising, one or more.
    train_loss, val_loss : sequence of float, length n_epochs
        Values that are not finite leave gaps.
    train_accuracy, val_accuracy : sequence of float in [0, 1], length n_epochs
        Shown in per cent.
    best : int or None
        The epoch to mark with a star, such as that of the final weights.
    name, title, description : str
        Identity in the page, and the texts for screen readers.
    width, height : float
        In px.

    Returns
    -------
    str
        An ``<svg>`` element; of a single epoch, which has no curve, a paragraph with its figures.
    """
    if len(epochs) == 1:
        figures = epoch_figures(train_loss[0], train_accuracy[0], val_loss[0], val_accuracy[0])
        return f"<p>Epoch {epochs[0]}: {figures}.</p>"
    half = width / 2
    per_cent = [[100 * v for v in values] for values in (train_accuracy, val_accuracy)]
    has_val = any(math.isfinite(v) for v in (*val_loss, *val_accuracy))
    loss = _Panel.around(epochs, (train_loss, val_loss), 0, half - 8, height, "loss", "{:.3g}")
    accuracy = _Panel.around(epochs, per_cent, half + 8, width, height, "accuracy, %", "{:.1f} %")
    body = [_legend(best, has_val)]
    for panel, (train, val) in ((loss, (train_loss, val_loss)), (accuracy, per_cent)):
        body += panel.frame(epochs)
        body += panel.line(epochs, train, "axis", 1.8, dashes="5 3")
        body += panel.line(epochs, val, "curve", 2.2)
        if best is not None:
            body += panel.best(epochs, best, val if has_val else train)
        body += panel.tips(epochs, train, val)
    return svg.figure(name, title, description, width, height, *body)


@dataclass(frozen=True)
class _Panel:
    """The place of one pair of curves, and its scales."""

    left: float
    right: float
    bottom: float
    x: Scale
    y: Scale
    label: str
    form: str

    @classmethod
    def around(
        cls,
        epochs: Sequence[int],
        curves: Sequence[Sequence[float]],
        left: float,
        right: float,
        height: float,
        label: str,
        form: str,
    ) -> _Panel:
        """A panel between `left` and `right` that holds all finite values of `curves`."""
        values = [v for curve in curves for v in curve if math.isfinite(v)] or [0.0]
        air = 0.06 * (max(values) - min(values)) or 0.5
        left, right, bottom = left + 46, right - 8, height - _FOOT
        return cls(
            left=left,
            right=right,
            bottom=bottom,
            x=Scale(epochs[0], epochs[-1], left + 8, right - 8),
            y=Scale(min(values) - air, max(values) + air, bottom, _TOP),
            label=label,
            form=form,
        )

    def frame(self, epochs: Sequence[int]) -> list[str]:
        """Axis labels, level lines and epoch numbers."""
        parts = [svg.text(self.label, self.left - 44, _TOP - 20, class_="muted small")]
        parts += y_grid(self.y, self.left, self.right)
        for epoch in _numbered(epochs):
            words = str(epoch)
            x, y = self.x(epoch), self.bottom + 16
            parts.append(svg.text(words, x, y, class_="muted small", anchor="middle"))
        middle = (self.left + self.right) / 2
        parts.append(
            svg.text("epoch", middle, self.bottom + 33, class_="muted small", anchor="middle")
        )
        return parts

    def line(
        self,
        epochs: Sequence[int],
        values: Sequence[float],
        class_: str,
        thickness: float,
        *,
        dashes: str | None = None,
    ) -> list[str]:
        """A line with gaps at missing values, and dots for isolated values."""
        steps, dots = [], []
        told = [math.isfinite(v) for v in values]
        for i, (epoch, value) in enumerate(zip(epochs, values, strict=True)):
            before, after = i > 0 and told[i - 1], i + 1 < len(told) and told[i + 1]
            if told[i] and (before or after):
                steps.append(f"{'L' if before else 'M'}{self.x(epoch):.1f} {self.y(value):.1f}")
            elif told[i]:
                dots.append(self.dot(epoch, value, "muted" if dashes else "accent"))
        if not steps:
            return dots
        line = svg.element(
            "path",
            d="".join(steps),
            class_=class_,
            stroke_width=thickness,
            stroke_dasharray=dashes,
            stroke_linejoin="round",
        )
        return [line, *dots]

    def dot(self, epoch: int, value: float, class_: str) -> str:
        return svg.element("circle", cx=self.x(epoch), cy=self.y(value), r=3, class_=class_)

    def best(self, epochs: Sequence[int], best: int, values: Sequence[float]) -> list[str]:
        """A vertical line at `best`, with a star above the panel and a dot."""
        x, value = self.x(best), values[list(epochs).index(best)]
        stem = svg.element(
            "line", x1=x, x2=x, y1=self.bottom, y2=_TOP + 4, class_="axis", stroke_dasharray="1 3"
        )
        dots = [self.dot(best, value, "accent")] if math.isfinite(value) else []
        return [stem, svg.mark("chosen", x, _TOP - 5), *dots]

    def tips(
        self, epochs: Sequence[int], train: Sequence[float], val: Sequence[float]
    ) -> list[str]:
        """Invisible columns, one per epoch, with tooltips."""
        parts = []
        step = (self.right - self.left) / len(epochs)
        for epoch, *pair in zip(epochs, train, val, strict=True):
            said = [
                f"{which} {self.form.format(value)}"
                for which, value in zip(("training", "validation"), pair, strict=True)
                if math.isfinite(value)
            ]
            parts.append(
                svg.element(
                    "rect",
                    svg.tip(f"epoch {epoch}: {', '.join(said) or 'no figures'}"),
                    x=self.x(epoch) - step / 2,
                    y=_TOP,
                    width=step,
                    height=self.bottom - _TOP,
                    fill="none",
                    pointer_events="all",
                )
            )
        return parts


def _numbered(epochs: Sequence[int]) -> list[int]:
    """The epochs with labels: round integers, or the only epoch."""
    if len(epochs) == 1:
        return [epochs[0]]
    round_ones = svg.ticks(epochs[0], epochs[-1], n=7)
    return [int(t) for t in round_ones if abs(t - round(t)) < 1e-9]


def _legend(best: int | None, has_val: bool) -> str:
    """The legend, in one row."""
    parts, x = [], 2.0
    kinds: list[tuple[str, str, str | None, float]] = [("training", "axis", "5 3", 1.8)]
    if has_val:
        kinds.append(("validation", "curve", None, 2.2))
    for words, class_, dashes, thickness in kinds:
        parts.append(
            svg.element(
                "line",
                x1=x,
                x2=x + 26,
                y1=12,
                y2=12,
                class_=class_,
                stroke_width=thickness,
                stroke_dasharray=dashes,
            )
        )
        parts.append(svg.text(words, x + 32, 16, class_="small"))
        x += 32 + svg.text_width(words, size_px=11) + 18
    if best is not None:
        parts += [
            svg.mark("chosen", x + 6, 12),
            svg.text(f"best epoch: {best}", x + 18, 16, class_="small"),
        ]
    return svg.element("g", *parts)
