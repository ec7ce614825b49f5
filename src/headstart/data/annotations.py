"""Labels of images as other tools write them: COCO, FiftyOne, Label Studio, Pascal VOC, Roboflow, Hugging Face.

A file of annotations becomes a table of paths and labels. Of boxes, only the class counts. An image
without a class, or with several, cannot be used where one for each image is needed; it goes on the quarantine
list with this reason. What else is written of an image (a camera, a date) becomes columns where one of them is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack
from urllib.parse import parse_qs, unquote, urlsplit

from headstart.data.decode import is_image_name
from headstart.data.sources import SPLIT_WORDS, Listing, counted, shown, some
from headstart.data.tablenames import is_there
from headstart.data.tables import (
    IMAGE_NAMES,
    LABEL_NAMES,
    NO_COLUMN,
    NO_TARGETS,
    SPLIT_NAMES,
    ColumnNames,
    Table,
    clean_name,
    list_rows,
    read_table,
    table_cells,
    usual_form,
)
from headstart.data.targets import TargetColumns
from headstart.data.texttables import read_json_lines, table_of_objects
from headstart.errors import DataError, InputError, argument, one_line

ANNOTATION_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
_METADATA = ("metadata.csv", "metadata.jsonl")
_COCO, _ONE_HOT = "_annotations.coco.json", "_classes.csv"
_FIFTYONE, _FIFTYONE_IMAGES = "labels.json", "data"
# Names of columns whose cell is a class in exports that are one record an image.
_CHOICES = ("choice", "choices")
# What Label Studio puts before the name of a file that was uploaded.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
_KNOWN = (
    "COCO (images, annotations, categories), FiftyOne (classes, labels), an export of Label Studio, or a list of records such as "
    '{"image": "a.jpg", "label": "cat"}'
)

Refused = dict[str, str]
# The columns that are asked for, by parameter.
Wanted = Mapping[str, Any]
NOTHING: Wanted = {}


def list_annotations(
    path: Path, *, targets: TargetColumns = NO_TARGETS, **columns: Unpack[ColumnNames]
) -> Listing:
    """The images that a file of annotations names; relative paths start at its own folder.

    `path`: ``.json`` or ``.jsonl``. `columns`: as for :func:`headstart.data.tables.list_table`, of
    records.

    Raises DataError or InputError where it cannot be read, is in none of the known forms, or is not a
    list of records though several labels or numbers are asked for.
    """
    table, refused = _read(path, {**columns, "targets": targets})
    found = list_rows(table, _root(path), targets=targets, **columns)
    found.source, found.refused = "annotations", refused
    return found


def annotated_table(path: Path) -> Table:
    """The table that a file of annotations becomes.

    Raises DataError as of `list_annotations`.
    """
    return _read(path)[0]


def annotated_cells(
    path: Path, column: str, *, image_column: str | None = None
) -> dict[str, str] | None:
    """As :func:`headstart.data.tables.cells_by_name`, of a file or folder of annotations.

    None of a file or folder that has none.
    """
    parts = annotated_parts(path) if path.is_dir() else {"": path}
    if not parts or (path.is_file() and path.suffix.lower() not in ANNOTATION_SUFFIXES):
        return None
    found: dict[str, str] = {}
    for inner, file in parts.items():
        if file.is_dir():
            table, root = _read_voc(file, {"group_column": column})[0], path / inner
        else:
            table = _read(file, {"group_column": column})[0]
            root = path / inner if path.is_dir() else _root(file)
        cells = table_cells(table, root, column, image_column=image_column)
        found |= {f"{inner}/{name}" if inner else name: cell for name, cell in cells.items()}
    return found


def _root(file: Path) -> Path:
    """Where the paths in a file of annotations start."""
    root = file.parent.resolve()
    return root.parent if root.name.lower() == "annotations" else root  # as COCO is published


def annotated_parts(folder: Path) -> dict[str, Path]:
    """Files of annotations in a folder, or in its split folders, by the split's folder; "" for itself.

    Pascal VOC is the folder of its XML files. Empty where there are none, or where metadata give no
    labels: then the folders do.
    """
    own = _annotations_in(folder)
    if own is not None:
        return {"": own}
    try:
        inner = sorted(p for p in folder.iterdir() if p.name.lower() in SPLIT_WORDS and p.is_dir())
    except OSError:
        return {}
    found = {p.name: there for p in inner if (there := _annotations_in(p)) is not None}
    return found if len(found) == len(inner) else {}


def list_annotated_folder(
    folder: Path,
    parts: Mapping[str, Path],
    *,
    targets: TargetColumns = NO_TARGETS,
    **columns: Unpack[ColumnNames],
) -> Listing:
    """The images of a folder with annotations; parameters as :func:`annotated_parts` gives them.

    Raises DataError as for :func:`list_annotations`.
    """
    listings = []
    wanted = {**columns, "targets": targets}
    for inner, path in parts.items():
        table, refused = _read_voc(path, wanted) if path.is_dir() else _read(path, wanted)
        one = list_rows(table, folder / inner, targets=targets, **columns)
        one.source, one.refused = "annotations", refused
        before = f"{inner}/" if inner else ""
        split = SPLIT_WORDS.get(inner.lower(), "")
        one.items = [
            replace(item, name=before + item.name, split=item.split or split) for item in one.items
        ]
        one.refused = {before + name: reason for name, reason in one.refused.items()}
        listings.append(one)
    whole = Listing(folder, "annotations", notes=[n for one in listings for n in one.notes])
    whole.items = [item for one in listings for item in one.items]
    whole.refused = {k: v for one in listings for k, v in one.refused.items()}
    named = sorted({p.name for p in parts.values()})
    whole.notes.insert(0, f"the labels are those of {some(named)}, not the names of folders")
    return whole


def _annotations_in(folder: Path) -> Path | None:
    for name in (_COCO, _ONE_HOT):
        if (folder / name).is_file():
            return folder / name
    if (folder / _FIFTYONE).is_file() and (folder / _FIFTYONE_IMAGES).is_dir():
        return folder / _FIFTYONE
    for name in _METADATA:
        if (folder / name).is_file() and _gives_labels(folder / name):
            return folder / name
    for place in (folder / "Annotations", folder):
        try:
            if any(p.suffix.lower() == ".xml" and _is_voc(p) for p in sorted(place.iterdir())[:20]):
                return place
        except OSError:
            continue
    return None


def _gives_labels(path: Path) -> bool:
    """Whether metadata name files and their labels."""
    try:
        header = [usual_form(h) for h in _read(path)[0].header]
    except DataError:
        return True  # told when it is read in earnest
    return "file_name" in header and any(name in header for name in LABEL_NAMES)


def _read(path: Path, wanted: Wanted = NOTHING) -> tuple[Table, Refused]:
    """The table, with all that is said of an image where a column of it is wanted."""
    suffix = path.suffix.lower()
    if path.name == _ONE_HOT:
        return _one_hot(read_table(path), wanted)
    if suffix not in ANNOTATION_SUFFIXES:
        return read_table(path), {}
    if suffix != ".json":
        return _with_usual_names(read_json_lines(path)), {}
    content = _load(path)
    if isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys():
        return _rows(path, _checked(path, "COCO", _of_coco, content), wanted)
    if isinstance(content, dict) and isinstance(content.get("labels"), dict):
        found = _checked(path, "FiftyOne", _of_fiftyone(path.parent), content)
        return _rows(path, found, wanted)
    if isinstance(content, list) and content and all(isinstance(r, dict) for r in content):
        if all(isinstance(r.get("data"), dict) for r in content):
            found = _checked(path, "Label Studio", _of_label_studio(path), content)
            return _rows(path, found, wanted)
        places = [f"record {i + 1}" for i in range(len(content))]
        return _with_usual_names(table_of_objects(path, content, places, "utf-8")), {}
    raise DataError(f"{shown(path)} is JSON, but not annotations of images: expected {_KNOWN}")


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot read {shown(path)}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        reason = one_line(str(error), limit=120)
        raise DataError(f"{shown(path)} is not JSON: {reason}") from None


# Name, labels, and what else is written of each image.
Found = list[tuple[str, list[str], dict[str, str]]]


def _checked(path: Path, kind: str, read: Callable[[Any], Found], content: Any) -> Found:
    """What `read` finds; a message where the file does not have the form that it begins like."""
    try:
        return read(content)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(
            f"{shown(path)} looks like {kind}, but is not complete: {one_line(repr(error), limit=80)}"
        ) from None


def _of_coco(content: Any) -> Found:
    names = {c["id"]: str(c["name"]) for c in content["categories"]}
    of_image: dict[Any, list[str]] = {}
    for annotation in content["annotations"]:
        if (unknown := annotation["category_id"]) not in names:
            raise KeyError(f"category {unknown} of image {annotation['image_id']}")
        of_image.setdefault(annotation["image_id"], []).append(names[annotation["category_id"]])
    return [
        (str(i["file_name"]), of_image.get(i["id"], []), _attributes(i)) for i in content["images"]
    ]


def _attributes(record: Mapping[str, Any]) -> dict[str, str]:
    """What is written of an image as a text or a number, also one level deeper (`attributes`, `meta`)."""
    flat = dict(record)
    for value in record.values():
        if isinstance(value, dict):
            flat = value | flat
    # Names that would be taken for the columns of paths and labels are left out. Of all usual names of labels,
    # `label` comes first, so that no other is.
    usual = {*IMAGE_NAMES, "label"}
    return {
        k: str(v)
        for k, v in flat.items()
        if isinstance(v, str | int | float) and usual_form(k) not in usual
    }


def _of_fiftyone(folder: Path) -> Callable[[Any], Found]:
    """A reader of FiftyOneImageClassificationDataset: names without suffixes, of files in ``data``."""

    def read(content: Any) -> Found:
        root = folder / _FIFTYONE_IMAGES
        files: dict[str, list[str]] = {}
        for path in sorted(root.rglob("*")):
            if is_image_name(path.name):
                inner = path.relative_to(root)
                for key in dict.fromkeys((inner.as_posix(), inner.with_suffix("").as_posix())):
                    files.setdefault(key, []).append(inner.as_posix())
        targets, classes = content["labels"], content.get("classes") or []
        if not isinstance(classes, list):
            raise TypeError("classes is not a list")
        found: Found = []
        for name, target in targets.items():
            value = target["label"] if isinstance(target, dict) else target
            label = _fiftyone_label(name, value, classes)
            place = f"{_FIFTYONE_IMAGES}/{_fiftyone_file(name, files, targets)}"
            found.append((place, [] if label is None else [label], {}))
        return found

    return read


def _fiftyone_file(name: str, files: Mapping[str, list[str]], targets: Mapping[str, Any]) -> str:
    """The file of a key, which may have its suffix; one that another key names is not meant."""
    there = files.get(name, [])
    if len(there) > 1:
        other = {file: Path(file).with_suffix("").as_posix() for file in there}
        there = [f for f in there if (other[f] if f == name else f) not in targets]
    if len(there) > 1:
        raise DataError(
            f"labels of FiftyOne: {shown(name)} may be {' or '.join(map(shown, there))}: write the names "
            "with their suffixes"
        )
    return there[0] if there else name


def _fiftyone_label(name: str, value: Any, classes: list[Any]) -> str | None:
    """The class of a key; None where it has none."""
    if isinstance(value, list):
        raise DataError(
            f"labels of FiftyOne: image {shown(name)} has a list, {one_line(repr(value), limit=60)}, where one "
            f"class is expected: several labels of an image are read from a table, with {argument('multi_label')}"
        )
    if isinstance(value, bool) or not isinstance(value, int | str | None):
        raise DataError(
            f"labels of FiftyOne: image {shown(name)} has {one_line(repr(value), limit=60)} where a class or "
            "its index is expected"
        )
    if value is None or value == -1:
        return None
    if isinstance(value, str) or not classes:
        return str(value)
    if not 0 <= value < len(classes):
        raise DataError(
            f"labels of FiftyOne: image {shown(name)} has the index {value}, and there are "
            f"{counted(len(classes), 'class')} (0 to {len(classes) - 1}; -1 is a missing label)"
        )
    return str(classes[value])


def _of_label_studio(path: Path) -> Callable[[Any], Found]:
    """A reader of tasks: the image of each, and what its annotators chose."""

    def read(tasks: Any) -> Found:
        found = []
        for task in tasks:
            places = [v for v in task["data"].values() if _is_image_place(v)]
            if not places:
                raise KeyError("a file of an image")
            done = [a for a in task.get("annotations", []) if not a.get("was_cancelled")]
            results = [r.get("value") for a in done for r in a["result"]]  # a relation has none
            values = [value for value in results if isinstance(value, dict)]
            labels = [
                str(label)
                for value in values
                for key, chosen in value.items()
                if (key in _CHOICES or key.endswith("labels")) and isinstance(chosen, list)
                for label in chosen
            ]
            said = _attributes({"meta": task.get("meta")} | task["data"])
            found.append((_local_name(places[0], path.parent), labels, said))
        return found

    return read


def _is_image_place(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    return is_image_name(value) or is_image_name(_last_name(value))


def _last_name(place: str) -> str:
    parts = urlsplit(place)
    return unquote(parse_qs(parts.query).get("d", [parts.path])[0])


def _local_name(place: str, folder: Path) -> str:
    """A file's name where the images lie beside the export: paths of the server are left out."""
    if is_there(folder, place):
        return place
    name = _last_name(place)
    if "/local-files/" in place and is_there(folder, name):
        return name
    name = name.rpartition("/")[2]
    bare = _UPLOADED.sub("", name)
    return name if is_there(folder, name) or not is_there(folder, bare) else bare


def _with_usual_names(table: Table) -> Table:
    """Records of Label Studio's short form: the class is in ``choice``, the image a path of the server."""
    names = [usual_form(h) for h in table.header]
    if any(name in names for name in LABEL_NAMES) or not any(c in names for c in _CHOICES):
        return table
    header = tuple(
        "label" if n in _CHOICES else h for h, n in zip(table.header, names, strict=True)
    )
    at = names.index("image") if "image" in names else -1
    folder = table.path.parent
    rows = tuple(
        tuple(_local_name(c, folder) if i == at else c for i, c in enumerate(row))
        for row in table.rows
    )
    return replace(table, header=header, rows=rows)


def _one_hot(table: Table, wanted: Wanted = NOTHING) -> tuple[Table, Refused]:
    """Roboflow's table with a column of 0 and 1 for each class."""
    header = [h.strip() for h in table.header]
    at = next((i for i, h in enumerate(header) if usual_form(h) in ("filename", "file_name")), -1)
    classes = [i for i in range(len(header)) if i != at]
    if at < 0 or any(row[i].strip() not in ("0", "1") for row in table.rows for i in classes):
        raise DataError(
            f"{shown(table.path)}: expected a column filename, and one of 0 and 1 for each class"
        )
    return _rows(
        table.path,
        [
            (row[at], [header[i] for i in classes if row[i].strip() == "1"], {})
            for row in table.rows
        ],
        wanted,
    )


def _is_voc(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"<annotation" in file.read(1000)
    except OSError:
        return False


def _read_voc(folder: Path, wanted: Wanted = NOTHING) -> tuple[Table, Refused]:
    """A folder of Pascal VOC's XML files; the images lie beside them, or in ``JPEGImages``."""
    from xml.etree import ElementTree

    root = folder.parent if folder.name == "Annotations" else folder
    found: Found = []
    damaged: Refused = {}
    for path in sorted(folder.glob("*.xml")):
        try:
            tree = ElementTree.parse(path).getroot()
        except (OSError, ElementTree.ParseError, ValueError) as error:
            damaged[path.name] = f"the annotation cannot be read: {one_line(str(error), limit=80)}"
            continue
        if tree.tag != "annotation":
            continue
        name = clean_name((tree.findtext("filename") or "").strip()).rpartition("/")[2]
        name = name or f"{path.stem}.jpg"
        inside = f"JPEGImages/{name}"
        labels = [o.findtext("name") or "" for o in tree.iter("object")]
        elements = (*tree.iterfind("source/*"), *tree)
        said = _attributes({e.tag: (e.text or "").strip() for e in elements if not len(e)})
        place = inside if is_there(root, inside) else name
        found.append((place, [x for x in labels if x], said))
    table, refused = _rows(folder, found, wanted)
    return table, refused | damaged


def _rows(path: Path, found: Found, wanted: Wanted = NOTHING) -> tuple[Table, Refused]:
    """A table of the images with one class, and why the others cannot be used; of all where several are asked for.

    Only the field that is asked for is taken as the split: exports of other tools keep splits of their own.
    """
    targets = wanted.get("targets")
    several = targets is not None and targets.separator is not None
    if targets is not None and targets.is_asked and not several:
        raise InputError(
            f"{targets.option} needs a table or a list of records; {shown(path)} is neither. "
            f"{argument('multi_label', ';')} reads its classes as several labels of an image"
        )
    rows, refused = [], {}
    fields = sorted({k for *_, more in found for k in more})
    split = wanted.get("split_column")
    splits = [k for k in fields if usual_form(k) in SPLIT_NAMES and k != split]
    asked = [wanted.get(name) for name in ("group_column", "weight_column")]
    asked.append(None if split in NO_COLUMN else split)
    said = fields if any(asked) else []
    notes = tuple(
        f"{shown(path.name)} has a field {shown(k, 60)}, which is not taken as the split: "
        f"{argument('split_column', k)} takes it"
        for k in splits
        if split is None
    )
    for name, labels, more in found:
        classes = sorted({label.strip() for label in labels})
        if several:  # as lists, in which a class may hold any separator
            cells = (repr(classes), *(more.get(k, "") for k in said))
            rows.append((clean_name(name), *cells))
        elif len(classes) == 1:
            rows.append((clean_name(name), classes[0], *(more.get(k, "") for k in said)))
        elif classes:
            refused[clean_name(name)] = (
                f"several classes ({some(classes)}): one for each image is needed"
            )
        else:
            refused[clean_name(name)] = f"no class in {shown(path.name)}"
    n_several = sum(reason.startswith("several classes") for reason in refused.values())
    hint = (
        f"{counted(n_several, 'image')} of {shown(path.name)} {'has' if n_several == 1 else 'have'} several "
        f"classes: {argument('multi_label', ';')} takes them as several labels of an image"
    )
    if n_several:
        notes += (hint,)
    if not rows:
        first = next(iter(refused.items()), None)
        because = f"; first: {shown(first[0])}: {first[1]}" if first else ""
        because += f". {hint}" if n_several else ""
        raise DataError(f"{shown(path)} has no image with one class{because}")
    places = tuple(f"image {shown(row[0])}" for row in rows)
    table = Table(
        path,
        ("path", "label", *said),
        tuple(rows),
        places,
        "utf-8",
        notes,
        takes_usual_split=False,
    )
    return table, refused
