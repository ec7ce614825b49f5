"""What may be wrong with images that no accuracy shows: shortcuts, and parts where the run is worse."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.data import duplicate_groups
from headstart.data.appearance import Appearance, appearance
from headstart.data.groups import groups_of
from headstart.heads.examples import normalize_rows
from headstart.reliability.novelty import choose_rows
from headstart.reliability.shortcuts import find_shortcuts, judge_features
from headstart.reliability.slices import in_thirds, judge_parts
from headstart.runs.reliance import Checks, Part, Shortcut
from headstart.sources.blocks import Blocks
from headstart.sources.image import ImageSource
from headstart.sources.several import SeveralSource

if TYPE_CHECKING:
    from pathlib import Path

    from headstart.runs.metrics import Results

# Training images that shortcuts are looked for on, and images that are divided into parts.
MOST_IMAGES, MOST_DIVIDED = 1_500, 20_000
# By these no class should be told. Colours may well be what sets classes apart, and so may file size,
# which says how much there is in a picture, where all have one size and format.
OF_FILES = ("picture size", "file format")


def checks_of(results: Results, cache: Path) -> Checks | None:
    """Both checks of a run on images; None of texts, and where cross-validation judged nothing."""
    source: object = results.source
    judged = [r for r, j in zip(results.train, results.judged, strict=True) if j]
    if isinstance(source, SeveralSource):  # their first
        source = next(iter(source.of.values()))
    if not isinstance(source, ImageSource) or not judged:
        return None
    labels = np.array([r.label for r in results.train])
    kept = choose_rows(np.unique(labels, return_inverse=True)[1], MOST_IMAGES)
    records = [results.train[i] for i in kept]
    member = np.unique(labels[kept], return_inverse=True)[1]
    together = duplicate_groups(results.index, records)
    first = Blocks(taps=(source.backbone.taps[0].name,), resolutions=(min(source.stores),))
    X = np.asarray(source.rows(first, records)[:], dtype=np.float32)
    found = find_shortcuts(properties_of(appearance(records, cache)), member, together)
    examples = [*judged, *results.test][:MOST_DIVIDED]
    right = np.concatenate([results.chosen.correct, results.svm.correct])[:MOST_DIVIDED]
    parts = judge_parts(
        right, divisions_of(appearance(examples, cache)), groups=groups_of(examples)
    )
    return Checks(
        shortcuts=tuple(
            Shortcut(name=s.name, accuracy=s.accuracy, chance=s.chance, is_alarming=s.is_alarming)
            for s in found
        ),
        n_shortcuts=len(records),
        first_layer=judge_features(normalize_rows(X, "l2"), member, together),
        parts=tuple(
            Part(
                by=p.by, value=p.value, n=p.n, accuracy=p.accuracy, rest=p.rest, is_worse=p.is_worse
            )
            for p in parts
        ),
        n_parts=len(examples),
    )


def properties_of(seen: Appearance) -> dict[str, NDArray[Any]]:
    """What no class should be told by, and colours, for `find_shortcuts`."""
    formats = np.unique(seen.formats, return_inverse=True)[1]
    return {
        "file size": seen.n_bytes,
        "picture size": seen.sizes,
        "file format": formats,
        "border colour": seen.border,
        "mean colour": seen.thumbs.mean(axis=(1, 2)),
    }


def divisions_of(seen: Appearance) -> dict[str, list[str]]:
    """Parts by what pictures look like and how they are stored."""
    width, height = seen.sizes.T
    ratio = width / np.maximum(height, 1)
    shape = np.where(ratio > 1.1, "landscape", np.where(ratio < 1 / 1.1, "portrait", "square"))
    return {
        "picture size": in_thirds(width * height, ("small", "medium", "large")),
        "shape": shape.tolist(),
        "file format": seen.formats.tolist(),
        "brightness": in_thirds(seen.brightness, ("dark", "medium", "bright")),
        "contrast": in_thirds(seen.contrast, ("low", "medium", "high")),
        "bytes a pixel": in_thirds(
            seen.n_bytes / np.maximum(width * height, 1), ("few", "medium", "many")
        ),
    }


def with_checks(results: Results, found: Checks | None) -> Results:
    """The results with a note on shortcuts."""
    note = shortcut_note(found)
    if not note:
        return results
    return replace(results, index=replace(results.index, notes=(*results.index.notes, note)))


def shortcut_note(found: Checks | None) -> str:
    """What to know where classes can be told by how files are stored; else ""."""
    told_by = [s for s in found.shortcuts if s.is_alarming] if found else []
    if not any(s.name in OF_FILES for s in told_by):
        return ""
    alarming = [s for s in told_by if s.name in (*OF_FILES, "file size")]
    told = ", ".join(f"{s.name} ({100 * s.accuracy.value:.0f} %)" for s in alarming)
    return (
        f"the classes can be told by {told} alone, where chance is {100 * alarming[0].chance:.0f} %: the "
        "network may have learnt how the files were made rather than what they show. Store all "
        "classes the same way, or test on images from elsewhere"
    )
