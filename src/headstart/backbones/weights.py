"""Weight files: reading without running code from them, loading into a network, digest."""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from headstart.errors import WeightsError, argument, one_line
from headstart.home import expand
from headstart.results import Versioned

if TYPE_CHECKING:
    from torch import Tensor, nn

# Keys of the state dict in checkpoints of training scripts, in order of preference.
_CONTAINERS = (
    "teacher",
    "state_dict_ema",
    "model_ema",
    "ema",
    "state_dict",
    "model_state_dict",
    "model",
    "encoder",
    "backbone",
    "student",
)
_HEAD_BYTES = 40
# Under this name the header of a file of weights holds what Headstart says of them, as JSON.
DESCRIPTION = "headstart"
# What is found where weights were expected, by how the file begins.
_MISTAKEN = {
    b"<": "a web page",
    b"version https://git-lfs": "a Git LFS pointer, whose file was not fetched",
}
_WHOLE = "Get the file again, or check it with its publisher's checksum"


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a weight file, on the CPU.

    Raises WeightsError if the file is missing, damaged, holds more than tensors (it is read with
    ``weights_only=True``: no code in it runs), or holds values that are not finite.

    `path`: a safetensors file, or what ``torch.save(module.state_dict(), path)`` wrote; also a
    checkpoint dictionary that holds a state dict under ``state_dict`` or ``model``. The kind is
    detected from the content, not from the suffix.
    """
    path = expand(path)
    shown = one_line(str(path))
    read = _read_safetensors if format_of(path) == "safetensors" else _read_torch
    state = read(path, shown)
    _require_finite(state, shown)
    return state


def format_of(path: Path) -> Literal["safetensors", "pytorch"]:
    """What a weight file begins like; its other bytes are not read.

    Raises WeightsError if it is missing, cannot be read, or is none.
    """
    shown = one_line(str(path))
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsError(f"the weight file {shown} {what}; {argument('weights')} needs a file")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise WeightsError(f"cannot read the weight file {shown}: {error.strerror}") from error
    if head[8:9] == b"{":
        return "safetensors"
    if head[:4] == b"PK\x03\x04" or head[:1] == b"\x80":
        return "pytorch"
    # Of other files nothing is shown: the path may come from a run folder of a stranger.
    start = head.lstrip().lower()
    found = [what for mark, what in _MISTAKEN.items() if start.startswith(mark)]
    looks = f", and looks like {found[0]}" if found else ""
    raise WeightsError(
        f"the weight file {shown} is neither safetensors nor a PyTorch file, or it is damaged: it has "
        f"{path.stat().st_size} bytes{looks}. {_WHOLE}"
    )


def _read_safetensors(path: Path, shown: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise WeightsError(
            f"the weight file {shown} is damaged or cut short ({one_line(str(error))}). {_WHOLE}"
        ) from error


def _read_torch(path: Path, shown: str) -> dict[str, Tensor]:
    import torch

    try:
        # It warns of unusual pickles, whether or not reading them then fails.
        with warnings.catch_warnings(action="ignore"):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refused_pickle(str(error), shown) from error
    # With a damaged file the unpickler can raise almost any exception.
    except Exception as error:
        reason = one_line(str(error).split("\n")[0] or type(error).__name__, limit=120)
        raise WeightsError(
            f"the weight file {shown} is damaged or cut short ({reason}). {_WHOLE}"
        ) from error
    return _find_state_dict(loaded, shown)


def _refused_pickle(message: str, shown: str) -> WeightsError:
    found = re.search(r"(?:GLOBAL|global) ['`]?([\w.]+)", message)
    if found is None and "Unsupported" not in message:
        return WeightsError(
            f"the weight file {shown} is damaged or cut short "
            f"({one_line(message.split(chr(10))[0], limit=120)}). {_WHOLE}"
        )
    what = f"a {found.group(1)}" if found else "objects other than tensors"
    return WeightsError(
        f"the weight file {shown} is a pickle that contains {what}; Headstart reads tensors only, "
        f"because such a file can run code. Save module.state_dict() as safetensors instead"
    )


def _find_state_dict(loaded: Any, shown: str) -> dict[str, Tensor]:
    """The state dict in `loaded`, or inside a checkpoint dictionary, which may be in another."""
    import torch

    for candidate in _inside(loaded):
        if candidate and all(isinstance(v, torch.Tensor) for v in candidate.values()):
            return {_plain_key(str(k)): v for k, v in candidate.items()}
    held = f"a {type(loaded).__name__}"
    if isinstance(loaded, Mapping):
        names = one_line(", ".join(map(str, list(loaded)[:5])), limit=80)
        held = f"a dictionary of {names}" if names else "an empty dictionary"
    raise WeightsError(
        f"the weight file {shown} holds no state dict (a dictionary of tensors) but {held}. "
        "Save module.state_dict() as safetensors instead"
    )


def _inside(loaded: Any, depth: int = 2) -> Iterator[Mapping[Any, Any]]:
    """A dictionary, and those under the usual keys of checkpoints, to a depth."""
    if not isinstance(loaded, Mapping):
        return
    yield loaded
    for key in _CONTAINERS if depth else ():
        yield from _inside(loaded.get(key), depth - 1)


def _plain_key(key: str) -> str:
    """A key without the prefixes of DataParallel and torch.compile."""
    return key.removeprefix("module.").removeprefix("_orig_mod.")


def _require_finite(state: Mapping[str, Tensor], shown: str) -> None:
    import torch

    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise WeightsError(
                f"the weight file {shown} holds values that are not finite, in {one_line(key)}: "
                f"it is damaged, or its training diverged. {_WHOLE}"
            )


def fit_weights(
    module: nn.Module, state: Mapping[str, Tensor], *, shown: str, arch: str, hint: str = ""
) -> None:
    """Copy `state` into `module`, which must have exactly these names and shapes.

    Raises WeightsError where names or shapes differ; the message gives their number and the first
    three.

    Parameters
    ----------
    module : torch.nn.Module
        Modified in place.
    state : mapping of str to Tensor
        ``num_batches_tracked`` counters may be missing: eval mode does not use them.
    shown, arch : str
        The file and the architecture, for the message.
    hint : str, default ""
        Constructor arguments to try.
    """
    problem = find_misfit(module, state)
    if problem:
        tried = f"Try {argument('arch_args', hint)}" if hint else f"Check {argument('arch')}"
        raise WeightsError(
            f"the weights in {shown} do not fit {arch}: {problem}. "
            f"{tried}; headstart backbones lists architectures"
        )
    module.load_state_dict(dict(state), strict=False)


def read_description(path: Path | str) -> tuple[str, int]:
    """The JSON in the header of a file of weights that Headstart wrote, and the number of its schema.

    Raises ValueError where there is none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {})[DESCRIPTION]
        return text, msgspec.json.decode(text, type=Versioned).schema
    except (SafetensorError, KeyError, ValueError, RecursionError, OSError) as error:
        raise ValueError(f"no description: {error}") from error


def find_misfit(module: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Describe what in `state` does not fit `module`; empty if everything fits."""
    own = module.state_dict()
    missing = [k for k in own if k not in state and not _is_counter(k)]
    unexpected = [k for k in state if k not in own]
    misshapen = [
        f"{k} is {tuple(state[k].shape)} and should be {tuple(own[k].shape)}"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    kinds = (
        (missing, "missing"),
        (unexpected, "not in the architecture"),
        (misshapen, "of another shape"),
    )
    return "; ".join(_list_some(found, kind) for found, kind in kinds if found)


def _list_some(found: list[str], kind: str, n: int = 3) -> str:
    rest = ", ..." if len(found) > n else ""
    return f"{len(found)} {kind} ({one_line(', '.join(found[:n]))}{rest})"


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")


def digest_weights(module: nn.Module) -> str:
    """SHA-256 (hex) over the weights: names in sorted order, dtypes, shapes and bytes.

    The same weights from a ``.pth`` and from a safetensors file have the same digest. The counters
    of batch normalisation (``num_batches_tracked``) are left out, since the output does not depend on
    them.
    """
    import torch

    sha = hashlib.sha256()
    state = module.state_dict()
    for key in sorted(k for k in state if not _is_counter(k)):
        value = state[key].detach().cpu().contiguous()
        sha.update(f"{key}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        sha.update(memoryview(value.view(-1).view(torch.uint8).numpy()))
    return sha.hexdigest()
