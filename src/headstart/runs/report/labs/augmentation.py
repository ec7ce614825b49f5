"""The page of ``lab augmentation``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart import plots
from headstart.runs.report.pages import Section

_NAMES = {"basic": "basic", "augmix": "AugMix", "mixup:alpha=1": "Mixup, α = 1"}


def augmentation_sections(found: Mapping[str, Any], pictures: Mapping[str, bytes]) -> list[Section]:
    """The three pictures, and how far each policy moves a pixel."""
    rows = [
        plots.IntervalRow.of_shares(_NAMES[text], [v or 0.0 for v in three])
        for text, three in found["pixel_change"].items()
    ]
    return [
        Section(
            heading="Basic: crop, mirror, rotate, recolour",
            text=("What does not change the class: where the crop lies, how bright the lamp was.",),
            image=pictures["basic"],
            caption="The original at the left, five draws beside it.",
        ),
        Section(
            heading="AugMix: chains, weights, mix",
            text=(
                (
                    "As figure 4 of Hendrycks et al. (2020): each row is a chain of one to three operations on "
                    "the basic view; the chains are averaged with the weights at the right (Dirichlet), and "
                    "the average is blended with the view itself (Beta). Training also asks that the "
                    "predictions of the view and of two such mixes agree."
                ),
            ),
            image=pictures["augmix"],
            caption="Chain by chain, with the mix at the right end.",
        ),
        Section(
            heading="Mixup: two images, and a soft label",
            text=(
                (
                    "λ of one image and 1 − λ of the other, in the picture and in the label (Zhang et al. 2018). "
                    "In training λ is drawn from Beta(α, α) for each pair."
                ),
            ),
            image=pictures["mixup"],
            caption="The label that a network is trained on stands below each mix.",
        ),
        Section(
            heading="How far each moves a pixel",
            text=(
                (
                    f"Mean change over the range of a pixel, {len(found['seeds'])} seeds: basic against the "
                    "centre crop; AugMix and Mixup against the basic view that they start from."
                ),
            ),
            figure=plots.interval_plot(
                rows,
                name="change",
                title="Mean change of a pixel",
                description="; ".join(f"{r.label} {r.value:.1f} %" for r in rows),
                axis="mean change, % of the range",
                zero=True,
            ),
        ),
    ]
