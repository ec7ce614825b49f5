"""Published sets of labelled texts known by name.

    trec  questions by what they ask for, six classes, with its own split of 5,452 and 500
          (Li and Roth 2002, "Learning question classifiers", COLING)
    mr    sentences of film reviews, positive and negative, 5,331 of each, without a split
          (Pang and Lee 2005, "Seeing stars", ACL)

They are looked for in the folder given (``mr:FOLDER``), in the one that the environment variable
``HEADSTART_DATA`` names, and in the cache, then downloaded from where their authors published them.
Both are in Windows-1252.
"""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headstart.data.archives import download
from headstart.data.sources import shown
from headstart.data.texts import TextIndex, TextRecord, make_record
from headstart.errors import DataError, one_line
from headstart.home import expand
from headstart.progress import Progress, silent

# Of a file in an archive; the published ones are a hundredth of it.
_MOST_BYTES = 64 << 20
Reader = Callable[[list[Path]], list[TextRecord]]


@dataclass(frozen=True, slots=True)
class TextSet:
    """The files of a set, where each is published, and how they are read."""

    files: tuple[str, ...]
    urls: tuple[str, ...]
    read: Reader


def text_set_names() -> tuple[str, ...]:
    """The names of all named sets of texts, sorted."""
    return tuple(sorted(TEXT_SETS))


def names_a_text_set(data: str) -> bool:
    """Whether `data` is a set's name, or a name and a folder (``mr:/data``)."""
    return data.partition(":")[0].lower() in TEXT_SETS


def list_text_set(
    data: str,
    *,
    cache: Path | None = None,
    urls: tuple[str, ...] | None = None,
    progress: Progress = silent,
) -> TextIndex:
    """The texts of a named set, downloaded if need be; their split is the set's own, or none.

    Raises DataError where the set is neither here nor available, or a file is damaged.

    `data`: ``trec``, ``mr``, or a name with the folder of a local copy: ``mr:/data``. `cache`:
    downloads go to ``datasets`` under it; None: nothing is downloaded. `urls`: other addresses than
    the published ones, one per file.
    """
    given, _, folder = data.partition(":")
    known = TEXT_SETS[given.lower()]
    fetched = None if cache is None else cache / "datasets" / given.lower()
    home = os.environ.get("HEADSTART_DATA")
    places = [expand(folder)] if folder else []
    if not folder:
        under = [expand(home) / given.lower(), expand(home)] if home else []
        places = [*under, *([fetched] if fetched else [])]
    for place in places:
        if all((place / name).is_file() for name in known.files):
            return _index(given.lower(), place, known)
    if folder or fetched is None:
        where = shown(places[0]) if places else "this computer"
        raise DataError(
            f"the data set {given!r} is not in {where}: it needs {', '.join(known.files)} there"
        )
    for name, url in zip(known.files, urls or known.urls, strict=True):
        if not (fetched / name).is_file():
            download(url, fetched / name, progress=progress)
    return _index(given.lower(), fetched, known)


def _index(name: str, place: Path, known: TextSet) -> TextIndex:
    paths = [(place / file).resolve() for file in known.files]
    return TextIndex(
        root=Path(name),
        source=f"{name}, from {place}",
        records=tuple(known.read(paths)),
        text_column="text",
        label_column="label",
    )


def _read_trec(paths: list[Path]) -> list[TextRecord]:
    """Lines such as ``DESC:manner How did serfdom develop ?``; the coarse label is taken."""
    records = []
    for path, split in zip(paths, ("train", "test"), strict=True):
        lines = path.read_bytes().decode("cp1252", errors="replace").splitlines()
        for number, line in enumerate(lines, start=1):
            kind, _, question = line.strip().partition(" ")
            label = kind.partition(":")[0]
            if not line.strip():
                continue
            if ":" not in kind or not question.strip():
                raise DataError(
                    f"{shown(path)}, line {number} is not a question of TREC ({one_line(line, limit=40)!r}): "
                    "remove the file, so that it is fetched again"
                )
            records.append(make_record(question, label, f"{split} row {number}", split))
    return records


def _read_mr(paths: list[Path]) -> list[TextRecord]:
    """The two files of the archive, read in place: nothing is unpacked."""
    records = []
    try:
        with tarfile.open(paths[0]) as archive:
            for label, ending in (("positive", "rt-polarity.pos"), ("negative", "rt-polarity.neg")):
                member = next((m for m in archive if m.name.endswith(ending) and m.isfile()), None)
                file = None if member is None else archive.extractfile(member)
                if member is None or file is None:
                    raise DataError(
                        f"{shown(paths[0])} lacks {ending}: remove it, so that it is fetched again"
                    )
                if member.size > _MOST_BYTES:
                    raise DataError(
                        f"{shown(paths[0])}: {ending} has {member.size:,} bytes and the published file "
                        "under a million: remove the archive, so that it is fetched again"
                    )
                lines = file.read().decode("cp1252", errors="replace").split("\n")
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        records.append(make_record(line, label, f"{label} row {number}"))
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        reason = one_line(str(error), limit=120)
        raise DataError(
            f"cannot read {shown(paths[0])}: {reason}; remove it, so that it is fetched again"
        ) from None
    return records


_COGCOMP = "https://cogcomp.seas.upenn.edu/Data/QA/QC"
TEXT_SETS: dict[str, TextSet] = {
    "trec": TextSet(
        ("train_5500.label", "TREC_10.label"),
        (f"{_COGCOMP}/train_5500.label", f"{_COGCOMP}/TREC_10.label"),
        _read_trec,
    ),
    "mr": TextSet(
        ("rt-polaritydata.tar.gz",),
        ("https://www.cs.cornell.edu/people/pabo/movie-review-data/rt-polaritydata.tar.gz",),
        _read_mr,
    ),
}
