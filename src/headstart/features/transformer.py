"""Features of a pretrained network as a scikit-learn transformer."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from headstart.backbones import Backbone, at_size, load
from headstart.backbones.backbone import before_output
from headstart.backbones.tapped import POOLINGS, Pooling
from headstart.data import Record, Source, list_sources, picture_of
from headstart.errors import DataError, InputError, one_line
from headstart.features.extraction import extract
from headstart.files import digest_file


class Features(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Transform images to features of a frozen network, for use in a Pipeline.

    Features are stored by image content, so a grid search computes each once, whatever the number
    of folds and settings, and later programs reuse them.

    Parameters
    ----------
    backbone : str or Backbone, default="embedded"
        A name for `headstart.backbones.load`, a weight file (with `arch`), or a loaded backbone.
    tap : str, sequence of str or None, default=None
        The layer; default: the last before the logits. Several are normalised to unit length and
        concatenated.
    size_px : int or None, default=None
        Side of the network's input; default: the backbone's own.
    pooling : {"average", "max", "pyramid"}, default="average"
        Over the positions of a map.
    arch : str or None, default=None
        Architecture of a weight file.
    precision : {"float32", "bfloat16"}, default="float32"
        Precision of the network.
    device : str or None, default=None
        A torch device; default: the best available.
    cache : str, Path or None, default=None
        Folder of the feature store; default: Headstart's.

    Attributes
    ----------
    taps_ : tuple of str
        The selected layers.
    digest_ : str
        SHA-256 of the network's weights.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from headstart.heads import LinearSVM
    >>> pipe = make_pipeline(Features(), LinearSVM())
    >>> search = GridSearchCV(pipe, {"features__tap": ["blocks.5", None], "linearsvm__C": [1, 10]})
    >>> search.fit(paths, labels).best_params_            # doctest: +SKIP
    """

    def __init__(
        self,
        backbone: str | Backbone = "embedded",
        *,
        tap: str | Sequence[str] | None = None,
        size_px: int | None = None,
        pooling: Pooling = "average",
        arch: str | None = None,
        precision: str = "float32",
        device: str | None = None,
        cache: str | Path | None = None,
    ) -> None:
        self.backbone = backbone
        self.tap = tap
        self.size_px = size_px
        self.pooling = pooling
        self.arch = arch
        self.precision = precision
        self.device = device
        self.cache = cache

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the settings; nothing is learnt.

        Parameters
        ----------
        X : paths, bytes of image files, PIL images or uint8 arrays
        y : ignored

        Raises
        ------
        BackboneError, WeightsError, InputError
            The network, layer or size does not exist.
        """
        net, taps = self._network()
        self.taps_, self.digest_ = taps, net.digest
        width = sum(net.tap(name).n_features for name in taps)
        # A pyramid is the whole and its four quarters, except for vectors.
        if self.pooling == "pyramid":
            width += sum(4 * net.tap(n).n_features for n in taps if net.tap(n).has_places)
        self._n_features_out = width
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Features of images.

        Parameters
        ----------
        X : sequence of length n
            Paths, bytes of image files, PIL images, or uint8 arrays (height, width, 3) or
            (height, width); or an array (n, height, width, 3). All are preprocessed like files.

        Returns
        -------
        float32 array (n, d)

        Raises
        ------
        DataError
            An image cannot be read.
        """
        net, taps = self._network()
        sources = list_sources(X)
        if not sources:
            return np.zeros((0, sum(net.tap(name).n_features for name in taps)), np.float32)
        cache = None if self.cache is None else Path(self.cache)
        with tempfile.TemporaryDirectory(prefix="headstart-") as scratch:
            records = [
                _record(_as_file(source, Path(scratch) / f"{i}.png"), i)
                for i, source in enumerate(sources)
            ]
            done = extract(
                records,
                net,
                precision=self.precision,
                pooling=self.pooling,
                device=self.device,
                cache=cache,
            )
        if done.unreadable:
            bad = next(i for i, r in enumerate(records) if r.digest in done.unreadable)
            raise DataError(f"image {bad} of X: {done.unreadable[records[bad].digest]}")
        [store] = done.stores.values()
        digests = [record.digest for record in records]
        parts = [store.read(digests, tap) for tap in taps]
        return parts[0] if len(parts) == 1 else np.hstack([_unit_rows(part) for part in parts])

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """``features0``, ``features1``...; `input_features` is ignored."""
        return np.array([f"features{i}" for i in range(self._n_features_out)], dtype=object)

    def _network(self) -> tuple[Backbone, tuple[str, ...]]:
        if self.pooling not in POOLINGS:
            raise InputError(
                f"pooling {self.pooling!r} is unknown: choose from {', '.join(POOLINGS)}"
            )
        net = self.backbone
        if isinstance(net, str):
            net = _load(net, self.arch)
        elif self.arch is not None:
            raise InputError("arch says what a weight file holds; a loaded backbone has its own")
        if self.size_px is not None:
            net = at_size(net, self.size_px)
        if self.tap is None:
            return net, (last_features(net),)
        taps = (self.tap,) if isinstance(self.tap, str) else tuple(self.tap)
        if not taps or len(set(taps)) < len(taps):
            raise InputError(f"tap must be one layer or several different ones; got {self.tap!r}")
        return net, tuple(net.tap(name).name for name in taps)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = False
        return tags


def last_features(net: Backbone) -> str:
    """The last tap before the network's output."""
    return before_output([tap.name for tap in net.taps])[-1]


# Clones of a pipeline in a grid search share the network.
@lru_cache(maxsize=2)
def _load(name: str, arch: str | None) -> Backbone:
    return load(name, arch=arch) if arch is None else load(weights=name, arch=arch)


def _as_file(source: Source, path: Path) -> Path:
    """A path unchanged; other images as lossless files, whose content is their key in the store."""
    if isinstance(source, Path):
        return source
    if isinstance(source.content, bytes):
        path.write_bytes(source.content)
    else:
        picture_of(source).save(path, compress_level=1)
    return path


def _record(path: Path, i: int) -> Record:
    try:
        digest = digest_file(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a possible file name"
        raise DataError(f"image {i} of X: cannot read {one_line(str(path))} ({reason})") from error
    return Record(name=str(path), label="", digest=digest, split="", path=path, width=0, height=0)


def _unit_rows(X: NDArray[np.float32]) -> NDArray[np.float32]:
    norm = np.linalg.norm(X, axis=1, keepdims=True)
    return np.asarray(X / np.where(norm > 0, norm, 1), np.float32)
