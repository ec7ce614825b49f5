"""Upload a run to a repository of a model hub.

The report, which shows images or texts, and lists of file names are uploaded only on request. Paths on
this machine and addresses are never uploaded. A model of texts holds words of the training texts.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from headstart.backbones.listed import base_name
from headstart.errors import HeadstartError, InputError, OutputError, argument, one_line
from headstart.export.card import card_text, holds_words
from headstart.export.facts import portable_name, source_of
from headstart.files import write_atomically
from headstart.results import encode
from headstart.runs.folder import write_json
from headstart.runs.model import need_classes, need_images
from headstart.runs.regular import open_regular
from headstart.runs.result import METRICS
from headstart.runs.sums import write_sums
from headstart.sources.text import KIND as TEXTS

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
        write_json(path, _without_paths(json.loads(path.read_text("utf-8"))))
    if (path := folder / "model" / TEXT_READER).exists():
        write_json(path, _portable_reader(json.loads(path.read_text("utf-8"))))
    if not with_report:
        for path in (folder / "model").rglob("reliability.json"):
            write_json(path, _without_names(json.loads(path.read_text("utf-8"))))
    write_json(folder / "run.json", _portable_settings(run.settings))
    figures = encode(_portable_metrics(run.metrics, with_report=with_report))
    write_atomically(folder / METRICS, f"{figures}\n".encode())
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


def _portable_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``run.json`` with only the last part of the data's path."""
    data = PurePath(str(settings["data"]["path"])).name
    own = dict(settings["settings"])
    own["data"] = data
    own.pop("address", None)
    for name in FILES:
        if own.get(name):
            own[name] = PurePath(str(own[name])).name
    own |= {name: portable_name(own[name]) for name in ("encoder", "embeddings") if own.get(name)}
    if own.get("backbone"):
        own["backbone"] = ",".join(map(base_name, str(own["backbone"]).split(",")))
    several = [_portable_network(net) for net in settings.get("backbones") or ()]
    command = ["headstart fit", data, "(see settings)"]
    return {
        **settings,
        "settings": own,
        "data": {**settings["data"], "path": data},
        "backbone": _portable_network(settings["backbone"]),
        **({"backbones": several} if several else {}),
        "command": " ".join(command),
    }


def _portable_reader(reader: Mapping[str, Any]) -> dict[str, Any]:
    """``text.json`` without folders of this machine: an encoder is found by its name, and known by its digest."""
    names = {
        key: portable_name(reader[key]) for key in ("encoder", "encoder_name") if reader.get(key)
    }
    vectors = reader.get("embeddings")
    if vectors is not None:
        vectors = {**vectors, "source": portable_name(vectors["source"])}
    return {**reader, **names, "embeddings": vectors}


def _portable_network(net: Mapping[str, Any]) -> dict[str, Any]:
    """A network's facts without folders of this machine."""
    if net.get("kind") == TEXTS:
        return _portable_features(net)
    names = {key: base_name(str(net[key])) for key in ("name", "arch") if net.get(key)}
    return {**net, **names, "source": source_of(net)}


def _portable_features(net: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of features of texts."""
    named = {key: portable_name(net[key]) for key in ("word vectors", "encoder") if net.get(key)}
    return {**net, **named}


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


def _without_names(reliability: Mapping[str, Any]) -> dict[str, Any]:
    """``reliability.json`` with numbers for the names of the training images."""
    n = len(reliability.get("names") or ())
    return {**reliability, "names": [f"training image {i}" for i in range(1, n + 1)]}


def _without_paths(model: Mapping[str, Any]) -> dict[str, Any]:
    """``model.json`` with only the names of local weight files."""
    net = dict(model["backbone"])
    if net.get("kind") == TEXTS:
        return {**model, "backbone": _portable_features(net)}
    net |= {name: base_name(str(net[name])) for name in ("name", "arch") if net.get(name)}
    if net.get("weights"):
        net["weights"] = PurePath(str(net["weights"])).name
    others = [_without_paths(part) for part in model.get("beside") or ()]
    return {**model, "backbone": net, **({"beside": others} if others else {})}
