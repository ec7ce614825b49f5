"""Upload a run to a repository of a model hub.

The report, which shows images or texts, and lists of file names are uploaded only on request. Paths on
this machine and addresses are never uploaded. A model of texts holds words of the training texts.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from headstart.backbones.listed import base_name
from headstart.errors import HeadstartError, InputError, OutputError, argument, one_line
from headstart.export.card import card_text, holds_words
from headstart.export.facts import portable_name, source_of
from headstart.files import write_atomically
from headstart.results import write
from headstart.runs.folder import read_json
from headstart.runs.heldout import HeldOutFile
from headstart.runs.model import need_classes, need_images
from headstart.runs.model_file import ModelFile
from headstart.runs.reader_files import TextFile
from headstart.runs.regular import open_regular
from headstart.runs.result import METRICS
from headstart.runs.run_file import RUN_FILE, ImageRunFile, TextRunFile
from headstart.runs.settings import FitSettings
from headstart.runs.sums import write_sums
from headstart.sources.saved import SavedBackbone

if TYPE_CHECKING:
    from headstart.runs.result import FitResult
    from headstart.runs.run import Run

# The hub's rule: owner and name of letters, digits and single . _ - inside.
REPOSITORY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
SHOWS_EXAMPLES = ("report.html", "predictions.csv")
TEXT_READER = "text.json"
# Settings that name a file, or hold a word such as "balanced" or "auto".
FILES = ("weights", "split", "costs", "class_weight", "fixes", "prompts")
PUBLIC_WORDS = (
    "the model holds words of the training texts, rare ones such as names and parts of e-mail addresses included, and "
    "everybody can read them in a public repository"
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """The uploaded files and their address.

    Attributes
    ----------
    url : str
        Address of the repository; empty if nothing was uploaded.
    files : tuple of (str, int)
        Names in the folder, and sizes in bytes.
    """

    url: str
    files: tuple[tuple[str, int], ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        files = [{"name": name, "n_bytes": n_bytes} for name, n_bytes in self.files]
        return {"url": self.url, "files": files}


def stage(run: Run, folder: Path, *, with_report: bool = False) -> Pushed:
    """Write the files to upload into `folder`: model, figures and card.

    Parameters
    ----------
    run : Run
    folder : Path
        New, or empty.
    with_report : bool, default False
        Also the report (with thumbnails of training and test images, or with texts), the test
        predictions and the lists of file names or texts.

    Raises
    ------
    OutputError
        The folder is not empty, or cannot be written.
    """
    _check_kind(run)
    shown = one_line(str(folder))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{shown} is there and not empty: choose another folder")
    try:
        model = [p.relative_to(run.folder) for p in (run.folder / "model").rglob("*")]
        names = [p.as_posix() for p in model if not stat.S_ISDIR((run.folder / p).lstat().st_mode)]
        shown_too = [n for n in SHOWS_EXAMPLES if os.path.lexists(run.folder / n)]
        for name in [*names, *(shown_too if with_report else ())]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with open_regular(run.folder, name) as source, (folder / name).open("xb") as target:
                shutil.copyfileobj(source, target)
    except OSError as error:
        raise OutputError(f"cannot write {shown} ({error.strerror})") from error
    for path in (folder / "model").rglob("model.json"):  # also of the partner
        write(path, _portable_model(read_json(path.parent, path.name, ModelFile)))
    if (path := folder / "model" / TEXT_READER).exists():
        write(path, _portable_reader(read_json(path.parent, path.name, TextFile)))
    if not with_report:
        for path in (folder / "model").rglob("reliability.json"):
            write(path, _without_names(read_json(path.parent, path.name, HeldOutFile)))
    write(folder / RUN_FILE, _portable_run(run.provenance))
    write(folder / METRICS, _portable_metrics(run.metrics, with_report=with_report))
    write_sums(folder)  # without the card, which people may have edited
    write_atomically(folder / "README.md", card_text(run, front_matter=True).encode())
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in found]
    return Pushed(url="", files=tuple(files))


def push(run: Run, repository: str, *, public: bool = False, with_report: bool = False) -> Pushed:
    """Upload a run to a repository of the Hugging Face hub, which is created if necessary.

    Parameters
    ----------
    run : Run
    repository : str
        ``owner/name``.
    public : bool, default False
        Make the repository public. Of a run on texts a warning says that rare words, such as names, are in
        the model.
    with_report : bool, default False
        As for :func:`stage`.

    Raises
    ------
    InputError
        The name is illegal, there is no token, or the repository is unexpectedly public.
    HeadstartError
        The hub cannot be reached, or refuses.
    """
    check_repository(repository)
    _check_kind(run)
    import huggingface_hub
    from huggingface_hub import HfApi

    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise InputError("HF_HUB_OFFLINE is set, and a push needs the network: unset it")
    if not huggingface_hub.get_token():
        raise InputError(
            "there is no token of the hub on this machine: make one that may write at "
            "https://huggingface.co/settings/tokens and set HF_TOKEN, or run `hf auth login`"
        )
    if public and run.is_texts and holds_words(run):
        logger.warning(PUBLIC_WORDS)
    api = HfApi(library_name="headstart")
    with tempfile.TemporaryDirectory(prefix="headstart-push-") as scratch:
        folder = Path(scratch) / "run"
        staged = stage(run, folder, with_report=with_report)
        try:
            api.create_repo(repository, private=not public, exist_ok=True)
            is_open = not public and not api.model_info(repository).private
            if is_open:
                raise InputError(
                    f"{repository} is there already and public: add {argument('public', True)}, or choose another name"
                )
            api.upload_folder(
                repo_id=repository, folder_path=folder, commit_message="headstart push"
            )
        except InputError:
            raise
        except Exception as error:  # the client's HTTP library has its own exceptions
            raise HeadstartError(f"cannot push to {repository}: {_reason(error)}") from error
    return Pushed(url=f"{api.endpoint}/{repository}", files=staged.files)


def _check_kind(run: Run) -> None:
    """Raise RunError where the run has several labels or a number, or is too old."""
    if not run.is_texts:
        need_images(run.model, "headstart push")
    need_classes(run.model, "headstart push")


def check_repository(repository: str) -> None:
    """Raise InputError unless the name is ``owner/name``."""
    parts = repository.split("/")
    is_name = len(parts) == 2 and all(REPOSITORY.fullmatch(part) for part in parts)
    if not is_name or "--" in repository or ".." in repository:
        raise InputError(
            f"{argument('repo')} {one_line(repository)} is not a name of a repository: give owner/name, of letters, "
            "digits, '.', '_' and '-'"
        )


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return "the hub does not know the token (401): set another HF_TOKEN"
    if status == 403:
        return "the token may not write there (403): give it the right, or choose your own name"
    text = one_line(str(error).strip().split("\n")[0], limit=160) or type(error).__name__
    if status is None:
        return f"the hub cannot be reached ({text}): check the network, and try again"
    return f"the hub answered {status} ({text})"


def _portable_run(run: ImageRunFile | TextRunFile) -> ImageRunFile | TextRunFile:
    """``run.json`` with only the last part of the data's path."""
    own = run.settings
    data = PurePath(own.data).name
    places = {name: getattr(own, name, None) for name in FILES}
    named: dict[str, Any] = {n: PurePath(place).name for n, place in places.items() if place}
    named |= {
        name: portable_name(place)
        for name in ("encoder", "embeddings")
        if (place := getattr(own, name, None))
    }
    if isinstance(own, FitSettings):
        named["backbone"] = ",".join(map(base_name, own.backbone.split(",")))
        named["address"] = None
    return replace(
        run,
        settings=dataclasses.replace(own, data=data, **named),
        data=replace(run.data, path=data),
        backbone=_portable_backbone(run.backbone),
        backbones=tuple(map(_portable_backbone, run.backbones)),
        command=f"headstart fit {data} (see settings)",
    )


def _portable(name: str | None) -> str | None:
    """A name without folders of this machine: an encoder is known by its digest."""
    return name and portable_name(name)


def _portable_reader(reader: TextFile) -> TextFile:
    vectors = reader.embeddings
    if vectors is not None:
        vectors = replace(vectors, source=portable_name(vectors.source))
    return replace(
        reader,
        encoder=_portable(reader.encoder),
        encoder_name=_portable(reader.encoder_name),
        embeddings=vectors,
    )


def _portable_backbone(net: SavedBackbone) -> SavedBackbone:
    if net.is_text:
        vectors, encoder = _portable(net.word_vectors), _portable(net.encoder)
        return replace(net, word_vectors=vectors, encoder=encoder)
    return replace(
        net,
        name=base_name(net.name),
        arch=base_name(net.arch),
        weights=net.weights and PurePath(net.weights).name,
        source=source_of(net),
    )


def _portable_model(model: ModelFile) -> ModelFile:
    beside = (replace(p, backbone=_portable_backbone(p.backbone)) for p in model.beside)
    return replace(model, backbone=_portable_backbone(model.backbone), beside=tuple(beside))


def _portable_metrics(metrics: FitResult, *, with_report: bool) -> FitResult:
    """``metrics.json`` without paths and, unless the report is included, without file names and texts."""
    data = replace(metrics.data, root=PurePath(metrics.data.root).name)
    text = metrics.text
    if text is not None and text.word_vectors is not None:
        vectors = text.word_vectors
        vectors = replace(vectors, source=portable_name(vectors.source))
        text = replace(text, word_vectors=vectors)
    if with_report:
        return replace(metrics, data=data, text=text)
    if text is not None:
        text = replace(text, telling_windows=None)
    data = replace(data, quarantine=(), exact_duplicates=(), near_duplicates=(), notes=())
    return replace(metrics, data=data, text=text, mistakes=(), suspicious=())


def _without_names(known: HeldOutFile) -> HeldOutFile:
    """Numbers in the place of the names of the training images."""
    names = known.names and tuple(f"training image {i + 1}" for i in range(len(known.names)))
    return replace(known, names=names)
