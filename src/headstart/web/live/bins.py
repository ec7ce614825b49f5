"""One visitor's class bins: pictures in a folder for each class, and the classifier of them.

Features, cross-validation, choice and head are those of a fit: extracted once a picture and kept in a
feature store, so that a fit of a few dozen pictures takes about a second. The store is the visitor's own
and is removed with the pictures.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.data import Picture, read_rgb
from headstart.data.decode import is_image_name
from headstart.data.dicom import is_dicom
from headstart.errors import DataError, InputError, OutputError, one_line
from headstart.wording import listed

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index
    from headstart.results import Interval
    from headstart.runs.choose import Candidate
    from headstart.runs.model import Model
    from headstart.sources.image import ImageSource

MAX_PICTURES, MAX_CLASSES, MAX_MB = 200, 12, 20
MAX_VISITOR_MB = 200  # of all pictures of a visitor
MIN_EACH = 3  # different pictures of a class before anything is measured
RESOLUTIONS = (160, 224)
THUMBNAIL_PX = 144
MAX_NAME = 40
# What no folder can be called on one system or another.
FORBIDDEN = re.compile(r'[/\\:*?"<>|\x00-\x1f]')
# Camera pictures taken in one burst begin with its name; any other picture is a burst of its own.
BURST = re.compile(r"burst-[0-9a-z]{1,16}")
GROUP_BY = rf"/({BURST.pattern})_"


class Gone(Exception):  # noqa: N818 - an answer (404), not a failure
    """The bins are not on the server any more; the text is for the visitor."""

    def __init__(self) -> None:
        super().__init__(
            "These pictures are not here any more: the server was restarted, or needed the room for other "
            "visitors. Begin again."
        )


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What the classifier of the bins is, and how accurate."""

    model: Model
    accuracy: Interval  # cross-validated, of the candidate that is chosen
    n_judged: int  # pictures that the accuracy is of
    candidates: list[Candidate]  # all, in the order of the layer map
    chosen: int  # position of the chosen one
    # digest of each picture that cross-validation classified wrongly, and the class it was taken
    # for
    mistakes: dict[str, str]


class Bins:
    """Pictures in a folder for each class.

    After `close`, every method raises `Gone`.

    Parameters
    ----------
    folder : Path
        Created here, removed by `close`.
    network_lock : threading.Lock
        Held while the network runs.
    cache : Path
        Folder whose converted networks are used. Nothing about the pictures is written there.

    Attributes
    ----------
    classes : list of str
        In the order in which they are shown.
    n_bytes : int
        Size of all pictures; may be read without a lock.
    """

    def __init__(
        self, folder: Path, backbone: Backbone, network_lock: threading.Lock, cache: Path
    ) -> None:
        self.root = folder / "pictures"
        self.classes: list[str] = []
        self.n_bytes = 0
        self._folder, self._scores, self._cache = folder, folder / "scores", folder / "cache"
        self._shared_cache = cache
        self._backbone, self._network_lock = backbone, network_lock
        self._lock, self._fit_lock = threading.RLock(), threading.Lock()
        self._is_closed = False
        self._version, self._n_stored = 0, 0
        self._names: dict[str, str] = {}  # digest -> the name that it was sent under
        self._fitted: tuple[int, Fitted] | None = None  # of which version
        self.root.mkdir(parents=True)
        for name in ("Class 1", "Class 2"):
            self.add_class(name)

    def close(self) -> None:
        """Remove the pictures and everything derived from them, once no request uses them."""
        self._is_closed = True  # what waits for a lock gives up
        with self._fit_lock, self._lock:
            self.n_bytes = 0
            shutil.rmtree(self._folder, ignore_errors=True)

    def add_class(self, name: str) -> None:
        """Add an empty class.

        Raises InputError where the name cannot be used, or there are `MAX_CLASSES` classes.
        """
        with self._held():
            if len(self.classes) >= MAX_CLASSES:
                raise InputError(f"there are {MAX_CLASSES} classes, and no more fit: remove one")
            checked = self._check_name(name)
            (self.root / checked).mkdir()
            self.classes.append(checked)

    def rename_class(self, name: str, to: str) -> None:
        """Rename a class; its pictures stay.

        Raises InputError where there is no such class, or the new name cannot be used.
        """
        with self._held():
            folder = self._folder_of(name)
            checked = self._check_name(to, other_than=name)
            folder.rename(self.root / checked)
            self.classes[self.classes.index(name)] = checked
            self._changed()

    def remove_class(self, name: str) -> None:
        """Remove a class with its pictures.

        Raises InputError where there is no such class.
        """
        with self._held():
            shutil.rmtree(self._folder_of(name))
            self.classes.remove(name)
            self._changed()

    def add(self, name: str, content: bytes, *, file: str, burst: str = "") -> None:
        """Put a picture into a class.

        Raises InputError, DataError or OutputError where it is not an image, is too large, is among
        the pictures already, or there is no room for it.

        Parameters
        ----------
        name : str
            The class.
        content : bytes
            Of an image file.
        file : str
            What the person calls it, for messages.
        burst : str
            What camera pictures that were taken in one burst share: they count as one.
        """
        shown = one_line(file, limit=80) or "the picture"
        if len(content) > MAX_MB << 20:
            raise DataError(f"{shown} has more than {MAX_MB} MB: make it smaller")
        if burst and not BURST.fullmatch(burst):
            raise InputError(f"`burst` must be like burst-1a2b; got {one_line(burst, limit=40)!r}")
        image = read_rgb(content, name=shown)
        digest = hashlib.sha256(content).hexdigest()
        image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        with self._held():
            folder, known = self._folder_of(name), self._files()
            if digest in known:
                raise DataError(f"{shown} is in the class {known[digest].parent.name!r} already")
            if len(known) >= MAX_PICTURES:
                raise InputError(f"there are {MAX_PICTURES} pictures, and no more fit: remove some")
            if self.n_bytes + len(content) > MAX_VISITOR_MB << 20:
                raise InputError(
                    f"the pictures have {self.n_bytes / 2**20:.0f} MB, and with {shown} they would have more "
                    f"than {MAX_VISITOR_MB} MB: remove some, or make them smaller"
                )
            prefix = burst or f"burst-{digest[:12]}"
            path = folder / f"{prefix}_{digest}{_suffix(content, shown)}"
            try:
                path.write_bytes(content)
            except OSError as error:
                path.unlink(missing_ok=True)
                reason = one_line(error.strerror or "the disk is full or read-only")
                raise OutputError(f"{shown} cannot be kept ({reason}): make room") from error
            self._names[digest] = shown
            self._changed()

    def remove(self, digest: str) -> None:
        """Take a picture out.

        Raises InputError where there is none with that digest.
        """
        with self._held():
            self.path(digest).unlink()
            self._changed()

    def path(self, digest: str) -> Path:
        """The file of a picture; errors as of `remove`."""
        with self._held():
            found = self._files().get(digest)
        if found is None:
            raise InputError("that picture is not here any more: load the page again")
        return found

    def thumbnail(self, digest: str) -> bytes:
        """A small JPEG of a picture; errors as of `remove`."""
        image = read_rgb(self.path(digest), at_least=THUMBNAIL_PX)
        image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=85)
        return buffer.getvalue()

    def pictures(self) -> dict[str, list[tuple[str, str]]]:
        """Digest and name of the pictures of each class, in the order of the classes."""
        with self._held():
            return {
                name: [(d, self._names.get(d, "")) for d in self._digests(self.root / name)]
                for name in self.classes
            }

    def fit(self) -> Fitted:
        """The classifier of the pictures that are there, fitted again where they changed.

        Raises InputError where pictures are missing; the message says of which classes.
        """
        from headstart.features import extract
        from headstart.sources.image import ImageSource

        with self._fit_lock:
            with self._held():
                version = self._version
                if self._fitted is not None and self._fitted[0] == version:
                    return self._fitted[1]
                shutil.rmtree(self._scores, ignore_errors=True)  # of other pictures
                if self._n_stored > 2 * MAX_PICTURES:  # mostly of pictures that were removed
                    shutil.rmtree(self._cache, ignore_errors=True)
                    self._n_stored = 0
                index = self._read()
                with self._network_lock:
                    found = extract(
                        index.records, self._backbone, resolutions=RESOLUTIONS, cache=self._cache
                    )
            # From here on pictures may come and go.
            self._n_stored += found.n_forward // len(RESOLUTIONS)
            source = ImageSource(backbone=self._backbone, stores=found.stores)
            fitted = _fit(index, source, self._scores)
            self._fitted = (version, fitted)
            return fitted

    def classify(self, content: bytes, file: str) -> list[tuple[str, float]]:
        """Classes of a picture with their probabilities, the most probable first.

        Raises InputError or DataError as of `fit`, or it is not an image.
        """
        from headstart.features import stream_features

        model = self.fit().model
        shown = one_line(file, limit=80) or "the picture"
        if len(content) > MAX_MB << 20:
            raise DataError(f"{shown} has more than {MAX_MB} MB: make it smaller")
        source = Picture(shown, content)
        with self._network_lock:
            [(_, read, parts, unreadable)] = stream_features(
                [source], self._backbone, model.blocks.pairs, cache=self._shared_cache
            )
        if not read:
            raise DataError(unreadable[source])
        [p] = model.probabilities(model.join(parts))
        return [(model.classes[i], float(p[i])) for i in model.ranked(p)]

    def save(self, folder: Path) -> str | None:
        """Copy the pictures into a folder for each class.

        Raises InputError as of `fit`; OutputError where the disk is full or read-only. Returns the
        pattern of the pictures that belong together, for ``group_by``; None where none do.
        """
        with self._held():
            self._read()
            try:
                for name, known in self.pictures().items():
                    if known:
                        shutil.copytree(self.root / name, folder / name)
            except OSError as error:
                reason = one_line(error.strerror or "the disk is full or read-only")
                raise OutputError(f"the pictures cannot be saved ({reason}): make room") from error
            return GROUP_BY if self._has_bursts() else None

    def _make_cache(self) -> None:
        """Create the visitor's own cache, which shares converted networks alone with the user's."""
        if self._cache.is_dir():
            return
        self._cache.mkdir()
        engines = self._shared_cache / "engines"
        # Where links are not allowed, a network is converted again.
        with contextlib.suppress(OSError):
            engines.mkdir(parents=True, exist_ok=True)
            (self._cache / engines.name).symlink_to(engines.absolute(), target_is_directory=True)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the lock of bins that are not closed."""
        with self._lock:
            if self._is_closed:
                raise Gone
            yield

    def _changed(self) -> None:
        """The classes or their pictures are others: what was fitted does not hold."""
        self._version += 1
        self.n_bytes = sum(path.stat().st_size for path in self._files().values())

    def _read(self) -> Index:
        """The pictures as any data set is read, where there are enough.

        Raises InputError where there are not: the message says what is missing.
        """
        from headstart.data import index

        self._make_cache()
        held = {name: len(found) for name, found in self.pictures().items() if found}
        if len(held) < 2:
            where = "one more class" if held else "two classes"
            raise InputError(
                f"put pictures into {where}, {MIN_EACH} different ones or more in each"
            )
        _require_enough(held)
        found = index(self.root, classes_from="outer", cache=self._cache)
        if self._has_bursts():
            grouped = tuple(dataclasses.replace(r, group=_burst(r.path)) for r in found.records)
            found = dataclasses.replace(found, records=grouped)
        _require_enough(_n_different(found), "; pictures of one burst, and copies, count once")
        return found

    def _check_name(self, name: str, other_than: str = "") -> str:
        name = " ".join(name.split())
        if not name or name.startswith(".") or name.endswith(".") or FORBIDDEN.search(name):
            raise InputError(
                f"a class cannot be called {one_line(name, limit=60)!r}: give a name without / \\ : * "
                '? " < > | and without a dot at either end'
            )
        if len(name) > MAX_NAME:
            raise InputError(
                f"a class name has at most {MAX_NAME} characters; got {len(name)}: shorten it"
            )
        others = {known.casefold() for known in self.classes if known != other_than}
        if name.casefold() in others:
            raise InputError(f"there is a class {name!r} already: give another name")
        return name

    def _folder_of(self, name: str) -> Path:
        if name not in self.classes:
            raise InputError(f"there is no class {one_line(name, limit=60)!r} any more")
        return self.root / name

    def _files(self) -> dict[str, Path]:
        return {d: p for name in self.classes for d, p in self._digests(self.root / name).items()}

    def _digests(self, folder: Path) -> dict[str, Path]:
        """Pictures of a class by digest, in the order in which they came."""
        found = sorted(folder.iterdir(), key=lambda p: (p.stat().st_mtime_ns, p.name))
        return {p.stem.rpartition("_")[2]: p for p in found}

    def _has_bursts(self) -> bool:
        """Whether some pictures were taken in one burst."""
        bursts = [_burst(path) for path in self._files().values()]
        return len(set(bursts)) < len(bursts)


def _burst(path: Path) -> str:
    return path.name.partition("_")[0]


def _fit(index: Index, source: ImageSource, scores: Path) -> Fitted:
    """Cross-validate every candidate, choose, and refit the chosen one on all pictures."""
    from headstart.heads import accuracy_interval
    from headstart.heads.costs import COSTS
    from headstart.probe import training_folds
    from headstart.runs.choose import choose
    from headstart.runs.measure import Task, measure
    from headstart.runs.refit import refit

    records = index.records
    folds = training_folds(index, records)
    task = Task(source=source, records=records, folds=folds, Cs=COSTS, cache=scores)
    candidates = measure(task).candidates
    names = [c.blocks for c in candidates]
    prior = None if source.prior is None else names.index(source.prior)
    labels = [r.label for r in records]
    groups = task.judged_groups
    chosen = choose(candidates, labels, names.index(source.usual), prior, groups).chosen
    best = candidates[chosen]
    model = refit(best, source=source, train=records, test=()).model
    wrong = zip(records, best.scores.decisions.argmax(axis=1), best.scores.correct, strict=True)
    return Fitted(
        model=model,
        accuracy=accuracy_interval(best.correct, groups=groups),
        n_judged=len(best.correct),
        candidates=candidates,
        chosen=chosen,
        mistakes={r.digest: model.classes[i] for r, i, is_right in wrong if not is_right},
    )


def _require_enough(n_of_class: Mapping[str, int], why: str = "") -> None:
    few = [
        f"{MIN_EACH - n} more of {name}" for name, n in sorted(n_of_class.items()) if n < MIN_EACH
    ]
    if few:
        raise InputError(
            f"add {listed(few)}: with fewer than {MIN_EACH} pictures of a class an accuracy would be "
            f"chance{why}"
        )


def _n_different(index: Index) -> Counter[str]:
    """How many pictures of each class are neither copies nor of one burst with another."""
    from headstart.data import duplicate_groups

    groups = duplicate_groups(index, index.records).tolist()
    return Counter(
        label for label, _ in {(r.label, g) for r, g in zip(index.records, groups, strict=True)}
    )


def _suffix(content: bytes, shown: str) -> str:
    """The suffix of an image file by its first bytes, one that data sets are read with."""
    from PIL import Image

    if is_dicom(content):
        return ".dcm"
    try:
        with Image.open(io.BytesIO(content)) as image:
            kind = (image.format or "").lower()
    except Exception as error:  # as of `read_rgb`: decoders raise almost anything
        raise DataError(f"the format of {shown} is not known: save it as JPEG or PNG") from error
    known = {"jpeg": ".jpg", "mpo": ".jpg", "jpeg2000": ".jp2", "tiff": ".tif"}
    suffix = known.get(kind, f".{kind}")
    if not is_image_name(f"picture{suffix}"):
        raise DataError(f"{shown} is of a format that is not read here: save it as JPEG or PNG")
    return suffix
