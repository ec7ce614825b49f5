"""Which arithmetic the network may use: bfloat16 only where it is faster and changes nothing.

The features of a few of the user's own images are made in both precisions. bfloat16 is taken
where the machine has units for it, it is measurably faster, and over all layers that `fit` may choose
images keep their nearest neighbours and the decisions of a linear head (docs/performance.md). The precision is part of the feature key and is never mixed.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.data.targets import kind_of, label_sizes, names_of
from headstart.errors import DataError
from headstart.probe.memo import keep_json, recall_json
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Record
    from headstart.features.engines import Engine

logger = logging.getLogger(__name__)

N_IMAGES = 32
MIN_NEIGHBOURS = 0.85
MIN_DECISIONS = 0.95
MIN_AT_EACH = 0.8
MIN_SPEEDUP = 1.15
N_TIMED = 4


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a comparison of the two precisions found."""

    passed: bool
    reason: str  # one line for ``doctor`` and ``run.json``
    speedup: float | None = None  # time of float32 over that of bfloat16, forward passes only
    # share of the images whose nearest neighbour by the cosine is the same, on average over layers
    neighbours: float | None = None
    # share of the images that a linear SVM fitted on the other half in float32 puts in the same
    # class from either precision, on average over layers: one layer's is too coarse for the bound
    decisions: float | None = None
    at_worst: float | None = None  # the same at the layer where it is smallest

    @property
    def precision(self) -> str:
        """The precision to use."""
        return "bfloat16" if self.passed else "float32"


class _Kept(msgspec.Struct):
    """What was found, and the digests of the images that it was found on."""

    gate: Gate
    sample: list[str]


def choose_precision(
    backbone: Backbone,
    records: Sequence[Record],
    *,
    device: str | None,
    cache: Path,
    progress: Progress = silent,
) -> Gate:
    """Compare the precisions on a sample of ``records``, once for each machine and data set.

    A data set that grew or shrank keeps what was found for it, as long as half of the images that it
    was found on are still among ``records``: otherwise three new images could have every feature
    computed again.

    `records`: training images; at most :data:`N_IMAGES` are used. `cache`: the outcome is kept
    there, by content. `progress`: told of the stages ``"prepare float32 and bfloat16"``, which converts
    the network where that was not done before, and ``"try float32 and bfloat16"`` (images).
    """
    from headstart.features.engines import has_bfloat16, pick_device

    where = pick_device(device)
    if not has_bfloat16(where):
        return Gate(
            passed=False, reason=f"{where} has no units for bfloat16 that this runtime uses"
        )
    sample = sorted(records, key=lambda r: r.digest)[:N_IMAGES]
    if len(sample) < N_IMAGES or len({r.label for r in sample}) < 2:
        return Gate(passed=False, reason=f"fewer than {N_IMAGES} images to compare precisions on")
    kept_at = _kept_at(backbone, sample, where, cache)
    if (known := _recall(kept_at, {r.digest for r in records})) is not None:
        return known
    gate = _compare(backbone, sample, where, cache, progress)
    keep_json(kept_at, _Kept(gate=gate, sample=[r.digest for r in sample]))
    logger.info("precision: %s (%s)", gate.precision, gate.reason)
    return gate


def _compare(
    backbone: Backbone, sample: Sequence[Record], device: str, cache: Path, progress: Progress
) -> Gate:
    from headstart.features.engines import choose_engine
    from headstart.features.pixels import crops

    try:
        images = np.stack([crops(r.path, [backbone.preprocessing])[0] for r in sample])
    except DataError as error:
        return Gate(passed=False, reason=f"the sample could not be read: {error}")
    precisions, engines = ("float32", "bfloat16"), {}
    for done, precision in enumerate(precisions):
        progress("prepare float32 and bfloat16", done, len(precisions))
        engines[precision] = choose_engine(
            backbone, n_images=10**6, precision=precision, device=device, cache=cache
        )
    progress("prepare float32 and bfloat16", len(precisions), len(precisions))
    features, seconds = {}, {}
    for done, precision in enumerate(precisions):
        progress("try float32 and bfloat16", done * len(images), len(precisions) * len(images))
        features[precision], seconds[precision] = _timed(engines[precision], images)
    progress("try float32 and bfloat16", *[len(precisions) * len(images)] * 2)
    y = _sides(sample)
    speedup = seconds["float32"] / seconds["bfloat16"]
    pairs = zip(features["float32"], features["bfloat16"], strict=True)
    shares = np.array([agreement(exact, rough, y) for exact, rough in pairs])
    (neighbours, decisions), worst = shares.mean(axis=0).tolist(), int(shares[:, 1].argmin())
    least = float(shares[worst, 1])
    passed = (
        speedup >= MIN_SPEEDUP
        and neighbours >= MIN_NEIGHBOURS
        and decisions >= MIN_DECISIONS
        and least >= MIN_AT_EACH
    )
    reason = (
        f"on {len(sample)} images bfloat16 is {speedup:.1f} times as fast, and keeps over all layers "
        f"{neighbours:.0%} of nearest neighbours (needed {MIN_NEIGHBOURS:.0%}) and {decisions:.0%} of "
        f"decisions (needed {MIN_DECISIONS:.0%}), at {backbone.taps[worst].name} {least:.0%} (needed "
        f"{MIN_AT_EACH:.0%})"
    )
    return Gate(
        passed=passed,
        reason=reason,
        speedup=speedup,
        neighbours=neighbours,
        decisions=decisions,
        at_worst=least,
    )


def _sides(sample: Sequence[Record]) -> NDArray[Any]:
    """What decisions are compared on: the classes; the most even label; or which half a number is in."""
    kind = kind_of(sample[0].target)
    if kind == "numbers":
        values = np.array([r.target for r in sample], dtype=np.float64)
        return np.asarray(values > np.median(values))
    if kind == "labels":
        sizes = label_sizes(sample)
        even = min(sizes, key=lambda name: abs(2 * sizes[name] - len(sample)), default="")
        return np.array([even in names_of(r) for r in sample])
    return np.array([r.label for r in sample])


def agreement(
    exact: NDArray[np.float32], rough: NDArray[np.float32], y: NDArray[Any]
) -> tuple[float, float]:
    """Shares of equal nearest neighbours and of equal head decisions of two feature arrays (n, d).

    Each half of the images is judged by a linear SVM that was fitted on the other half of
    ``exact``.
    """
    from headstart.heads import LinearSVM
    from headstart.heads.task import normalize_rows

    def nearest(X: NDArray[np.float32]) -> NDArray[np.intp]:
        unit = normalize_rows(X, "l2")
        similarity = unit @ unit.T
        np.fill_diagonal(similarity, -np.inf)
        neighbour: NDArray[np.intp] = similarity.argmax(axis=1)
        return neighbour

    same = np.zeros(len(y), dtype=bool)
    for half in (np.arange(len(y)) % 2 == 0, np.arange(len(y)) % 2 == 1):
        if len(np.unique(y[~half])) < 2:
            return float((nearest(exact) == nearest(rough)).mean()), 0.0
        svm = LinearSVM(C=1.0).fit(exact[~half], y[~half])
        same[half] = svm.predict(exact[half]) == svm.predict(rough[half])
    return float((nearest(exact) == nearest(rough)).mean()), float(same.mean())


def _timed(engine: Engine, images: NDArray[np.uint8]) -> tuple[list[NDArray[np.float32]], float]:
    """Features of every tap, and the seconds per image of the fastest batch of `N_TIMED` or more.

    Of whole batches, which a GPU may have larger in one precision than in the other. On a busy machine a
    short time is less often interrupted than a long one.
    """
    n, size = len(images), engine.batch_size
    whole = np.resize(images, (-(-n // size) * size, *images.shape[1:]))
    batches = [whole[i : i + size] for i in range(0, len(whole), size)]
    n_more = max(0, N_TIMED - len(batches))
    rows, seconds = [], []
    for batch in [*batches, *batches[:1] * n_more]:
        start = time.perf_counter()
        rows.append(engine(batch))
        seconds.append(time.perf_counter() - start)
    found = [np.concatenate(of_tap)[:n] for of_tap in zip(*rows[: len(batches)], strict=True)]
    return found, min(seconds) / size


def _recall(kept_at: Path, here: set[str]) -> Gate | None:
    """What was found on these images before, or on a sample of which half is still here."""
    found: list[tuple[int, Gate]] = []
    for path in sorted(kept_at.parent.glob(f"{kept_at.name.partition('-')[0]}-*.json")):
        if (kept := recall_json(path, _Kept)) is None:
            continue
        if path == kept_at:
            return kept.gate
        n_here = len(here.intersection(kept.sample))
        if 2 * n_here >= len(kept.sample):
            found.append((n_here, kept.gate))
    return max(found, key=lambda f: f[0])[1] if found else None


def _kept_at(backbone: Backbone, sample: Sequence[Record], device: str, cache: Path) -> Path:
    """The first part of the name is what the images are compared with, the second the images."""
    from headstart.features.engines import machine_name

    names = [
        hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
        for parts in (
            [backbone.digest, device, machine_name(), "every layer"],
            [r.digest + r.label for r in sample],
        )
    ]
    return cache / "precision" / f"{'-'.join(names)}.json"
