"""Which resolutions to measure, and which of them fit the time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import BackboneError

if TYPE_CHECKING:
    from headstart.backbones import Backbone

logger = logging.getLogger(__name__)

# Cross-validation, refit and report come after the features.
FEATURES_SHARE = 0.6
N_PROBE = 8


def plan_resolutions(backbone: Backbone, asked: Sequence[int] | None) -> tuple[int, ...]:
    """The crop sizes to measure, ascending.

    Those asked for; else the backbone's own and about 0.7 and 1.4 times it, as multiples of 32,
    which the strides of most networks divide, left out where the network cannot take them.

    Raises
    ------
    BackboneError
        The network cannot take a size that was asked for.
    """
    from headstart.backbones import at_size

    if asked:
        for size in asked:
            at_size(backbone, size)
        return tuple(sorted(set(asked)))
    own = backbone.preprocessing.size_px
    sizes = [own]
    for factor in (0.7, 1.43):
        size = max(32, round(own * factor / 32) * 32)
        try:
            at_size(backbone, size)
        except BackboneError:
            continue
        sizes.append(size)
    return tuple(sorted(set(sizes)))


def within_budget(
    backbone: Backbone,
    resolutions: Sequence[int],
    *,
    n_images: int,
    budget_s: float,
    precision: str,
    device: str | None,
    cache: Path,
) -> tuple[int, ...]:
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
    for size in sorted(set(resolutions) - set(kept), key=seconds.__getitem__):
        if seconds[size] <= left:
            kept.append(size)
            left -= seconds[size]
        else:
            logger.warning(
                "%d px is left out: about %.0f s more than the budget allows",
                size,
                seconds[size] - left,
            )
    return tuple(sorted(kept))
