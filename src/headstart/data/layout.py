"""The meaning of the folders of a tree: classes, sides of a split, or patients with classes inside.

Only file names are used. An unambiguous tree is read; a tree in which a split, a copy of the data or a
patient could be mistaken for a class is refused, with instructions.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from headstart.data.labels import label_key
from headstart.data.sources import SPLIT_WORDS, shown, some
from headstart.errors import DataError, argument

CLASSES_FROM = ("auto", "outer", "inner")
"""Which folders name the classes: detected, the outermost, or those inside these."""

_WORDS = SPLIT_WORDS | {
    "trn": "train",
    "trainval": "train",
    "eval": "test",
    "evaluation": "test",
    "holdout": "test",
    "heldout": "test",
    "tst": "test",
}
# Words without information about the images.
_FILLERS = frozenset(
    [
        "set",
        "sets",
        "data",
        "dataset",
        "datasets",
        "subset",
        "split",
        "splits",
        "image",
        "images",
        "img",
        "imgs",
        "picture",
        "pictures",
        "pic",
        "pics",
        "photo",
        "photos",
        "file",
        "files",
        "folder",
        "dir",
        "sample",
        "samples",
        "example",
        "examples",
        "part",
    ]
)
_COPIES = frozenset(
    [
        "augmented",
        "augmentation",
        "aug",
        "raw",
        "original",
        "originals",
        "orig",
        "all",
        "unlabelled",
        "unlabeled",
        "copy",
        "copies",
        "backup",
        "masks",
        "pred",
        "preds",
        "prediction",
        "predictions",
        "output",
        "outputs",
        "results",
    ]
)
_SHARE_REPEATED = 0.8
_N_NAMED = 4


@dataclass(slots=True)
class Layout:
    """The interpretation of a tree."""

    # for each image the folders from its class folder down; empty if there is none
    paths: list[list[str]]
    splits: list[str]  # for each image its side, ``""`` if the tree has none
    source: str = "folder"  # ``"folder"`` or ``"split folders"``
    notes: list[str] = field(default_factory=list)  # assumptions

    @property
    def labels(self) -> list[str]:
        """For each image the name of its class folder, ``""`` if there is none."""
        return [path[0] if path else "" for path in self.paths]

    @property
    def classes(self) -> list[str]:
        """Names of the class folders, sorted."""
        return sorted({path[0] for path in self.paths if path})


def read_layout(root: object, names: Sequence[str], classes_from: str = "auto") -> Layout:
    """Determine label and split of every image of a tree.

    Raises DataError where the tree is ambiguous, or has no folders at the requested level.

    `root`: name of the tree in messages. `names`: posix paths of the images below it.
    `classes_from` ({"auto", "outer", "inner"}): ``"outer"``: the folders at the top name the
    classes, or those in ``train`` and ``test`` where these hold class folders; ``"inner"``: the
    folders inside these do; ``"auto"``: the outer ones; an ambiguous tree is refused.
    """
    if classes_from not in CLASSES_FROM:
        raise DataError(f"classes_from must be {' or '.join(CLASSES_FROM)}; got {classes_from!r}")
    tree = _Tree(str(root), [name.split("/")[:-1] for name in names])
    splits = split_folders(tree.tops)
    if _is_split_layout(tree, splits):
        found = _below_splits(tree, splits)
    else:
        if classes_from == "auto":
            _refuse_splits(tree, splits)
        found = Layout(tree.folders, [""] * len(names))
    if classes_from == "inner":
        return _by_inner(tree, found)
    is_split_within = found.source == "folder" and _take_splits_within(found)
    if classes_from == "auto":
        _refuse_nested(tree, found)
        if not is_split_within:
            _refuse_repeated(tree, found)
        found.notes += _odd_names(found, splits)
    return found


def split_folders(names: Iterable[str]) -> dict[str, str]:
    """Which names of sibling folders mean a split, and which one.

    A name does if it consists of one word for a split and words without information
    (``training_set``, ``TestImages``, ``val2``), or if sibling names differ only in that word
    (``seg_train`` and ``seg_test``).

    Examples
    --------
    >>> split_folders(["training_set", "test-images", "bus"])
    {'training_set': 'train', 'test-images': 'test'}
    """
    read = {name: _read_name(name) for name in names}
    by_rest: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for split, rest in read.values():
        if split:
            by_rest[rest].add(split)
    return {
        name: split
        for name, (split, rest) in read.items()
        if split and (not rest or len(by_rest[rest]) > 1)
    }


class _Tree:
    """The folders of every image, from the top down, and the root's name in messages."""

    def __init__(self, root: str, folders: list[list[str]]) -> None:
        self.root = root
        self.folders = folders
        self.tops = list(dict.fromkeys(f[0] for f in folders if f))
        self.deeper = Counter(f[0] for f in folders if len(f) > 1)


def _read_name(name: str) -> tuple[str, tuple[str, ...]]:
    """The split that a name mentions (or ``""``), and its other words."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    joined = re.sub(r"\b(hold|held)[\W_]*out", r"\1out", spaced.lower())
    words = re.findall(r"[^\W\d_]+", joined)
    splits, rest = set(), []
    for word in words:
        if split := _split_word(word):
            splits.add(split)
        elif word not in _FILLERS:
            rest.append(word)
    if len(splits) != 1:
        return "", tuple(rest)
    return splits.pop(), tuple(rest)


def _split_word(word: str) -> str:
    """``train`` of ``train``, ``trainset`` and ``trainimages``."""
    if word in _WORDS:
        return _WORDS[word]
    for known, split in _WORDS.items():
        if word.startswith(known) and word[len(known) :] in _FILLERS:
            return split
    return ""


def _is_split_layout(tree: _Tree, splits: dict[str, str]) -> bool:
    """Whether all folders are sides of a split, with class folders where they are needed."""
    if set(tree.tops) != set(splits):
        return False
    has_classes = {split for top, split in splits.items() if tree.deeper[top]}
    if "train" in splits.values():
        return "train" in has_classes
    return len(has_classes) > 1


def _refuse_splits(tree: _Tree, splits: dict[str, str]) -> None:
    """Refuse a tree whose split would be mistaken for classes."""
    others = [top for top in tree.tops if top not in splits]
    has_train = any(s == "train" and tree.deeper[top] for top, s in splits.items())
    if len(set(splits.values())) < 2 and not (has_train and others):
        return
    named = some(list(splits), n=_N_NAMED)
    way_through = (
        f"if these folders are the classes, say so with {argument('classes_from', 'outer')}"
    )
    if others:
        raise DataError(
            f"{shown(tree.root)} has split folders ({named}) beside {some(others)}, which "
            f"{'holds' if len(others) == 1 else 'hold'} images too: move it away, or name it train, "
            f"val or test; {way_through}"
        )
    flat = sorted(
        (top for top in splits if not tree.deeper[top]), key=lambda t: splits[t] != "train"
    )
    raise DataError(
        f"{shown(tree.root)} has folders named like a split ({named}) and no class folders in "
        f"{shown(flat[0])}: put the images of each class in a folder of its own, such as "
        f"{shown(flat[0] + '/cat')}, or give a table of paths, labels and splits (labels are not "
        f"read from file names); {way_through}"
    )


def _below_splits(tree: _Tree, splits: dict[str, str]) -> Layout:
    """Class folders inside split folders, skipping wrappers such as train/images."""
    depth = {top: 2 if _is_wrapped(tree, top) else 1 for top in splits}
    paths = [f[depth[f[0]] :] if f else [] for f in tree.folders]
    found = Layout(paths, [splits[f[0]] if f else "" for f in tree.folders], "split folders")
    unusual = {top: s for top, s in splits.items() if top.lower() not in SPLIT_WORDS}
    if unusual:
        told = ", ".join(f"{shown(top)} as {split}" for top, split in unusual.items())
        found.notes.append(f"took folders as sides of a split: {told}")
    return found


def _is_wrapped(tree: _Tree, top: str) -> bool:
    """Whether all class folders of a split are in one folder that is not a class itself."""
    below = [f[1:] for f in tree.folders if f and f[0] == top]
    if len({f[0] if f else "" for f in below}) != 1 or any(len(f) < 2 for f in below):
        return False
    split, rest = _read_name(below[0][0])
    return below[0][0] == top or (not rest and split in ("", _read_name(top)[0]))


def _inside(path: Sequence[str]) -> str:
    """The folder inside a class folder, skipping wrappers such as ``images``."""
    below = path[1:]
    if len(below) > 1 and _read_name(below[0]) == ("", ()):
        return below[1]
    return below[0] if below else ""


def _by_inner(tree: _Tree, outer: Layout) -> Layout:
    inside = [_inside(path) for path in outer.paths]
    if not any(inside):
        raise DataError(
            f"{shown(tree.root)}: {argument('classes_from', 'inner')} needs folders with images inside "
            f"{some(outer.classes)}, and there are none: leave the option out"
        )
    found = Layout([[name] if name else [] for name in inside], outer.splits, outer.source)
    note = f"the classes are the folders inside {some(outer.classes)}"
    if not any(outer.splits):
        note += (
            ": images of one of these can be on both sides of the split, unless you give a split "
            "that keeps them apart"
        )
    found.notes = [*outer.notes, note]
    return found


def _take_splits_within(found: Layout) -> bool:
    """Use train and test folders inside class folders as the split, if there is nothing else."""
    inside = [_inside(path) for path in found.paths]
    splits = split_folders(set(inside))
    of_class = defaultdict(set)
    for path, name in zip(found.paths, inside, strict=True):
        if path:
            of_class[path[0]].add(splits.get(name, ""))
    has_all = all("train" in sides and "" not in sides for sides in of_class.values())
    if len(set(splits.values())) < 2 or len(of_class) < 2 or not has_all:
        return False
    found.splits = [splits.get(name, "") for name in inside]
    found.source = "split folders"
    found.notes.append(f"took the folders {some(sorted(splits))} inside each class as the split")
    return True


def _refuse_nested(tree: _Tree, found: Layout) -> None:
    """Refuse a folder that contains folders named like its siblings: a second copy of the data."""
    classes = {label_key(label) for label in found.classes}
    for path in found.paths:
        beside = classes - {label_key(name) for name in path[:1]}
        again = next((name for name in path[1:] if label_key(name) in beside), None)
        if again is not None:
            raise DataError(
                f"{shown(tree.root)}: the folder {shown(path[0])} would be a class, and holds a "
                f"folder {shown(again)}, which is a class beside it: move {shown(path[0])} away if "
                f"it is a copy or a part of the data; if it is a class, give {argument('classes_from', 'outer')}"
            )


def _refuse_repeated(tree: _Tree, found: Layout) -> None:
    """Refuse class folders with equal sub-folders: patients, cameras or folds that contain classes."""
    holders: dict[str, set[str]] = defaultdict(set)
    sizes: Counter[str] = Counter()
    spelling: dict[str, str] = {}
    for path in found.paths:
        if name := _inside(path):
            key = label_key(name)
            holders[key].add(path[0])
            sizes[key] += 1
            spelling.setdefault(key, name)
    repeated = [key for key in holders if len(holders[key]) > 1]
    n_labelled = sum(map(bool, found.paths))
    if len(repeated) < 2 or sum(sizes[k] for k in repeated) < _SHARE_REPEATED * n_labelled:
        return
    outer, inner = found.classes, sorted(spelling[key] for key in repeated)
    raise DataError(
        f"{shown(tree.root)}: the folders {some(outer)} hold folders of the same names "
        f"({some(inner)}), and either could be the classes: give {argument('classes_from', 'inner')} for classes "
        f"such as {shown(inner[0])}, or {argument('classes_from', 'outer')} for classes such as {shown(outer[0])}"
    )


def _odd_names(found: Layout, splits: dict[str, str]) -> list[str]:
    """A note on classes whose names mention a split or a copy of the data."""
    labels = found.classes
    odd = [x for x in labels if _says_nothing(x) or (x in splits and found.source == "folder")]
    if not odd or len(odd) == len(labels):
        return []
    one = len(odd) == 1
    taken = "is taken as a class" if one else "are taken as classes"
    todo = f"unless that is meant, move {'the folder' if one else 'these folders'} away"
    return [f"{some(odd)} {taken}, though named like a part or a copy of the data: {todo}"]


def _says_nothing(name: str) -> bool:
    words = set(re.findall(r"[^\W\d_]+", name.lower()))
    return bool(words) and words <= _FILLERS | _COPIES
