"""Which resolutions to measure, and which of them fit the time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import BackboneError, argument

if TYPE_CHECKING:
    from headstart.backbones import Backbone

logger = logging.getLogger(__name__)

# Cross-validation, refit and report come after the features.
FEATURES_SHARE = 0.6
N_PROBE = 8
MAX_COST = 3.0
"""Passes at the network's own size that those at further default sizes may cost, together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """The crop sizes to measure, ascending, and a note on each size that was left out."""

    resolutions: tuple[int, ...]
    notes: tuple[str, ...] = ()


def plan_resolutions(backbone: Backbone, asked: Sequence[int] | None) -> Sizes:
    """The crop sizes to measure.

    Those asked for; else the backbone's own and about 0.7 and 1.4 times it, as multiples of the
    patch of a vision transformer and of 32 otherwise. A size is left out where the network cannot
    take it, or where the passes at other sizes than its own would together cost more than
    :data:`MAX_COST` passes at its own.

    Raises BackboneError where the network cannot take a size that was asked for.
    """
    from headstart.backbones import at_size, measure_complexity
    from headstart.backbones.sizes import size_step

    if asked:
        for size in asked:
            at_size(backbone, size)
        return Sizes(resolutions=tuple(sorted(set(asked))))
    own = backbone.preprocessing.size_px
    step = size_step(backbone)
    sizes, notes = [own], []
    own_macs, left = measure_complexity(backbone).macs, MAX_COST
    for factor in (0.7, 1.43):
        size = max(step, 32, round(own * factor / step) * step)
        if size in sizes:
            continue
        try:
            cost = measure_complexity(at_size(backbone, size)).macs / max(own_macs, 1)
        except BackboneError:
            notes.append(
                f"{size} px is left out: {backbone.name} only takes images of its own size"
            )
            continue
        if cost > left:
            notes.append(
                f"{size} px is left out: a pass costs {cost:.1f} times one at {own} px, the network's "
                f"own size; {argument('resolutions', f'{own},{size}')} measures it"
            )
            continue
        left -= cost
        sizes.append(size)
    return Sizes(resolutions=tuple(sorted(sizes)), notes=tuple(notes))


def within_budget(
    backbone: Backbone,
    resolutions: Sequence[int],
    *,
    n_images: int,
    budget_s: float,
    precision: str,
    device: str | None,
    cache: Path,
) -> Sizes:
    """The resolutions whose features can be had in :data:`FEATURES_SHARE` of the budget.

    Each is timed on a few random images. The one nearest the backbone's own size is always kept;
    the others follow from cheap to dear while they fit.
    """
    from headstart.backbones import at_size
    from headstart.features.engines import choose_engine, pick_device
    from headstart.features.trial import images_per_s

    own = backbone.preprocessing.size_px
    seconds = {}
    for size in resolutions:
        engine = choose_engine(
            at_size(backbone, size),
            n_images=n_images,
            precision=precision,
            device=pick_device(device),
            cache=cache,
        )
        seconds[size] = n_images / images_per_s(engine, size, n_images=N_PROBE)
    kept = [min(resolutions, key=lambda s: (abs(s - own), s))]
    left = FEATURES_SHARE * budget_s - seconds[kept[0]]
    notes = []
    for size in sorted(set(resolutions) - set(kept), key=seconds.__getitem__):
        if seconds[size] <= left:
            kept.append(size)
            left -= seconds[size]
        else:
            over = seconds[size] - left
            notes.append(f"{size} px is left out: about {over:.0f} s more than the budget allows")
            logger.warning(notes[-1])
    return Sizes(resolutions=tuple(sorted(kept)), notes=tuple(notes))
