"""Listing the images of a folder-per-class tree, with or without train/val/test folders."""

from __future__ import annotations

import json
from pathlib import Path

from headstart.data.frames import VIDEO_SUFFIXES
from headstart.data.layout import read_layout, split_folders
from headstart.data.sources import Listed, Listing, Walk, counted, shown, some
from headstart.errors import DataError


def list_folder(root: Path, *, classes_from: str = "auto") -> Listing:
    """The images of a class folder tree.

    Raises DataError where there are no images, no class folders, one class, or folders that may be
    a split or a patient as well as a class.

    `root`: absolute. `classes_from`: as for :func:`headstart.data.layout.read_layout`.
    """
    walk = Walk(root)
    folders, loose = walk.entries(root)
    sides = split_folders([walk.name(folder) for folder in folders])
    paths: list[Path] = []
    empty: list[str] = []
    for folder in folders:
        n_before = len(paths), len(walk.missing)
        paths += _images_below(walk, folder, has_classes=walk.name(folder) in sides)
        if (len(paths), len(walk.missing)) == n_before:
            empty.append(walk.name(folder))
    if not paths:
        _refuse_without_classes(root, loose, walk)
    names = [walk.name(path) for path in paths]
    layout = read_layout(root, names, classes_from)
    found = zip(paths, names, layout.labels, layout.splits, strict=True)
    items = [Listed(*item) for item in found if item[2]]
    outside = [walk.name(path) for path in loose]
    outside += [name for name, label in zip(names, layout.labels, strict=True) if not label]
    notes = list(layout.notes)
    if outside:
        notes.append(
            f"left out {counted(len(outside), 'image')} in no class folder: {some(outside, is_counted=True)}"
        )
    if empty:
        notes.append(
            f"ignored {counted(len(empty), 'folder')} without images: {some(empty, is_counted=True)}"
        )
    if len(layout.classes) == 1:
        _refuse_one_class(walk, root, layout.classes[0])
    return walk.listing(layout.source, items, notes)


def _images_below(walk: Walk, folder: Path, *, has_classes: bool) -> list[Path]:
    """Images of a class folder; of a split folder, where a link may be in two classes."""
    if not has_classes:
        return list(walk.images(folder, above=[walk.root]))
    classes, files = walk.entries(folder)
    for inside in classes:
        files += walk.images(inside, above=[walk.root, folder])
    return files


def _refuse_without_classes(root: Path, loose: list[Path], walk: Walk) -> None:
    if loose:
        raise DataError(
            f"{shown(root)} holds {counted(len(loose), 'image')} but no class folders: put the images of each "
            "class in a folder of its own, or give a table of paths and labels"
        )
    if (root / "run.json").is_file():
        raise DataError(f"{shown(root)} is a run, not data{_data_of(root)}")
    n_videos = sum(Path(name).suffix.lower() in VIDEO_SUFFIXES for name in walk.left_out)
    if n_videos:
        raise DataError(
            f"{shown(root)} holds no images, but {counted(n_videos, 'video')}: make images of them with headstart "
            "frames, then fit their folder"
        )
    other = f" ({counted(walk.ignored, 'other file')})" if walk.ignored else ""
    raise DataError(
        f"{shown(root)} holds no images{other}: expected a folder for each class with images in it"
    )


def _data_of(run: Path) -> str:
    """``: its data is 'data/photos'``, as far as the run says it."""
    try:
        settings = json.loads((run / "run.json").read_text(encoding="utf-8"))["settings"]
        return f": its data is {shown(Path(settings['data']))}"
    except (OSError, ValueError, KeyError, TypeError):
        return ": name the data that it was made of"


def _refuse_one_class(walk: Walk, root: Path, label: str) -> None:
    deeper = [f.name for f in walk.subfolders(root / label)] if (root / label).is_dir() else []
    hint = f" Did you mean {shown(root / label)}?" if len(deeper) > 1 else ""
    raise DataError(
        f"{shown(root)} has one class only ({shown(label)}): at least two class folders are "
        f"needed.{hint}"
    )
