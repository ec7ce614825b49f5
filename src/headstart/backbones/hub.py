"""Published weights, through the caches and hub clients of torchvision and timm."""

from __future__ import annotations

import logging
import re
import socket
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from headstart.backbones.architectures import Architecture, timm_cfg, torchvision_weights
from headstart.errors import WeightsError, argument, one_line
from headstart.files import digest_file
from headstart.home import provide_home

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOG = logging.getLogger(__name__)
_PROBE_TIMEOUT_S = 5.0
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def fetch_published(arch: Architecture) -> tuple[Path, str]:
    """The file of published weights and its source; downloaded once, into the library's cache.

    Parameters
    ----------
    arch : Architecture
        Of torchvision or timm; its tag selects among several published weights.

    Returns
    -------
    path : Path
    source : str
        Where it was published.

    Raises
    ------
    WeightsError
        The network is unreachable, nothing was published, or the cached file is damaged.
    """
    if arch.library == "torchvision":
        url = torchvision_weights(arch).url
        return _fetch_url(url, arch), url
    cfg = timm_cfg(arch) if arch.library == "timm" else None
    if cfg is not None and cfg.hf_hub_id:
        repository, names = hub_place(cfg)
        return _fetch_hub(repository, names, arch), f"https://huggingface.co/{repository}"
    if cfg is not None and cfg.url:
        return _fetch_url(cfg.url, arch), cfg.url
    raise WeightsError(
        f"no weights are published for {arch.full_name}: give a local file with "
        f"{argument('weights', 'FILE')} {argument('arch', arch.full_name)}, or choose from headstart backbones"
    )


def hub_place(cfg: Any) -> tuple[str, tuple[str, ...]]:
    """The Hugging Face repository in timm's record, and the files to look for in it, in order."""
    named = cfg.hf_hub_filename
    return cfg.hf_hub_id, (named,) if named else HUB_FILES


def _fetch_url(url: str, arch: Architecture) -> Path:
    import torch

    provide_home()
    name = Path(urlsplit(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    prefix = digest_in_name(name)
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


def _fetch_hub(repository: str, names: Sequence[str], arch: Architecture) -> Path:
    provide_home()  # the client looks for it when it is imported
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for name in names:
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            # The hub stores a large file under its SHA-256, behind a link.
            _require_digest(Path(cached), digest_in_blob(Path(cached)))
            return Path(cached)
    place = f"{constants.ENDPOINT}/{repository}"
    if constants.HF_HUB_OFFLINE:
        raise _no_network(place, arch, "HF_HUB_OFFLINE is set")
    _require_network(place, arch)
    _LOG.info("downloading %s", place)
    problem: Exception = FileNotFoundError(f"none of {', '.join(names)} is there")
    for name in names:
        try:
            return Path(hf_hub_download(repository, name))
        except LocalEntryNotFoundError as error:
            raise _not_downloaded(place, arch, error) from error
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
    host, port = _first_stop(url)
    try:
        socket.create_connection((host, port), timeout=_PROBE_TIMEOUT_S).close()
    except OSError as error:
        raise _no_network(url, arch, str(error)) from error


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
        f"cannot be reached: there is no network ({one_line(reason, limit=80)}). Give a local file "
        f"with {argument('weights', 'FILE')} {argument('arch', arch.full_name)}, or take {argument('backbone', 'embedded')}"
    )


def _not_downloaded(url: str, arch: Architecture, error: Exception) -> WeightsError:
    return WeightsError(
        f"the weights of {arch.full_name} could not be downloaded from {one_line(url)} "
        f"({one_line(str(error), limit=120)}). Try again, give a local file with "
        f"{argument('weights', 'FILE')} {argument('arch', arch.full_name)}, or take {argument('backbone', 'embedded')}"
    )
