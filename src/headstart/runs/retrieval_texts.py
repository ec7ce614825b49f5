"""The training texts of a run that are nearest to a text, by the features that its model takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.data.groups import groups_of
from headstart.data.textfiles import is_table_name, names_a_file, read_text_file
from headstart.data.texts import index_texts
from headstart.errors import DataError, RunError, argument
from headstart.heads.examples import normalize_rows
from headstart.heads.retrieval import Retrieval, measure_retrieval, nearest
from headstart.home import cache_folder, expand
from headstart.progress import Progress, silent
from headstart.runs.origin import remember, require_origin
from headstart.runs.provenance import data_digest
from headstart.runs.retrieval import KS, Neighbour, SimilarResult, answer, reliability
from headstart.runs.settings import TextSettings, fields_for
from headstart.text.tokens import tokenize

if TYPE_CHECKING:
    from headstart.data.texts import TextIndex
    from headstart.runs.run import Run


def similar_texts(
    run: Run,
    given: str,
    *,
    k: int = 10,
    data: str | None = None,
    device: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> SimilarResult:
    """The nearest training texts by distance of the features that the run's model takes.

    Raises DataError where there is no text, or the run's table is gone; RunError where the sentence
    encoder of the run is not there.

    Parameters
    ----------
    run : Run
        One on texts.
    given : str
        A text, or the name of a file of one. Texts of the same words are left out of what is found.
    k : int >= 1
    data : str, optional
        Where the run's table is now; default where it was, of a run that was made here.
    device, cache, progress
        As for :func:`headstart.features.extract`.
    """
    from headstart.features.engines import check_device

    check_device(device)
    query = read_query(given)
    root = cache or cache_folder()
    indexed = index_of_texts(run, data, root, progress)
    records = [r for r in indexed.records if r.split in ("train", "val")]
    test = list(indexed.test)
    texts = [query, *(r.text for r in (*records, *test))]
    X = _unit_rows(run, texts, root, device, progress)
    gallery, queries = X[1 : 1 + len(records)], X[1 + len(records) :]
    words = tokenize(query)
    others = [i for i, r in enumerate(records) if tokenize(r.text) != words]
    if not others:
        raise RunError(f"{indexed.root} has no training text besides the text itself")
    [rows], [distances] = nearest(X[:1], gallery[others], k)
    labels = [r.label for r in records]
    measured: Retrieval | None = None
    if {r.label for r in test}.intersection(labels):
        measured = measure_retrieval(
            queries, [r.label for r in test], gallery, labels, KS, groups_of(test)
        )
    near = [records[others[i]] for i in rows]
    return SimilarResult(
        sentence=answer([r.label for r in near], "text"),
        detail=reliability(measured, "text"),
        run=str(run.folder),
        query=query,
        noun="text",
        neighbours=tuple(
            Neighbour(name=r.name, text=r.text, label=r.label, distance=float(d))
            for r, d in zip(near, distances, strict=True)
        ),
        measured=measured,
        notes=tuple(_notes(run, indexed, n_same=len(records) - len(others))),
    )


def read_query(given: str) -> str:
    """The text itself, or what the file of that name holds.

    Raises DataError where it is empty, or a table.
    """
    text = given
    if names_a_file(given):
        path = expand(given)
        if is_table_name(path):
            raise DataError(f"{given} is a table: give one text, or a file that holds one")
        text = read_text_file(path)
    if not text.strip():
        raise DataError("the text is empty: give one with words in it")
    return text.strip()


def index_of_texts(run: Run, data: str | None, cache: Path, progress: Progress) -> TextIndex:
    """The texts that a run was made from, with the same split.

    Raises DataError where the table is not where it was, and `data` does not say where it is; or
    the run was made elsewhere and `data` was not given.
    """
    s = run.settings
    assert isinstance(s, TextSettings)
    origin = require_origin(run, data=data)
    try:
        found = index_texts(
            origin.data or "",
            text_column=s.text,
            label_column=s.label,
            **fields_for(index_texts, s),
            cache=cache,
            progress=progress,
        )
    except DataError as error:
        if data is not None:
            raise
        raise DataError(f"{error} (give the run's table with {argument('data')})") from error
    if data is not None and data_digest(found) == run.provenance.data.digest:
        remember(run.folder, origin)
    return found


def _unit_rows(
    run: Run, texts: list[str], cache: Path, device: str | None, progress: Progress
) -> Any:
    """Features (n, d) of unit length, those of an encoder from the store where they are there."""
    rows = run.model.text_rows(texts, cache=cache, device=device, progress=progress)
    if hasattr(rows, "nnz"):
        from sklearn.preprocessing import normalize

        return normalize(rows)
    return normalize_rows(np.asarray(rows), "l2")


def _notes(run: Run, indexed: TextIndex, *, n_same: int) -> list[str]:
    notes = []
    if n_same:
        times = "once" if n_same == 1 else f"{n_same} times"
        notes.append(
            f"the text is itself among the training texts, {times}: left out of the nearest"
        )
    if data_digest(indexed) != run.provenance.data.digest:
        notes.append("the texts are not all those of the fit: some came, went or changed")
    if run.model.blocks.is_network:
        notes.append("the run's model is a TextCNN: distances are between its class scores")
    return notes
