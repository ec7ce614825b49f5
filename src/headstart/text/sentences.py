"""Sentence encoders of the package sentence-transformers, as a frozen backbone: optional.

The package is not needed otherwise; an encoder is named by the folder that holds it. Features are
kept by content: the encoder's files and the text, so that a second run encodes only new texts.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.sources import missing_path, shown
from headstart.errors import InputError, WeightsError, one_line
from headstart.files import mark_used, write_atomically
from headstart.progress import Progress, silent

logger = logging.getLogger(__name__)

_BATCH = 64


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
        The package is not installed, or there is no such folder.
    WeightsError
        The folder holds no encoder.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise missing_path(folder, what="folder of a sentence encoder")
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


def _load(folder: Path, device: str | None) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise InputError(
            "sentence encoders need the package sentence-transformers: pip install "
            "sentence-transformers, or leave --encoder out"
        ) from None
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
