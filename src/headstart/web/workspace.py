"""What the page works on: the folder of runs, unpacked archives, and networks kept in memory."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.data.annotations import ANNOTATION_SUFFIXES
from headstart.data.archives import LITTER, data_root, unpack_zip
from headstart.data.offered import offered_columns
from headstart.data.tables import TABLE_SUFFIXES
from headstart.errors import DataError, HeadstartError, RunError, one_line
from headstart.files import digest_file
from headstart.home import expand
from headstart.runs.folder import UPLOADS
from headstart.runs.result import METRICS

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.runs.retrieval import TrainingImages
    from headstart.runs.run import Run

TABLES = TABLE_SUFFIXES | ANNOTATION_SUFFIXES
MAX_UPLOAD_GB = 2
N_FOLDERS = 500


class Workspace:
    """One server's runs, and what was read of them.

    Parameters
    ----------
    runs : Path
        Folder of run folders; unpacked archives go into its sub-folder ``uploads``, for a run's
        pictures are looked for where they were.

    Attributes
    ----------
    network_lock : threading.Lock
        To be held while a network runs: its hooks are not thread-safe.
    """

    def __init__(self, runs: Path) -> None:
        self.runs = runs.absolute()
        self.network_lock = threading.Lock()
        self._unpack_lock = threading.Lock()
        self.network = functools.lru_cache(maxsize=2)(_load)
        self._run = functools.lru_cache(maxsize=4)(_open_run)
        self._sentence = functools.lru_cache(maxsize=64)(_read_sentence)
        self._images = functools.lru_cache(maxsize=2)(_training_images)

    def run_names(self) -> list[str]:
        """Folders that hold a finished run, the newest first."""
        if not self.runs.is_dir():
            return []
        found = [f for f in self.runs.iterdir() if (f / METRICS).is_file()]
        found = [f for f in found if (f / "model").is_dir() and not f.name.startswith(".")]
        return [f.name for f in sorted(found, key=lambda f: -f.stat().st_mtime)]

    def last_runs(self, n: int) -> list[tuple[str, str, float]]:
        """Name, answer in one sentence and time of the newest runs, at most ``n``."""
        found = []
        for name in self.run_names()[:n]:
            try:
                at = (self.runs / name / METRICS).stat()
            except OSError:  # it was removed meanwhile
                continue
            found.append((name, self._sentence(self.runs / name, at.st_mtime_ns), at.st_mtime))
        return found

    def run_folder(self, name: str) -> Path:
        """The folder of a listed run.

        Raises RunError where there is no run of that name here.
        """
        if name not in self.run_names():
            raise RunError(f"there is no run {one_line(name)!r} in {one_line(str(self.runs))}")
        return self.runs / name

    def made_at(self, name: str) -> int:
        """When a run was made, in ns; 0 if it is not a run."""
        try:
            return (self.runs / name / METRICS).stat().st_mtime_ns
        except (OSError, ValueError):
            return 0

    def run(self, name: str) -> Run:
        """A run, read again where it was replaced."""
        folder = self.run_folder(name)
        return self._run(folder, (folder / METRICS).stat().st_mtime_ns)

    def training_images(self, name: str) -> TrainingImages:
        """A run's images with their features, kept for the next question."""
        folder = self.run_folder(name)
        return self._images(folder, (folder / METRICS).stat().st_mtime_ns, self._run)

    def unpack(self, archive: Path) -> Path:
        """The folder of pictures in an uploaded zip, or the table beside them; the same bytes are unpacked once.

        Raises DataError where the archive is damaged, dangerous or too large.
        """
        digest = digest_file(archive)[:8]
        stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in archive.stem).strip("-")
        folder = self.runs / UPLOADS / digest / (stem or "pictures")
        with self._unpack_lock:
            if not folder.is_dir():
                unpack_zip(archive, folder, name=archive.name)
        root = data_root(folder)
        return _only_table(root) or root


def folder_at(text: str) -> Path:
    """The folder that was typed, ``~`` written out; the home folder where nothing was.

    Raises InputError where ``~`` names a home folder that is not known.
    """
    return expand(text.strip() or "~").absolute()


def folders_in(path: Path) -> list[str]:
    """Names of the folders in a folder that a person would look for.

    Raises DataError where it cannot be read.
    """
    try:
        found = [p.name for p in path.iterdir() if not p.name.startswith(".") and p.is_dir()]
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"cannot look into {one_line(str(path))} ({reason}): give another folder"
        ) from error
    return sorted(found, key=str.lower)[:N_FOLDERS]


def tables_in(path: Path) -> list[str]:
    """Names of the tables in a folder that `folders_in` can read."""
    found = [p.name for p in path.iterdir() if p.suffix.lower() in TABLES and p.is_file()]
    return sorted((n for n in found if not n.startswith(".")), key=str.lower)[:N_FOLDERS]


def _only_table(folder: Path) -> Path | None:
    """The table that says what is in the pictures beside it, as class folders do not."""
    if offered_columns(str(folder)) is not None:  # annotations, which are found by themselves
        return None
    folders = _visible_folders(folder)
    tables = [folder / name for name in tables_in(folder) if _may_list_pictures(folder / name)]
    if not tables and len(folders) == 1:
        return _only_table(folder / folders[0])
    return tables[0] if len(tables) == 1 and not _has_class_folders(folder) else None


def _may_list_pictures(table: Path) -> bool:
    found = offered_columns(str(table))
    # Other .txt files are often prose, of which a comma makes columns.
    return found is not None and (found.has_images or table.suffix.lower() != ".txt")


def _has_class_folders(folder: Path) -> bool:
    """Whether a folder has several folders, or the only one in it does."""
    inner = _visible_folders(folder)
    return len(inner) > 1 or (len(inner) == 1 and _has_class_folders(folder / inner[0]))


def _visible_folders(folder: Path) -> list[str]:
    return [name for name in folders_in(folder) if name not in LITTER]


def backbones_here() -> list[str]:
    """Names of the networks whose weights are on this machine."""
    from headstart.backbones import catalogue

    return [entry.name for entry in catalogue() if entry.weights_here]


def _load(name: str) -> Backbone:
    from headstart.backbones import load

    return load(name)


def _open_run(folder: Path, _: int) -> Run:
    from headstart.runs.target_run import open_run

    return open_run(folder)


def _read_sentence(folder: Path, _: int) -> str:
    """The answer of a run; of one that cannot be read, why."""
    from headstart.runs.result import read_metrics
    from headstart.runs.target_result import is_target_run, read_target_metrics

    try:
        read = read_target_metrics if is_target_run(folder) else read_metrics
        return read(folder).sentence
    except HeadstartError as error:
        return f"It cannot be read: {error}"


def _training_images(folder: Path, at: int, opened: Callable[[Path, int], Run]) -> TrainingImages:
    from headstart.runs.retrieval import TrainingImages

    return TrainingImages.of(opened(folder, at))
