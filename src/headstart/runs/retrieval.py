"""The training images of a run that are nearest to a picture, and how far to trust that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.data import read_rgb
from headstart.data.groups import groups_of
from headstart.data.sources import printable
from headstart.errors import DataError, RunError, argument, one_line
from headstart.files import digest_file
from headstart.heads.examples import normalize_rows
from headstart.heads.retrieval import Retrieval, measure_retrieval, nearest
from headstart.home import expand
from headstart.progress import Progress, silent
from headstart.results import Result
from headstart.runs.evidence import mean_note
from headstart.runs.folder import FIXES
from headstart.runs.model import need_classes
from headstart.runs.origin import remember, require_origin
from headstart.runs.provenance import data_digest
from headstart.runs.regular import require_regular
from headstart.runs.settings import FitSettings, fields_for
from headstart.sources.blocks import read_blocks
from headstart.wording import counted

if TYPE_CHECKING:
    from headstart.data import Index, Record
    from headstart.data.fixes import Fix
    from headstart.runs.model import Model
    from headstart.runs.run import Run

KS = (1, 2, 5, 10, 20, 50, 100)
# Classes that are as frequent among the nearest and named.
N_LEADING = 4


class Neighbour(msgspec.Struct, frozen=True, kw_only=True):
    """A training image, or text, near the query."""

    name: str
    path: str = ""  # of an image; else empty
    text: str = ""  # of a text; else empty
    label: str
    distance: float


class SimilarResult(Result, frozen=True, kw_only=True, tag="similar"):
    """What was found for one picture, or one text."""

    run: str  # the run's folder
    query: str  # the picture's file, or the text
    noun: str = "image"  # {"image", "text"}
    neighbours: tuple[Neighbour, ...]  # nearest first
    measured: Retrieval | None  # over the test examples as queries; None where the run has none
    notes: tuple[str, ...] = ()  # what the user should know besides


def answer(labels: list[str], noun: str = "image") -> str:
    """The answer, of the classes of the nearest training examples."""
    most = max(map(labels.count, labels))
    common = [label for label in dict.fromkeys(labels) if labels.count(label) == most]
    n = len(labels)
    verb = "is" if most == 1 else "are"
    if n == 1:
        said = f"The nearest training {noun} is of class {common[0]}"
    elif len(common) > 1:
        said = (
            f"No single class leads among the {n} nearest training {noun}s: {most} {verb} of "
            f"each of {_joined(common)}"
        )
    else:
        said = f"{most} of the {n} nearest training {noun}s {verb} of class {common[0]}"
    return f"{one_line(said)}."


def _joined(classes: list[str]) -> str:
    shown = classes[:N_LEADING]
    if more := len(classes) - len(shown):
        return f"{', '.join(shown)} and {counted(more, 'other class')}"
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def reliability(measured: Retrieval | None, noun: str = "image") -> str:
    """How often the nearest are right, over the test examples."""
    if measured is None:
        return f"There are no test {noun}s to measure how often the nearest are right."
    n = measured.n_queries
    return (
        f"Over {n:,} test {noun}{'s' * (n != 1)} the nearest training {noun} is of the same class for "
        f"{measured.precision[0]}; mean average precision {measured.mean_average_precision}."
    )


def similar(
    run: Run,
    image: Path | str,
    *,
    k: int = 10,
    data: str | None = None,
    split: str | None = None,
    device: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> SimilarResult:
    """The nearest training images by distance of the features that the run's model takes.

    Raises DataError where the picture cannot be read, or the run's images are gone; RunError where
    none of the run's classes is there any more.

    Parameters
    ----------
    image : Path or str
        A picture; files with the same bytes are left out of what is found.
    k : int >= 1
    data : str, optional
        Where the run's images are now; default where they were, of a run that was made here.
    split : str, optional
        The run's split file, where it has one; default as for `data`.
    device, cache, progress
        As for :func:`headstart.features.extract`.
    """
    [found] = similar_to_each(
        run, [image], k=k, data=data, split=split, device=device, cache=cache, progress=progress
    )
    return found


def similar_to_each(
    run: Run,
    images: Sequence[Path | str],
    *,
    k: int = 10,
    data: str | None = None,
    split: str | None = None,
    device: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> list[SimilarResult]:
    """`similar` for several pictures; the run's images are read once."""
    queries = [expand(image) for image in images]
    for query, image in zip(queries, images, strict=True):
        check_picture(query, image)  # a damaged picture is reported before all others are read
    gallery = TrainingImages.of(
        run, data=data, split=split, device=device, cache=cache, progress=progress
    )
    measured, results = gallery.measured(), []
    for query in queries:
        found, n_same = gallery.nearest(query, k)
        results.append(
            SimilarResult(
                sentence=answer([n.label for n in found]),
                detail=reliability(measured),
                run=str(run.folder),
                query=str(query),
                neighbours=found,
                measured=measured,
                notes=tuple(_notes(run, gallery.index, n_same=n_same)),
            )
        )
    return results


def check_picture(query: Path, shown: Path | str) -> None:
    """Raise DataError where there is no picture, or a damaged one."""
    if not query.is_file():
        what = "is a folder: give one picture" if query.is_dir() else "is not there: check the path"
        raise DataError(f"the picture {one_line(str(shown))} {what}")
    read_rgb(query, at_least=64)


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """A run's images with their features, read once for any number of queries."""

    run: Run
    model: Model  # the part of the run's model whose features they are
    index: Index
    # records, held_out: training and test images
    records: tuple[Record, ...]
    held_out: tuple[Record, ...]
    # (n_records + n_held_out, d); their features in this order, rows of unit length
    X: NDArray[np.floating]
    # device, cache: as for :func:`similar`
    device: str | None = None
    cache: Path | None = None
    # corrections that the run was made with, of the images that are still there
    fixes: tuple[Fix, ...] = ()
    dropped: tuple[Record, ...] = ()  # images that these leave out

    @classmethod
    def of(
        cls,
        run: Run,
        *,
        data: str | None = None,
        split: str | None = None,
        device: str | None = None,
        cache: Path | None = None,
        progress: Progress = silent,
        is_frozen: bool = False,
    ) -> TrainingImages:
        """The images of a run; parameters and errors as of :func:`similar`.

        With `is_frozen`, features are those of a network that was not trained on these images; a run
        that keeps only a fine-tuned network is refused.
        """
        from headstart.features.engines import check_device

        check_device(device)
        need_classes(run.model, "this question")
        model = frozen_model(run) if is_frozen else run.model
        indexed, fixes, dropped = index_and_fixes(run, data, cache, progress, split=split)
        records = tuple(r for r in indexed.records if r.split in ("train", "val"))
        held_out = tuple(indexed.test)
        X = _features(run, model, [*records, *held_out], device, cache, progress)
        return cls(
            run=run,
            model=model,
            index=indexed,
            records=records,
            held_out=held_out,
            X=X,
            device=device,
            cache=cache,
            fixes=fixes,
            dropped=dropped,
        )

    def nearest(self, query: Path, k: int) -> tuple[tuple[Neighbour, ...], int]:
        """The nearest training images, and how many with the picture's own bytes were left out."""
        [row] = _query_features(self.run, query, self.device, self.cache)
        digest = digest_file(query)
        others = [i for i, r in enumerate(self.records) if r.digest != digest]
        if not others:
            raise RunError(f"{self.index.root} has no training image besides the picture itself")
        [rows], [distances] = nearest(row[None], self.X[others], k)
        near = [self.records[others[i]] for i in rows]
        found = tuple(
            Neighbour(name=r.name, path=printable(str(r.path)), label=r.label, distance=float(d))
            for r, d in zip(near, distances, strict=True)
        )
        return found, len(self.records) - len(others)

    def measured(self) -> Retrieval | None:
        """How good the neighbours of the test images are; None without test images."""
        known = {r.label for r in self.records}
        if not any(r.label in known for r in self.held_out):
            return None
        G, Q = self.X[: len(self.records)], self.X[len(self.records) :]
        labels = [r.label for r in self.records]
        return measure_retrieval(
            Q, [r.label for r in self.held_out], G, labels, KS, groups_of(self.held_out)
        )


def _notes(run: Run, indexed: Index, *, n_same: int) -> list[str]:
    notes = []
    if n_same:
        notes.append(
            f"the picture is itself among the training images ({n_same} "
            f"{'file' if n_same == 1 else 'files'} with the same bytes): left out of the nearest"
        )
    if data_digest(indexed) != run.provenance.data.digest:
        notes.append("the images are not all those of the fit: some came, went or changed")
    if run.model.is_finetuned:
        notes.append("the run's network was fine-tuned: distances are between its class scores")
    if mean := mean_note(run):
        notes.append(mean)
    return notes


def index_of(
    run: Run,
    data: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
    *,
    split: str | None = None,
) -> Index:
    """The images that a run was made from, with the same split.

    Of a run that was made elsewhere, only what is given is opened; it is then remembered, if these
    are the run's images.

    Raises DataError where they are not where they were, and `data` does not say where they are now;
    or the run was made elsewhere and `data` was not given.
    """
    return index_and_fixes(run, data, cache, progress, split=split)[0]


def index_and_fixes(
    run: Run,
    data: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
    *,
    split: str | None = None,
) -> tuple[Index, tuple[Fix, ...], tuple[Record, ...]]:
    """The same with the run's fixes of images that are still there, and the images that they drop."""
    from headstart.data import index
    from headstart.data.fixes import apply_fixes, read_fixes
    from headstart.features import cache_folder

    run.model.require_images()
    s = run.settings
    assert isinstance(s, FitSettings)
    origin = require_origin(run, data=data, split=split)
    try:
        found = index(
            origin.data or "",
            **fields_for(index, s) | {"split": origin.split},
            cache=cache or cache_folder(),
            progress=progress,
        )
    except DataError as error:
        if data is not None:
            raise
        raise DataError(
            f"{error} (give the folder of the run's images with {argument('data')})"
        ) from error
    fixes: tuple[Fix, ...] = ()
    dropped: tuple[Record, ...] = ()
    if (run.folder / FIXES).exists():
        there = {r.name for r in found.records} | {q.name for q in found.quarantine}
        # What was dropped may be gone by now.
        fixes = tuple(f for f in read_fixes(require_regular(run.folder, FIXES)) if f.name in there)
        names = {f.name for f in fixes if f.action == "drop"}
        dropped = tuple(r for r in found.records if r.name in names)
        found = apply_fixes(found, fixes, one_line(str(run.folder / FIXES)))
    if data is not None and data_digest(found) == run.provenance.data.digest:
        remember(run.folder, origin)
    return found, fixes, dropped


def frozen_model(run: Run) -> Model:
    """The part of a run's model whose network was not trained on the run's images.

    Raises RunError where there is none.
    """
    for model in (run.model, run.model.partner):
        if model is not None and not model.is_finetuned:
            return model
    raise RunError(
        f"{one_line(str(run.folder))} keeps only a fine-tuned network, whose features have learnt the labels: "
        f"make a run with {argument('finetune', False)}, and use that"
    )


def features_of(
    images: TrainingImages, records: Sequence[Record], *, progress: Progress = silent
) -> NDArray[np.floating]:
    """Features (n, d) of other images, as those of the run's images were made.

    Raises DataError where an image changed while it was read.
    """
    return _features(images.run, images.model, records, images.device, images.cache, progress)


def _features(
    run: Run,
    model: Model,
    records: Sequence[Record],
    device: str | None,
    cache: Path | None,
    progress: Progress,
) -> NDArray[np.floating]:
    """Rows (n, d) of unit length, from the store where they are there."""
    from headstart.features import extract

    backbones = run.backbones if model is run.model else [e.load() for e in model.encoders]
    found = []
    for backbone, encoder in zip(backbones, model.encoders, strict=True):
        done = extract(
            records,
            backbone,
            resolutions=encoder.blocks.resolutions,
            precision=encoder.precision,
            device=device,
            cache=cache,
            progress=progress,
        )
        if done.unreadable:
            raise DataError(
                f"an image of the run changed while it was read: {next(iter(done.unreadable.values()))}"
            )
        found.append(read_blocks(done.stores, [r.digest for r in records], encoder.blocks))
    return normalize_rows(np.hstack(found), "l2")


def _query_features(
    run: Run, query: Path, device: str | None, cache: Path | None
) -> NDArray[np.floating]:
    from headstart.features import stream_features

    found = []
    for backbone, encoder in zip(run.backbones, run.model.encoders, strict=True):
        streamed = stream_features(
            [query],
            backbone,
            encoder.blocks.pairs,
            precision=encoder.precision,
            device=device,
            cache=cache,
        )
        _, _, parts, unreadable = next(iter(streamed))
        if unreadable:
            raise DataError(f"{one_line(str(query))}: {next(iter(unreadable.values()))}")
        found += parts
    return normalize_rows(run.model.join(found), "l2")
