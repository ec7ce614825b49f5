"""Published weights, through the caches and hub clients of torchvision and timm."""

from __future__ import annotations

import logging
import re
import socket
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from headstart.errors import WeightsError, argument, one_line
from headstart.files import digest_file
from headstart.home import expand, provide_home

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headstart.backbones.architectures import Architecture

_LOG = logging.getLogger(__name__)
_PROBE_TIMEOUT_S = 5.0
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def fetch_published(arch: Architecture) -> tuple[Path, str]:
    """The file of published weights and its source; downloaded once, into the library's cache.

    Raises WeightsError where the network is unreachable, nothing was published, or the cached file
    is damaged.

    `arch`: of torchvision or timm; its tag selects among several published weights.
    """
    if arch.is_of_hub:
        return _fetch_model(arch)
    place, names = _place(arch)
    if names:
        return _fetch_hub(place, names, arch), f"https://huggingface.co/{place}"
    return _fetch_url(place, arch), place


def require_published(arch: Architecture) -> None:
    """Raise WeightsError where published weights are neither on this machine nor within reach.

    Nothing is downloaded. Of a local folder, the configuration is read and must be that of a network.
    """
    from headstart.backbones.architectures import build_empty, own_preprocessing
    from headstart.backbones.hubmodels import WEIGHTS
    from headstart.backbones.weights import format_of

    if arch.is_of_hub and local_folder(arch):
        build_empty(arch, own_preprocessing(arch).size_px)
        format_of(_fetch_model(arch)[0])
        return
    every = tuple(name for files in WEIGHTS.values() for name in files)
    place, names = (arch.name, every) if arch.is_of_hub else _place(arch)
    if names:
        repository, revision = _at_revision(place)
        if _cached(repository, names, revision) is None:
            _require_hub(repository, arch)
    elif not _cache_of(place).is_file():
        _require_network(place, arch)


def _place(arch: Architecture) -> tuple[str, tuple[str, ...]]:
    """The URL of published weights and no names; or a repository, and the files to look for in it."""
    from headstart.backbones.architectures import timm_cfg, torchvision_weights

    if arch.library == "torchvision":
        return torchvision_weights(arch).url, ()
    cfg = timm_cfg(arch) if arch.library == "timm" else None
    if cfg is not None and cfg.hf_hub_id:
        return hub_place(cfg)
    if cfg is not None and cfg.url:
        return cfg.url, ()
    raise WeightsError(
        f"no weights are published for {arch.full_name}: give a local file with "
        f"{argument('weights', 'FILE')} {argument('arch', arch.full_name)}, or choose from headstart backbones"
    )


def _fetch_model(arch: Architecture) -> tuple[Path, str]:
    from headstart.backbones.hubmodels import hub_model

    names = HUB_FILES if arch.library == "transformers" else hub_model(arch).files
    path = fetch_file(arch, names)
    folder = local_folder(arch)
    return path, f"file {one_line(str(path))}" if folder else f"https://huggingface.co/{arch.name}"


def local_folder(arch: Architecture) -> Path | None:
    """The folder that the name of a model means, or None for a repository of the hub."""
    path = expand(arch.name)
    if path.is_file():
        return path.absolute().parent
    return path.absolute() if path.is_dir() else None


def fetch_file(arch: Architecture, names: Sequence[str]) -> Path:
    """The first of some files in a model's folder or repository; cached like weights.

    Raises WeightsError where none is there, or the network is unreachable.
    """
    folder = local_folder(arch)
    if folder is None:
        return _fetch_hub(arch.name, names, arch)
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise WeightsError(
            f"the folder {one_line(str(folder))} has no {' or '.join(names)}, which {arch.library}: needs"
        )
    return found[0]


def published_licence(arch: Architecture) -> str:
    """The licence in a repository's model card, and whether access to it is granted one by one."""
    provide_home()
    from huggingface_hub import constants, model_info

    if local_folder(arch) or constants.HF_HUB_OFFLINE:
        return "see model card"
    repository, _, revision = arch.name.partition("@")
    try:
        _require_network(f"{constants.ENDPOINT}/{repository}", arch)
        found = model_info(repository, revision=revision or None, timeout=_PROBE_TIMEOUT_S)
    except Exception:  # those of its HTTP library, which change between versions
        return "see model card"
    card = found.card_data
    licence = (
        (getattr(card, "license_name", None) or getattr(card, "license", None)) if card else None
    )
    return f"{licence or 'see model card'}{' (gated)' if found.gated else ''}"


def hub_place(cfg: Any) -> tuple[str, tuple[str, ...]]:
    """The Hugging Face repository in timm's record, and the files to look for in it, in order."""
    named = cfg.hf_hub_filename
    return cfg.hf_hub_id, (named,) if named else HUB_FILES


def _fetch_url(url: str, arch: Architecture) -> Path:
    import torch

    path = _cache_of(url)
    prefix = digest_in_name(path.name)
    if path.is_file():
        _require_digest(path, prefix)
        return path
    _require_network(url, arch)
    _LOG.info("downloading %s", url)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), prefix, progress=False)
    except (OSError, RuntimeError) as error:
        raise _not_downloaded(url, arch, error) from error
    return path


def _cache_of(url: str) -> Path:
    """Where torch keeps a file."""
    import torch

    provide_home()
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name


def _at_revision(place: str) -> tuple[str, str | None]:
    repository, _, at = place.partition("@")
    return repository, at or None


def _cached(repository: str, names: Sequence[str], revision: str | None) -> Path | None:
    """The first of some files that is in the hub's cache."""
    provide_home()  # the client looks for it when it is imported
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(repository, name, revision=revision)
        if isinstance(found, str):
            return Path(found)
    return None


def _require_hub(repository: str, arch: Architecture) -> str:
    """The page of a repository; WeightsError where it is out of reach."""
    from huggingface_hub import constants

    place = f"{constants.ENDPOINT}/{repository}"
    if constants.HF_HUB_OFFLINE:
        raise _no_network(place, arch, "HF_HUB_OFFLINE is set")
    _require_network(place, arch)
    return place


def _fetch_hub(place: str, names: Sequence[str], arch: Architecture) -> Path:
    repository, revision = _at_revision(place)
    if (cached := _cached(repository, names, revision)) is not None:
        # The hub stores a large file under its SHA-256, behind a link.
        _require_digest(cached, digest_in_blob(cached))
        return cached
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, LocalEntryNotFoundError

    place = _require_hub(repository, arch)
    _LOG.info("downloading %s", place)
    problem: Exception = FileNotFoundError(f"none of {', '.join(names)} is there")
    for name in names:
        try:
            return Path(hf_hub_download(repository, name, revision=revision))
        except LocalEntryNotFoundError as error:
            raise _not_downloaded(place, arch, error) from error
        except GatedRepoError as error:
            raise WeightsError(
                f"{place} is gated: accept its licence on that page, then give your token to the hub's "
                f"client (hf auth login)"
            ) from error
        except EntryNotFoundError as error:
            problem = error
        # The hub client raises errors of its HTTP library, which change between versions.
        except Exception as error:
            raise _not_downloaded(place, arch, error) from error
    raise _not_downloaded(place, arch, problem) from problem


def digest_in_name(name: str) -> str | None:
    """The first digits of the SHA-256, with which PyTorch's file names end."""
    found = re.search(r"-([0-9a-f]{8,})\.", name)
    return found.group(1) if found else None


def digest_in_blob(path: Path) -> str | None:
    name = path.resolve().name
    return name if re.fullmatch(r"[0-9a-f]{64}", name) else None


def _require_digest(path: Path, prefix: str | None) -> None:
    if prefix is None:
        return
    found = digest_file(path)
    if not found.startswith(prefix):
        raise WeightsError(
            f"the cached weight file {one_line(str(path))} is damaged (its SHA-256 begins "
            f"{found[:8]}, not {prefix[:8]}): delete it to download it again"
        )


def _require_network(url: str, arch: Architecture) -> None:
    """Check the connection quickly: the hub client retries for most of a minute."""
    if reason := _unreachable(url):
        raise _no_network(url, arch, reason)


def _first_stop(url: str) -> tuple[str, int]:
    """Host and port that a request for `url` connects to first: the proxy's, if one is set."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and not urllib.request.proxy_bypass(host):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        return parts.hostname or "", parts.port or 80
    return host, parts.port or (443 if parts.scheme == "https" else 80)


def _no_network(url: str, arch: Architecture, reason: str) -> WeightsError:
    return WeightsError(
        f"the weights of {arch.full_name} are not on this machine and {urlsplit(url).hostname} "
        f"cannot be reached: there is no network ({one_line(reason, limit=80)}). {_instead(arch)}"
    )


def _instead(arch: Architecture) -> str:
    if arch.is_of_hub:  # such as one with a text tower, in whose place no other would do
        folder = argument("backbone", f"{arch.library}:FOLDER")
        return f"Get the repository where there is a network and give its folder with {folder}"
    return (
        f"Give a local file with {argument('weights', 'FILE')} {argument('arch', arch.full_name)}, or take "
        f"{argument('backbone', 'embedded')}"
    )


def _not_downloaded(url: str, arch: Architecture, error: Exception) -> WeightsError:
    return WeightsError(
        f"the weights of {arch.full_name} could not be downloaded from {one_line(url)} "
        f"({one_line(str(error), limit=120)}). Try again. {_instead(arch)}"
    )


def fetch_repository(name: str, patterns: Sequence[str], *, what: str, instead: str) -> Path:
    """The folder of a repository of the Hugging Face hub, downloaded where it is not in the cache.

    Raises WeightsError where there is no network, or the hub does not give it.

    Parameters
    ----------
    name : str
        ``owner/name``.
    patterns : sequence of str
        Names of the files that are needed.
    what : str
        What it holds, for errors: ``"sentence encoder"``.
    instead : str
        What to do where it cannot be had, for errors.
    """
    provide_home()  # the client looks for it when it is imported
    from huggingface_hub import constants, snapshot_download

    place = f"{constants.ENDPOINT}/{name}"
    reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else _unreachable(place)
    if reason:
        raise WeightsError(
            f"the {what} {one_line(name)} is not on this machine and {urlsplit(place).hostname} cannot "
            f"be reached: there is no network ({one_line(reason, limit=80)}). {instead}"
        )
    _LOG.info("downloading %s", place)
    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    # The hub client raises errors of its HTTP library, which change between versions.
    except Exception as error:
        said = one_line(str(error).split("\n")[0], limit=120)
        raise WeightsError(
            f"the {what} {one_line(name)} could not be downloaded from {one_line(place)} ({said}). "
            f"{instead}"
        ) from error


def _unreachable(url: str) -> str:
    """Why nothing answers there; empty where something does."""
    try:
        socket.create_connection(_first_stop(url), timeout=_PROBE_TIMEOUT_S).close()
    except OSError as error:
        return str(error)
    return ""
