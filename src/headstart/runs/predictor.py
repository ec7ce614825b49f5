"""A run's model held ready: networks set up once, then any number of pictures, a few at a time.

:func:`headstart.runs.classify.classify` sets them up for each call, as a command does that ends. A
service keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.backbones import Preprocessing, at_size
from headstart.data import MAX_PIXELS
from headstart.features import cache_folder
from headstart.features.engines import (
    WORTH_CONVERTING,
    Engine,
    choose_engine,
    converted_engine,
    pick_device,
)
from headstart.features.pixels import Crop, crops
from headstart.features.torchengine import TorchEngine

if TYPE_CHECKING:
    from headstart.runs.encoder import Encoder
    from headstart.runs.heldout import TrainingReference
    from headstart.runs.model import Model
    from headstart.sources.blocks import Blocks

Cut = tuple[Crop, ...]


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """One network of a model, with an engine for each resolution."""

    blocks: Blocks
    taps: tuple[str, ...]
    engines: dict[int, Engine]
    views: dict[int, Preprocessing]


class Predictor:
    """Probabilities of pictures by a run's model, from any thread.

    Raises WeightsError where the weights are gone or changed; InputError where there is no such
    device here.

    Parameters
    ----------
    model : Model
        With its partner, if it has one.
    device : str, optional
        A torch device; default the best one here.
    cache : Path, optional
        Of converted networks; default the cache folder.
    max_pixels : int
        Pictures with more are refused before they are decoded.
    reference : TrainingReference, optional
        The training images, which :meth:`compared` compares pictures with.

    Attributes
    ----------
    noun : str
        What it takes.
    classes : tuple of str, length K
    batch_size : int
        How many pictures one call may hold.
    n_streams : int
        How many calls run at the same time without waiting for each other.
    engine : str
        What runs the network.
    """

    noun = "image"

    def __init__(
        self,
        model: Model,
        *,
        device: str | None = None,
        cache: Path | None = None,
        max_pixels: int = MAX_PIXELS,
        reference: TrainingReference | None = None,
    ) -> None:
        chosen, root = pick_device(device), cache or cache_folder()
        parts = [model] if model.partner is None else [model, model.partner]
        self.model, self._max_pixels, self._reference = model, max_pixels, reference
        self._parts = [
            (part, [_get_ready(encoder, chosen, root) for encoder in part.encoders])
            for part in parts
        ]
        networks = [ready for _, of_part in self._parts for ready in of_part]
        self._views = tuple(dict.fromkeys(v for net in networks for v in net.views.values()))
        engines = [engine for net in networks for engine in net.engines.values()]
        self.classes = model.classes
        self.batch_size = min(engine.batch_size for engine in engines)
        # Torch's own threads share out one call; a converted network has a stream a core.
        is_torch = any(isinstance(engine, TorchEngine) for engine in engines)
        self.n_streams = 1 if is_torch else max(1, engines[0].n_workers - 1)
        self.engine = engines[0].name

    def cut(self, source: Path | bytes) -> Cut:
        """What of a picture the networks see; a few hundred kB, whatever its size.

        Raises DataError where it cannot be read, or is too large.
        """
        return tuple(crops(source, self._views, max_pixels=self._max_pixels))

    def probabilities(self, pictures: Sequence[Cut]) -> NDArray[np.float64]:
        """Calibrated class probabilities (n, K) of n <= `batch_size` pictures.

        They equal those of ``run.predict`` but for the last digits: batches are not filled up.
        """
        return self.compared(pictures)[:, : len(self.classes)]

    def compared(self, pictures: Sequence[Cut]) -> NDArray[np.float64]:
        """The probabilities, and beside them what `TrainingReference.compare` gives, (n, K + 4).

        Without a reference, or where no part of the model has features of its kind, (n, K).
        """
        batches = {
            view: np.stack([picture[i] for picture in pictures])
            for i, view in enumerate(self._views)
        }
        rows = [
            (part, part.join([X for net in networks for X in _features(net, batches)]))
            for part, networks in self._parts
        ]
        own, *others = [part.probabilities(X) for part, X in rows]
        P = self.model.mean(own, others[0]) if others else own
        for part, X in rows:
            if self._reference is not None and self._reference.is_of(part):
                return np.column_stack([P, self._reference.compare(X)])
        return P


def _get_ready(encoder: Encoder, device: str, cache: Path) -> _Ready:
    blocks, engines = encoder.blocks, dict[int, Engine]()
    keys = encoder.feature_keys()
    for size, key in keys.items() if device == "cpu" else ():
        engine = converted_engine(key, cache, pads=False)
        if engine is not None:
            engines[size] = engine
    if len(engines) == len(blocks.resolutions):
        taps = tuple(name for name, _ in next(iter(keys.values())).taps)
        views = {s: Preprocessing.from_dict(key.preprocessing) for s, key in keys.items()}
        return _Ready(blocks=blocks, taps=taps, engines=engines, views=views)
    backbone = encoder.load()
    sized = {size: at_size(backbone, size) for size in blocks.resolutions}
    engines = {
        size: choose_engine(
            at,
            n_images=WORTH_CONVERTING,  # nobody knows how many will come; a service is for many
            precision=encoder.precision,
            device=device,
            pads=False,
            cache=cache,
        )
        for size, at in sized.items()
    }
    taps = tuple(tap.name for tap in backbone.taps)
    views = {size: at.preprocessing for size, at in sized.items()}
    return _Ready(blocks=blocks, taps=taps, engines=engines, views=views)


def _features(
    net: _Ready, batches: dict[Preprocessing, NDArray[np.uint8]]
) -> list[NDArray[np.float32]]:
    """One array (n, d) for each tap and resolution, rounded as the stored ones of the fit were."""
    found = {size: engine(batches[net.views[size]]) for size, engine in net.engines.items()}
    columns = {tap: i for i, tap in enumerate(net.taps)}
    pairs = net.blocks.pairs
    return [found[s][columns[tap]].astype(np.float16).astype(np.float32) for tap, s in pairs]
