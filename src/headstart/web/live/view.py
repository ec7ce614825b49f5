"""What the tab Live says of the classifier, as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from headstart import plots
from headstart.runs.sentence import percent, with_interval
from headstart.web import html
from headstart.wording import counted

if TYPE_CHECKING:
    from headstart.web.live.bins import Fitted

# Width of the interval above which the figure says little, in percentage points.
VAGUE = 0.2
NOT_HIGHEST = (
    " The highest are not significantly better than the chosen one, which is better on most data."
)


def missing(message: str) -> Markup:
    """What is missing before anything can be measured."""
    return html.empty("Not yet", f"{message[:1].upper()}{message[1:]}.")


def said(found: Fitted) -> Markup:
    """The accuracy with its interval, and what that means."""
    accuracy = found.accuracy
    chosen = found.candidates[found.chosen].blocks
    width = accuracy.high - accuracy.low
    advice = "Pictures taken elsewhere may be harder than these."
    if width > VAGUE:
        confused = ", above all of what is still confused" if accuracy.value < 1 else ""
        advice = f"That is a wide interval: add pictures{confused}."
    return Markup(
        '<p class="hs-figure"><b>{}</b> {}</p><p>Cross-validated: {} pictures, each classified by a '
        "model that had not seen it. With 95 % confidence the accuracy is between {} and {}. {}</p>"
        '<p class="hs-small">Layers: {} at {} px.</p>'
    ).format(
        percent(accuracy.value, digits=0), with_interval(accuracy).partition(" % ")[2],
        found.n_judged, percent(accuracy.low, digits=0), percent(accuracy.high, digits=0), advice,
        html.text(chosen.tap_label), chosen.resolution_label,
    )  # fmt: skip


def layer_map(found: Fitted) -> Markup:
    """The cross-validated accuracy of every layer at every resolution."""
    places = [(c.blocks.tap_label, c.blocks.resolution_label) for c in found.candidates]
    values: dict[tuple[str, int | str], float] = {
        place: 100 * c.accuracy for place, c in zip(places, found.candidates, strict=True)
    }
    is_behind = found.candidates[found.chosen].accuracy < max(c.accuracy for c in found.candidates)
    svg = plots.layer_map(
        list(dict.fromkeys(tap for tap, _ in places)),
        list(dict.fromkeys(size for _, size in places)),
        values,
        marks={places[found.chosen]: "chosen"},
        name="live-map",
        title="Layer map of the classes",
        description="; ".join(f"{t} at {s} px {v:.1f} %" for (t, s), v in values.items()),
    )
    return Markup(
        '<div class="hs-scroll" tabindex="0" role="region" aria-label="Layer map of the classes">'
        "<figure>{}<figcaption>Cross-validated accuracy in % of a classifier on each layer, of {}.{}"
        "</figcaption></figure></div>"
    ).format(Markup(svg), counted(found.n_judged, "picture"), NOT_HIGHEST if is_behind else "")
