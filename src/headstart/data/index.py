"""One call from a path or a name to an `Index`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from headstart.data import labels
from headstart.data.annotations import (
    ANNOTATION_SUFFIXES,
    annotated_parts,
    list_annotated_folder,
    list_annotations,
)
from headstart.data.duplicates import find_duplicates
from headstart.data.factstore import FactStore
from headstart.data.folders import list_folder
from headstart.data.frames import VIDEO_SUFFIXES
from headstart.data.groups import groups_by_pattern
from headstart.data.inspection import Facts, Inspected, inspect_all
from headstart.data.packed import is_packed
from headstart.data.records import Index, Quarantined, Record
from headstart.data.sides import alike_notes, name_val_as_test, with_sides
from headstart.data.sources import Listed, Listing, counted, missing_path, shown, some
from headstart.data.splitfile import apply_split_file
from headstart.data.tables import SPREADSHEETS, TABLE_SUFFIXES, ColumnNames, list_table
from headstart.data.targets import (
    TargetColumns,
    check_targets,
    names_of,
    target_hint,
    without_rare_labels,
)
from headstart.data.unpacking import list_packed
from headstart.errors import DataError, InputError, argument
from headstart.home import expand
from headstart.progress import Progress, silent

Inspect = Callable[[Sequence[Path], FactStore], Iterator[Inspected]]
"""From files and what is known by digest to what is found of each, in order."""


def _inspect_here(paths: Sequence[Path], store: FactStore) -> Iterator[Inspected]:
    return inspect_all(paths, store.get)


def index(
    path: str | os.PathLike[str],
    *,
    split: str | os.PathLike[str] | None = None,
    test_size: float = 0.2,
    seed: int = 0,
    image_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    group_by: str | None = None,
    weight_column: str | None = None,
    multi_label: str | None = None,
    label_columns: str | None = None,
    target_column: str | None = None,
    classes_from: str = "auto",
    merge_labels: bool = False,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
    inspect: Inspect | None = None,
) -> Index:
    """Read every image of a data set once; give names, labels, digests, sizes and a split.

    Parameters
    ----------
    path
        A folder with a folder for each class; the same inside ``train``, ``val`` and ``test``; a
        CSV, TSV or Parquet table of paths and labels; a split file; Parquet files of image bytes, tar
        shards or a URL (:mod:`headstart.data.packed`), which are unpacked under `cache`; or the name
        of a data set (``"scene15"``, ``"flowers102"``, ...; ``"scene15:/a/local/copy"``). A path that
        exists wins over a name.
    split
        A file of lines ``train,Class/file`` that puts every image on a side.
    test_size
        Share of each class to test on, in (0, 1), where Headstart makes the split: stratified, and
        with exact and near duplicates kept on one side.
    seed
        Of the split that Headstart makes.
    image_column, label_column, split_column
        Columns of a table, where their names are not among the usual ones. The split column says
        train, val or test in each row; ``"none"``: none does, and a split is made.
    group_column : str, optional
        Column of a table that names what must stay together in split and folds: a patient, a plant.
    group_by : str, optional
        The same for names: a regular expression (:func:`headstart.data.groups.groups_by_pattern`).
    weight_column : str, optional
        Column of a table that says how often each image counts: numbers of 0 or more.
    multi_label : str, optional
        What separates several labels in the column of labels of a table, such as ``";"``.
    label_columns : str, optional
        Names or patterns, separated by commas, of columns of a table that hold 0 or 1, a label each.
    target_column : str, optional
        Column of a table with the number to predict.
    classes_from
        Which folders name the classes, ``"auto"``, ``"outer"`` or ``"inner"``: see
        :func:`headstart.data.layout.read_layout`.
    merge_labels
        Whether labels that look the same (``Cat`` and ``cat``) become one class, under the most
        frequent spelling; else each is a class of its own, and a note names them.
    cache
        Folder that keeps what was learned about each file by digest, so that a second index of the
        same images decodes none, and that downloads of named sets go to. None: nothing is kept.
    progress
        Told of the stages ``"download"`` (bytes), ``"unpack"`` (parts) and ``"read images"``.
    inspect
        What reads the files; default: threads of this process. On a cluster:
        :func:`headstart.features.rayindex.inspect_on`.

    Returns
    -------
    Index
        Records sorted by name.

    Raises
    ------
    DataError
        Where the data cannot be used; the message says where and what to do. Single bad files
        raise nothing: they are in ``quarantine`` with the reason.
    """
    folder = None if cache is None else Path(cache)
    targets = TargetColumns(
        separator=multi_label, label_columns=label_columns, number=target_column
    )
    listing = _list(
        os.fspath(path),
        folder,
        {
            "image_column": image_column,
            "label_column": label_column,
            "split_column": split_column,
            "group_column": group_column,
            "weight_column": weight_column,
        },
        classes_from,
        progress,
        targets,
    )
    if merge_labels and targets.number is not None:
        raise InputError(f"{argument('merge_labels')} is for labels, not with {targets.option}")
    if merge_labels:
        listing.items, merged = labels.merge_labels(listing.items, "image")
        listing.notes += merged
    if split is not None:
        listing = _with_split_file(listing, expand(split))
    if group_by is not None:
        listing.items = _grouped(listing.items, group_by, group_column)
    listing.items.sort(key=lambda item: item.name)
    records, facts, quarantine = _read(listing, folder, progress, inspect or _inspect_here)
    listing.notes += _paged(records, facts)
    where = expand(path) if targets.is_asked else listing.root
    named = [name for r in records for name in names_of(r)]
    records, left_out = without_rare_labels(where, records)
    _check_classes(listing, records, quarantine, where)
    kind = "label" if targets.is_asked else "class"
    notes = listing.notes + labels.label_notes(named, "image", kind) + left_out
    hint = (
        ""
        if targets.is_asked or listing.source != "table"
        else target_hint([r.label for r in records])
    )
    notes += [hint] if hint else []
    records = name_val_as_test(records, notes)
    found = find_duplicates(records, facts)
    notes += alike_notes(found.alike, records)
    result = Index(
        root=listing.root,
        source=listing.source,
        records=tuple(records),
        quarantine=tuple(quarantine),
        duplicates=found.exact + found.near,
        ignored=listing.ignored,
        notes=tuple(notes),
    )
    try:
        return with_sides(result, test_size=test_size, seed=seed, where=where)
    except DataError as error:
        if not hint:
            raise
        raise DataError(f"{error} Also, {hint}.") from error


def _list(
    path: str,
    cache: Path | None,
    columns: ColumnNames,
    classes_from: str,
    progress: Progress,
    targets: TargetColumns,
) -> Listing:
    group, weight = columns["group_column"], columns["weight_column"]
    where = expand(path)
    try:
        is_folder, is_file = bool(path) and where.is_dir(), where.is_file()
    except OSError as error:
        raise DataError(f"cannot read {shown(where)}: {error.strerror}") from None
    packed = is_packed(path)
    if group is not None and (packed or not is_file):
        raise InputError(
            f"{argument('group_column')} {group!r} names a column of a table of paths, and "
            f"{shown(path)} is not one: give {argument('group_by')}, a pattern over the names"
        )
    if weight is not None and (packed or not is_file):
        raise InputError(
            f"{argument('weight_column')} {weight!r} names a column of a table of paths, and "
            f"{shown(path)} is not one"
        )
    parts: dict[str, Path] = {}
    if is_folder and not packed and classes_from == "auto":
        parts = annotated_parts(where.resolve())
    if targets.is_asked and (packed or not (is_file or parts)):
        raise InputError(
            f"{targets.option} is of columns of a table of paths (.csv, .tsv, .parquet, .json, .jsonl) or of "
            f"annotations, and {shown(path)} is neither"
        )
    if packed:
        return list_packed(
            path,
            cache=cache,
            image_column=columns["image_column"],
            label_column=columns["label_column"],
            split_column=columns["split_column"],
            classes_from=classes_from,
            progress=progress,
        )
    if parts:
        return list_annotated_folder(where.resolve(), parts, targets=targets, **columns)
    if is_folder:
        for name in ("image_column", "label_column"):
            if columns[name] is not None:
                raise InputError(
                    f"{argument(name)} {columns[name]!r} names a column of a table, and {shown(path)} is "
                    "a folder of class folders: leave it out, or give the table"
                )
        return list_folder(where.resolve(), classes_from=classes_from)
    if is_file:
        if where.suffix.lower() in SPREADSHEETS:
            raise DataError(
                f"{shown(where)} is a spreadsheet, which is not read: save it as CSV (UTF-8)"
            )
        if where.suffix.lower() in ANNOTATION_SUFFIXES:
            return list_annotations(where, **columns, targets=targets)
        if where.suffix.lower() in VIDEO_SUFFIXES:
            raise DataError(
                f"{shown(where)} is a video: make images of it with headstart frames, then fit their folder"
            )
        if where.suffix.lower() not in TABLE_SUFFIXES:
            raise DataError(
                f"{shown(where)} is a file but no table: expected a folder of class folders, or a "
                ".csv, .tsv, .txt, .parquet, .json or .jsonl file"
            )
        return list_table(where, targets=targets, **columns)
    from headstart.data.named import list_named, names_a_set, set_names

    if names_a_set(path):
        return list_named(path, cache=cache, progress=progress)
    raise missing_path(where, what="folder, table or data set", also=set_names())


def _with_split_file(listing: Listing, split: Path) -> Listing:
    if listing.source == "scene15":
        from headstart.data.scene15 import canonical_name

        return apply_split_file(listing, split, same_name=canonical_name)
    return apply_split_file(listing, split)


def _grouped(items: Sequence[Listed], group_by: str, group_column: str | None) -> list[Listed]:
    if group_column is not None:
        raise InputError(
            f"{argument('group_column')} and {argument('group_by')} both say what belongs together: "
            "give one of them"
        )
    groups = groups_by_pattern([item.name for item in items], group_by)
    return [replace(item, group=group) for item, group in zip(items, groups, strict=True)]


def _read(
    listing: Listing, cache: Path | None, progress: Progress, inspect: Inspect
) -> tuple[list[Record], list[Facts], list[Quarantined]]:
    store = FactStore(cache / "images" if cache is not None else None)
    records, facts = [], []
    quarantine = [Quarantined(name=n, reason="a link that leads nowhere") for n in listing.missing]
    quarantine += [Quarantined(name=n, reason=reason) for n, reason in listing.refused.items()]
    items = listing.items
    inspected = _remembered(inspect([i.path for i in items], store), store)
    for done, (item, seen) in enumerate(zip(items, inspected, strict=True), start=1):
        if seen.facts.reason:
            quarantine.append(Quarantined(name=item.name, reason=seen.facts.reason))
        else:
            facts.append(seen.facts)
            records.append(
                Record(
                    path=item.path,
                    name=item.name,
                    label=item.label,
                    digest=seen.digest,
                    width=seen.facts.width,
                    height=seen.facts.height,
                    split=item.split,
                    group=item.group,
                    weight=item.weight,
                    target=item.target,
                )
            )
        if done % 64 == 0 or done == len(items):
            progress("read images", done, len(items))
    return records, facts, sorted(quarantine, key=lambda q: q.name)


def _paged(records: Sequence[Record], facts: Sequence[Facts]) -> list[str]:
    """A note on files of several pages."""
    names = [r.name for r, f in zip(records, facts, strict=True) if f.n_pages > 1]
    if not names:
        return []
    told = f"{counted(len(names), 'file')} of several pages, of which the first is used: {some(names, is_counted=True)}"
    return [f"{told} (headstart frames makes an image of each page)"]


def _remembered(inspected: Iterator[Inspected], store: FactStore) -> Iterator[Inspected]:
    """Passes on and stores; what was learned before an interrupt is kept too."""
    try:
        for seen in inspected:
            if "pip install" not in seen.facts.reason:  # it may be installed by then
                store.add(seen.digest, seen.facts)
            yield seen
    finally:
        store.flush()


def _check_classes(
    listing: Listing,
    records: Sequence[Record],
    quarantine: Sequence[Quarantined],
    where: Path,
) -> None:
    """At least two classes are left; a class that lost all its images is noted."""
    is_targets = bool(records) and records[0].target is not None
    left = sorted({name for r in records for name in names_of(r)})
    lost = sorted({i.label for i in listing.items if i.target is None} - set(left))
    if is_targets:
        check_targets(where, records)
    if len(left) >= 2 or is_targets:
        emptied = sorted({i.split for i in listing.items} - {r.split for r in records})
        if emptied:
            raise DataError(
                f"{shown(where)}: no image of the {emptied[0]} split can be used (first: "
                f"{shown(quarantine[0].name)}: {quarantine[0].reason})"
            )
        if lost:
            listing.notes.append(
                f"no usable image is left of {counted(len(lost), 'class')}: {some(lost, is_counted=True)}"
            )
        return
    first = quarantine[0] if quarantine else None
    because = (
        f" ({counted(len(quarantine), 'unusable file')}; first: {shown(first.name)}: {first.reason})"
        if first
        else ""
    )
    what = f"one class only ({shown(left[0])})" if left else "no usable image"
    raise DataError(f"{shown(where)} has {what}{because}: at least two classes are needed")
