"""What may be wrong with images that no accuracy shows: shortcuts, and parts where the run is worse."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.data import duplicate_groups
from headstart.data.appearance import Appearance, appearance
from headstart.data.groups import groups_of
from headstart.heads.examples import normalize_rows
from headstart.probe import judgeable
from headstart.reliability.novelty import choose_rows
from headstart.reliability.shortcuts import find_shortcuts, judge_features
from headstart.reliability.slices import in_thirds, judge_parts
from headstart.runs.reliance import Checks
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
    if isinstance(source, SeveralSource):  # their first
        source = next(iter(source.of.values()))
    if not isinstance(source, ImageSource) or not results.judged.any():
        return None
    records = _told_by_others(results)
    member = np.unique([r.label for r in records], return_inverse=True)[1]
    together = duplicate_groups(results.index, records)
    first = Blocks(taps=(source.backbone.taps[0].name,), resolutions=(min(source.stores),))
    X = np.asarray(source.rows(first, records)[:], dtype=np.float32)
    return Checks(
        shortcuts=tuple(
            find_shortcuts(properties_of(appearance(records, cache)), member, together)
        ),
        n_shortcuts=len(records),
        first_layer=judge_features(normalize_rows(X, "l2"), member, together),
        **_parts(results, cache),
    )


def with_final_parts(found: Checks | None, results: Results, cache: Path) -> Checks | None:
    """The same with parts as the run's model judges them, where it is a fine-tuned network."""
    if found is None or results.final is results.svm:
        return found
    return msgspec.structs.replace(found, **_parts(results, cache))


def _parts(results: Results, cache: Path) -> dict[str, Any]:
    """The fields of the checks that speak of parts."""
    examples, right = _right(results)
    kept = choose_rows(np.unique([r.label for r in examples], return_inverse=True)[1], MOST_DIVIDED)
    divided = [examples[i] for i in kept]
    divisions = divisions_of(appearance(divided, cache)) if divided else {}
    return {
        "parts": tuple(judge_parts(right[kept], divisions, groups=groups_of(divided))),
        "n_parts": len(divided),
        "n_judged": len(examples),
        "is_finetuned": results.final is not results.svm,
    }


def _told_by_others(results: Results) -> list[Any]:
    """Training images for the search for shortcuts; a class of one group or image can't be told by others."""
    y = np.array([r.label for r in results.train])
    can = np.flatnonzero(judgeable(y, duplicate_groups(results.index, results.train)))
    if len(np.unique(y[can])) < 2:
        can = np.arange(len(y))
    kept = can[choose_rows(np.unique(y[can], return_inverse=True)[1], MOST_IMAGES)]
    return [results.train[i] for i in kept]


def _right(results: Results) -> tuple[list[Any], NDArray[np.bool_]]:
    """Images that the run's model had not seen when it judged them, and whether it was right."""
    if results.final is results.svm:
        judged = [r for r, j in zip(results.train, results.judged, strict=True) if j]
        return [*judged, *results.test], np.concatenate(
            [results.chosen.correct, results.svm.correct]
        )
    compared = results.finetuning.comparison if results.finetuning else None
    held = () if compared is None else compared.records
    right = np.zeros(0, dtype=bool) if compared is None else compared.finetuned
    return [*held, *results.test], np.concatenate([right, results.final.correct])


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
        "bytes per pixel": in_thirds(
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
    """What to know where classes can be told apart by how files are stored; else ""."""
    told_by = [s for s in found.shortcuts if s.is_alarming] if found else []
    if not any(s.name in OF_FILES for s in told_by):
        return ""
    alarming = [s for s in told_by if s.name in (*OF_FILES, "file size")]
    told = ", ".join(f"{s.name} ({100 * s.accuracy.value:.0f} %)" for s in alarming)
    return (
        f"the classes can be told apart by {told} alone, where chance is {100 * alarming[0].chance:.0f} %: the "
        "network may have learnt how the files were made rather than what they show. Store all "
        "classes the same way, or test on images from elsewhere"
    )
